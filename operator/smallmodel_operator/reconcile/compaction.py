"""Wishes to empty a pool into fuller ones: which are granted, and which are taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement, PlacedProbe
from smallmodel_operator.plan.pools.compact import compaction
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.reconcile.clock import seconds_between
from smallmodel_operator.reconcile.sight import PoolSight

WISH_SECONDS: Final = 1800.0
"""How long a wish counts: a pool of 20 models is emptied in a few minutes, and one with a model
that does not come up elsewhere is not closed for good."""


def with_wishes(
    pools: tuple[PoolSight, ...],
    placements: Sequence[ModelPlacement],
    answers: Mapping[str, PlacedProbe],
    settings: PoolSettings,
    now: str,
) -> tuple[PoolSight, ...]:
    """Return the pools, with those marked that are to be emptied now.

    Args:
        pools: All of the namespace.
        placements: Those that stay.
        answers: What verifying requests came to since the last pass, by the model's name.
        settings: The installation's choices; a pod can be made of each pool's worker class.
        now: RFC 3339 time.
    """
    wished = {
        pool.live.name
        for pool in pools
        if pool.live.wish is not None and _counts(pool.live.wish, now)
    }
    wished -= {each.status.pool for each in placements if _did_not_move(each, answers)}
    if not wished:
        return pools
    granted = compaction(placements, [pool.live for pool in pools], settings, wished)
    names = {each.pool for each in granted}
    return tuple(
        replace(pool, live=replace(pool.live, emptying=True)) if pool.live.name in names else pool
        for pool in pools
    )


def _did_not_move(placement: ModelPlacement, answers: Mapping[str, PlacedProbe]) -> bool:
    """Return whether a model does not answer where it moves to; it goes on where it is."""
    answer = answers.get(placement.spec.model.name)
    moving_to = placement.status.moving_to
    return answer is not None and not answer.passed and answer.pool == moving_to


def _counts(wish: str, now: str) -> bool:
    try:
        return abs(seconds_between(wish, now)) < WISH_SECONDS
    except (ValueError, TypeError):
        # No time, or one without a zone: somebody wrote it by hand.
        return False
