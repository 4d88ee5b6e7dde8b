"""Which models should leave a pool, and for which one.

They leave pools with an outdated template, and pools that are to be emptied into fuller ones. One
at a time, so that each is seen to answer in its new pool before the next one starts. A model that
does not work there stays where it is, and keeps no other one from moving.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.plan.pools.assign import (
    ModelId,
    PoolId,
    PoolIndex,
    Seats,
    held_by,
    is_current,
    is_open,
    model_id,
)
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.names import same_key
from smallmodel_operator.plan.pools.values import LivePool, PoolKey, PoolSettings
from smallmodel_operator.plan.pools.weights import refused_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One model's way from the pool that serves it to another."""

    model: ModelId
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class _Leaving:
    placement: ModelPlacement
    pool: LivePool
    outdated: bool
    """Its pool has an outdated template; else the pool is to be emptied."""

    @property
    def movable(self) -> bool:
        return self.placement.status.quarantine is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What moves now, and what has to wait for it."""

    now: tuple[Move, ...]
    waiting: tuple[ModelId, ...]
    """In pools with an outdated template, and not on their way: `UpgradeWaiting`."""


def moves(
    placements: Sequence[ModelPlacement],
    pools: Sequence[LivePool],
    settings: PoolSettings,
    *,
    reserved: frozenset[PoolId] = frozenset(),
) -> Moves:
    """Return the moves of one namespace that are in progress, and the next one where none is.

    A move whose model is in quarantine goes on, and counts neither as the one in progress nor as a
    reason for its pools to be there.

    Args:
        placements: All placements of the namespace.
        pools: All pools of the namespace.
        settings: The installation's choices.
        reserved: Names that a new pool cannot have, because somebody else's object has them.

    Raises:
        PoolError: No pod can be made of a placement's worker class.
    """
    if not any(pool.emptying or not is_current(pool, settings) for pool in pools):
        # Most of the time: nothing is to move, and nothing waits.
        return Moves(now=(), waiting=())
    live = {pool.name: pool for pool in pools}
    now: list[Move] = []
    resting: list[_Leaving] = []
    busy = False
    for each in _leaving(placements, pools, settings):
        target = each.placement.status.moving_to
        if target and _is_target(live.get(target), each.placement, settings):
            move = Move(model=model_id(each.placement), source=each.pool.name, target=target)
            now.append(move)
            busy = busy or each.movable
        else:
            resting.append(each)
    seats = Seats.taken(placements, pools, settings, reserved)
    if not busy and (move_ := _next(resting, seats, settings)):
        now.append(move_)
    on_their_way = {move.model for move in now}
    waiting = {model_id(each.placement) for each in resting if each.outdated} - on_their_way
    return Moves(
        now=tuple(sorted(now, key=lambda move: move.model)), waiting=tuple(sorted(waiting))
    )


def _leaving(
    placements: Sequence[ModelPlacement], pools: Sequence[LivePool], settings: PoolSettings
) -> list[_Leaving]:
    """Return what is to leave its pool, from the emptiest pool on, which is empty soonest."""
    found, index = [], PoolIndex.of(pools)
    for placement in sorted(placements, key=model_id):
        pool = held_by(placement, index, settings)
        if (
            pool is not None
            and placement.metadata.deletion_timestamp is None
            # In its new pool nobody could fetch its weights: it goes on where it is.
            and refused_secret(placement.spec.weights, settings) is None
            and (pool.emptying or not is_current(pool, settings))
        ):
            found.append(_Leaving(placement, pool, outdated=not is_current(pool, settings)))
    crowd = Counter(each.pool.name for each in found if each.movable)
    return sorted(
        found,
        key=lambda each: (
            not each.movable,
            crowd[each.pool.name],
            each.pool.name,
            model_id(each.placement),
        ),
    )


def _is_target(pool: LivePool | None, placement: ModelPlacement, settings: PoolSettings) -> bool:
    return pool is not None and same_key(pool.key, pool_key(placement)) and is_open(pool, settings)


def _next(resting: Sequence[_Leaving], seats: Seats, settings: PoolSettings) -> Move | None:
    outdated = [each for each in resting if each.outdated]
    for each in resting:
        key = pool_key(each.placement)
        _, name = model_id(each.placement)
        target = seats.fullest_open(key, name)
        may_add = each.outdated and _surge(key, outdated, seats) < settings.max_surge_pools
        if target is None and may_add:
            target = seats.add(key)
        if target is not None:
            return Move(model=model_id(each.placement), source=each.pool.name, target=target)
    return None


def _surge(key: PoolKey, resting: Sequence[_Leaving], seats: Seats) -> int:
    """Return how many other keys have a new pool with room beside old ones.

    New pools that are full have emptied as many old ones. So there is one pool too many for each
    key whose newest pool still has room, and none for the others.
    """
    others = {pool_key(each.placement) for each in resting if each.movable}
    return sum(
        seats.fullest_open(other, "") is not None for other in others if not same_key(other, key)
    )
