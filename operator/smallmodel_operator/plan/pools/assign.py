"""Which pool serves which placement.

A placement stays where it is: in the pool that its status names, or whose live config holds it,
as long as that pool has the placement's key. It leaves a pool with an outdated template only by
`moves`. A new one goes to the fullest open pool, and only else to a new pool.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.names import pool_name, same_key, template_hash, template_of
from smallmodel_operator.plan.pools.values import LivePool, PoolKey, PoolSettings

ModelId: TypeAlias = tuple[str, str]
"""Namespace and name of a SmallModel."""

PoolId: TypeAlias = tuple[str, str]
"""Namespace and name of a RayService."""


def assign(
    placements: Sequence[ModelPlacement],
    pools: Sequence[LivePool],
    settings: PoolSettings,
    *,
    reserved: frozenset[PoolId] = frozenset(),
) -> Mapping[ModelId, str]:
    """Return the pool of each placement, by namespace and name of its model.

    A placement that is being deleted and is in no pool is not in the result.

    Args:
        placements: All placements of the namespaces in question.
        pools: All pools of these namespaces.
        settings: The installation's choices.
        reserved: Names that a new pool cannot have, because somebody else's object has them.

    Raises:
        PoolError: No pod can be made of a placement's worker class.
    """
    seats = Seats.taken(placements, pools, settings, reserved)
    assigned: dict[ModelId, str] = {}
    homeless: list[ModelPlacement] = []
    index = PoolIndex.of(pools)
    for placement in sorted(placements, key=model_id):
        if held := held_by(placement, index, settings):
            assigned[model_id(placement)] = held.name
        elif placement.metadata.deletion_timestamp is None:
            homeless.append(placement)
    for placement in homeless:
        key = pool_key(placement)
        _, name = model_id(placement)
        pool = seats.fullest_open(key, name) or seats.add(key)
        seats.take(key.namespace, pool, name)
        assigned[model_id(placement)] = pool
    return dict(sorted(assigned.items()))


def model_id(placement: ModelPlacement) -> ModelId:
    """Return the SmallModel that a placement is of."""
    return placement.spec.model.namespace, placement.spec.model.name


def is_current(pool: LivePool, settings: PoolSettings) -> bool:
    """Return whether the pool was made from today's template."""
    return pool.template_hash == template_hash(pool.key, settings)


def is_open(pool: LivePool, settings: PoolSettings) -> bool:
    """Return whether models may be added to a pool."""
    return not pool.deleting and not pool.emptying and is_current(pool, settings)


@dataclass(frozen=True, slots=True)
class PoolIndex:
    """Pools by what leads to them, so that a thousand placements are quick."""

    by_name: Mapping[str, Sequence[LivePool]]
    by_model: Mapping[str, Sequence[LivePool]]

    @classmethod
    def of(cls, pools: Iterable[LivePool]) -> "PoolIndex":
        """Return the index of pools."""
        by_name: dict[str, list[LivePool]] = defaultdict(list)
        by_model: dict[str, list[LivePool]] = defaultdict(list)
        for pool in pools:
            by_name[pool.name].append(pool)
            for model in pool.models:
                by_model[model].append(pool)
        return cls(by_name, by_model)

    def likely(self, placement: ModelPlacement) -> list[LivePool]:
        """Return the pools that a placement's status names, or that have a model of its name."""
        status = placement.status
        told = (pool for pool in (status.pool, status.moving_to) if pool is not None)
        named = [each for pool in told for each in self.by_name.get(pool, ())]
        return [*named, *self.by_model.get(placement.spec.model.name, ())]


def held_by(placement: ModelPlacement, pools: PoolIndex, settings: PoolSettings) -> LivePool | None:
    """Return the live pool that the placement is in, if it has the placement's key."""
    likely = pools.likely(placement)
    if not likely:
        return None
    key, status = pool_key(placement), placement.status
    told = (status.pool, status.moving_to)
    fitting = {pool.name: pool for pool in likely if same_key(pool.key, key)}
    for known in told:
        if known in fitting:
            return fitting[known]
    holding = [pool for pool in fitting.values() if not pool.deleting]
    # Where the status is lost in the middle of a move, both pools hold the model: the newer wins.
    holding.sort(key=lambda pool: (not is_current(pool, settings), pool.name))
    return holding[0] if holding else None


@dataclass(slots=True)
class Seats:
    """The models of each pool, with those that are on their way into it or out of it."""

    settings: PoolSettings
    open: dict[PoolId, PoolKey] = field(default_factory=dict)
    """Pools to which models may be added."""
    models: dict[PoolId, set[str]] = field(default_factory=dict)
    """Of all pools."""
    reserved: frozenset[PoolId] = frozenset()
    """Names that no new pool can have."""

    @classmethod
    def taken(
        cls,
        placements: Iterable[ModelPlacement],
        pools: Iterable[LivePool],
        settings: PoolSettings,
        reserved: frozenset[PoolId] = frozenset(),
    ) -> "Seats":
        """Return the seats that live configs and the placements' statuses speak of."""
        seats = cls(settings, reserved=reserved)
        for pool in pools:
            place = (pool.key.namespace, pool.name)
            seats.models[place] = set(pool.models)
            if is_open(pool, settings):
                seats.open[place] = pool.key
        for placement in placements:
            namespace, name = model_id(placement)
            for told in filter(None, (placement.status.pool, placement.status.moving_to)):
                if (namespace, told) in seats.models or seats.will_be(told, pool_key(placement)):
                    seats.take(namespace, told, name)
        return seats

    def will_be(self, pool: str, key: PoolKey) -> bool:
        """Open a pool that is not there and that a placement was promised, if it can be made."""
        place = (key.namespace, pool)
        if place in self.reserved or template_of(pool) != template_hash(key, self.settings):
            return False
        self.open[place] = key
        self.models[place] = set()
        return True

    def fullest_open(self, key: PoolKey, model: str) -> str | None:
        """Return the pool of the key with the most models that has room for this one."""
        others = {
            place: len(self.models[place] - {model})
            for place, other in self.open.items()
            if same_key(other, key)
        }
        with_room = [
            (-taken, place[1])
            for place, taken in others.items()
            if taken < self.settings.models_per_pool
        ]
        return min(with_room)[1] if with_room else None

    def add(self, key: PoolKey) -> str:
        """Return the name of a new pool, with the lowest number that is free."""
        names = (pool_name(key, number, self.settings) for number in count(1))
        taken = self.models.keys() | self.reserved
        name = next(name for name in names if (key.namespace, name) not in taken)
        self.open[key.namespace, name] = key
        self.models[key.namespace, name] = set()
        return name

    def take(self, namespace: str, pool: str, model: str) -> None:
        """Give a model a seat."""
        self.models[namespace, pool].add(model)
