"""A pool read back from its live RayService, also where somebody edited that by hand."""

from collections.abc import Iterable
from dataclasses import dataclass

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pools.live import pool_key, read_pool
from smallmodel_operator.plan.pools.names import template_of
from smallmodel_operator.plan.pools.rayservice import models_in
from smallmodel_operator.plan.pools.values import LivePool, Manifest, PoolError
from smallmodel_operator.plan.pools.weights import fetches_itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPool:
    """A pool, and whether its Serve config is one of ours."""

    live: LivePool
    foreign_config: bool = False


def read_live(manifest: Manifest, placements: Iterable[ModelPlacement]) -> ReadPool | None:
    """Return the pool of a RayService of ours.

    What its annotations lack is known from the placements that are in it, so that it can be written
    anew. None: it cannot be read, and no placement speaks of it.

    Args:
        manifest: The live RayService.
        placements: All of its namespace.
    """
    try:
        return ReadPool(live=read_pool(manifest))
    except PoolError:
        name = manifest["metadata"]["name"]
        speaking = [
            placement
            for placement in sorted(placements, key=lambda placement: placement.metadata.name)
            if name in (placement.status.pool, placement.status.moving_to, placement.status.leaving)
        ]
        return _by_placements(manifest, speaking)


def _by_placements(manifest: Manifest, speaking: list[ModelPlacement]) -> ReadPool | None:
    if not speaking:
        return None
    metadata = manifest["metadata"]
    models = _models(manifest)
    # The class of one that is on its way out may be another one by now.
    speaking.sort(key=lambda each: _assigned(each) != metadata["name"])
    return ReadPool(
        live=LivePool(
            name=metadata["name"],
            key=pool_key(speaking[0]),
            template_hash=template_of(metadata["name"]),
            models=models or frozenset(),
            contract=CONTRACT,
            fetches=fetches_itself(manifest),
            deleting=bool(metadata.get("deletionTimestamp")),
        ),
        foreign_config=models is None,
    )


def _models(manifest: Manifest) -> frozenset[str] | None:
    try:
        return models_in(manifest)
    except PoolError:
        return None


def _assigned(placement: ModelPlacement) -> str | None:
    return placement.status.moving_to or placement.status.pool
