"""Which pools can be emptied into fuller ones, so that they end.

Each pool costs a head, and nothing is rebalanced by itself: after many deletions there may be
several pools with few models. Nothing is moved into a new pool, or into one that is to be emptied.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.plan.pools.assign import Seats, is_current
from smallmodel_operator.plan.pools.names import same_key
from smallmodel_operator.plan.pools.values import LivePool, PoolSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """A pool that can be emptied, and where its models go."""

    pool: str
    targets: tuple[tuple[str, str], ...]
    """Each model and its next pool, by the model's name."""


def compaction(
    placements: Sequence[ModelPlacement],
    pools: Sequence[LivePool],
    settings: PoolSettings,
    wished: Collection[str],
) -> tuple[Emptied, ...]:
    """Return which of the pools of one namespace can be emptied, the emptiest first.

    A pool is emptied wholly or not at all.

    Args:
        placements: All placements of the namespace.
        pools: All pools of the namespace.
        settings: The installation's choices.
        wished: Names of the pools that may be emptied.
    """
    seats = Seats.taken(placements, pools, settings)
    models = {name: set(taken) for (_, name), taken in seats.models.items()}
    there = [pool for pool in pools if not pool.deleting and is_current(pool, settings)]
    candidates = sorted(
        (pool for pool in there if pool.name in wished and models[pool.name]),
        # Of two alike the younger number goes.
        key=lambda pool: (len(models[pool.name]), _reversed(pool.name)),
    )
    found: list[Emptied] = []
    for pool in candidates:
        others = [
            other.name
            for other in there
            if other is not pool
            and same_key(other.key, pool.key)
            # One without models ends by itself, as do those that were emptied already.
            and models[other.name]
        ]
        targets = _targets(models, pool.name, others, settings.models_per_pool)
        if targets is None:
            continue
        for model, target in targets:
            models[target].add(model)
        models[pool.name].clear()
        found.append(Emptied(pool=pool.name, targets=targets))
    return tuple(found)


def _targets(
    models: dict[str, set[str]], source: str, others: Sequence[str], most: int
) -> tuple[tuple[str, str], ...] | None:
    """Return a seat for each model of a pool; None where there are too few."""
    taken = {name: set(models[name]) for name in others}
    found = []
    for model in sorted(models[source]):
        # One that is on its way has its seat already.
        there = [name for name in others if model in taken[name]]
        with_room = [name for name in others if len(taken[name]) < most]
        if not there and not with_room:
            return None
        target = there[0] if there else min(with_room, key=lambda name: (-len(taken[name]), name))
        taken[target].add(model)
        found.append((model, target))
    return tuple(found)


def _reversed(name: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in name)
