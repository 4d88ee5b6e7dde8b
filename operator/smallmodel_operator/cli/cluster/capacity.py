"""Which models of the catalogue a cluster has room for, with every default."""

from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.placement.cluster import ClusterView, place_in_cluster
from smallmodel_operator.placement.placement import Unplaced

_NAME: Final = "any"


def smallest_that_fits(catalog: Catalog, view: ClusterView, namespace: str) -> str | None:
    """Return the name of the smallest model that the cluster would serve, or None.

    Args:
        catalog: The cards.
        view: The cluster. A pool that the namespace has needs no further head.
        namespace: Where the model would be.
    """
    for spec, resolved in _by_size(catalog):
        placed = place_in_cluster(resolved, spec, view, namespace=namespace)
        if not isinstance(placed, Unplaced):
            return spec.model
    return None


def smallest_refusal(catalog: Catalog, view: ClusterView, namespace: str) -> str | None:
    """Return why the cluster would not serve the smallest model; None where it would."""
    for spec, resolved in _by_size(catalog):
        placed = place_in_cluster(resolved, spec, view, namespace=namespace)
        return f"{spec.model}: {placed.message}" if isinstance(placed, Unplaced) else None
    return None


def _by_size(catalog: Catalog) -> list[tuple[SmallModelSpec, ResolvedModel]]:
    """Return the models that need nothing but to be named, smallest first."""
    found: list[tuple[int, str, SmallModelSpec, ResolvedModel]] = []
    for name in catalog.names:
        spec = SmallModelSpec(model=name)
        model = SmallModel(metadata=ObjectMeta(name=_NAME), spec=spec)
        resolved = resolve(model, catalog, secrets=frozenset())
        if isinstance(resolved, ResolveError):
            continue
        least = min(option.size.total for option in resolved.options)
        found.append((least, name, spec, resolved))
    return [(spec, resolved) for _, _, spec, resolved in sorted(found, key=lambda one: one[:2])]
