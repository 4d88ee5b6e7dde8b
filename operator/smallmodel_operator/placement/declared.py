"""What the API's objects say, as the choice among clusters needs it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.datasource import (
    AppliesTo,
    DataLocation,
    DataSource,
    DataSourceSpec,
    Enforcement,
)
from smallmodel_operator.api.jurisdictions import countries
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.api.where import (
    ClusterEnergy,
    ClusterNetwork,
    ClusterPrices,
    PlacementBounds,
    Where,
)
from smallmodel_operator.placement.choice.facts import (
    Energy,
    Facts,
    Location,
    Network,
    Prices,
    Taint,
)
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import (
    USUAL,
    Bounds,
    Law,
    Policy,
    Read,
    Toleration,
)

_GB: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a model is placed among, its room aside."""

    clusters: tuple[Facts, ...]
    sources: tuple[DataSource, ...] = ()
    """The DataSources of the model's namespace, by name."""
    unread_sources: tuple[str, ...] = ()
    """Names of those that cannot be read: what they bind is not known."""
    policy: Policy = USUAL
    """How things are weighed."""
    tables: Tables = SHIPPED
    """For what is not declared."""


def facts_of(cluster: ModelCluster, cached: Iterable[DataSource] = ()) -> Facts:
    """Return what is declared of a cluster.

    Args:
        cluster: The ModelCluster.
        cached: Data of which it may have copies.
    """
    spec = cluster.spec
    return Facts(
        name=cluster.metadata.name,
        tier=spec.tier,
        where=_location(spec.location),
        jurisdiction=spec.jurisdiction,
        labels=cluster.metadata.labels,
        prices=_prices(spec.prices),
        energy=_energy(spec.energy),
        network=_network(spec.network),
        taints=tuple(
            Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in spec.taints
        ),
        cached={
            source.metadata.name: share.percent / 100
            for source in cached
            for share in source.spec.cached
            if share.cluster == cluster.metadata.name
        },
    )


def laws_of(spec: SmallModelSpec, sources: Sequence[DataSource]) -> tuple[Law, ...]:
    """Return what binds a model: it cannot be evaded by leaving a source out of `spec.data`."""
    named = {use.name for use in spec.data}
    return tuple(
        Law(
            source=source.metadata.name,
            jurisdictions=countries(residency.jurisdictions),
            required=residency.enforcement is Enforcement.REQUIRED,
        )
        for source in sources
        if (residency := source.spec.residency) is not None
        and (source.spec.applies_to is AppliesTo.NAMESPACE or source.metadata.name in named)
    )


def reads_of(spec: SmallModelSpec, sources: Sequence[DataSource]) -> tuple[Read, ...]:
    """Return what the model reads of the sources that are there."""
    by_name = {source.metadata.name: source.spec for source in sources}
    return tuple(
        Read(
            source=use.name,
            locations=_locations(by_name[use.name]),
            gb_per_hour=amount(use.read_per_hour) / _GB,
        )
        for use in spec.data
        if use.name in by_name
    )


def missing_source(spec: SmallModelSpec, around: Around) -> str | None:
    """Return what is to be done about data that is not known; None where all of it is."""
    there = {source.metadata.name for source in around.sources}
    if around.unread_sources:
        names = ", ".join(around.unread_sources)
        return (
            f"The DataSource {names} of this namespace cannot be read, so whom it binds is not "
            "known. Its owner has to correct it, or the operator has to be upgraded."
        )
    missing = [use.name for use in spec.data if use.name not in there]
    if not missing:
        return None
    listed = ", ".join(sorted(there)) or "none"
    return (
        f"spec.data names {', '.join(missing)}, and the DataSources of this namespace are: "
        f"{listed}. Correct the name, or have the data's owner create it; a DataSource of another "
        "namespace cannot be named."
    )


def bounds_of(bounds: PlacementBounds) -> Bounds:
    """Return what the model's author sets."""
    cost = bounds.max_cost_per_hour
    grid = bounds.max_grid_intensity
    return Bounds(
        tiers=frozenset(bounds.tiers),
        labels=bounds.cluster_selector,
        tolerations=tuple(Toleration(key=one.key, value=one.value) for one in bounds.tolerations),
        max_cost_hour=float(cost) if cost is not None else None,
        max_grid=float(grid) if grid is not None else None,
    )


def _locations(spec: DataSourceSpec) -> tuple[Location, ...]:
    return tuple(_location(one) for one in spec.locations)


def _location(where: Where) -> Location:
    return Location(
        cluster=where.cluster if isinstance(where, DataLocation) else None,
        provider=where.provider,
        region=where.region,
        zone=where.zone,
        site=where.site,
    )


def _prices(prices: ClusterPrices) -> Prices:
    return Prices(
        cpu_hour=_number(prices.cpu_hour),
        memory_gb_hour=_number(prices.memory_gb_hour),
        accelerator_hour={one.product: float(one.hour) for one in prices.accelerators},
        paid_kwh=_number(prices.electricity_kwh),
    )


def _energy(energy: ClusterEnergy) -> Energy:
    grid = energy.grid_intensity
    return Energy(grid=float(grid) if grid is not None else None, pue=_number(energy.pue))


def _network(network: ClusterNetwork) -> Network:
    return Network(
        uplink_mbit=network.uplink_mbit,
        egress_gb={one.to: float(one.gb) for one in network.egress},
    )


def _number(text: str | None) -> float | None:
    return float(text) if text is not None else None
