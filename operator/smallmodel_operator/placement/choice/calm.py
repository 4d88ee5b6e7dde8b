"""Whether a model that runs somewhere should move: only for a clear gain that lasts."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.placement.choice.money import Cost
from smallmodel_operator.placement.choice.wish import Incumbent, Policy, Streak
from smallmodel_operator.placement.choice.words import money


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A cluster that would be better than where the model is."""

    cluster: str
    cost: Cost
    moving: float
    """What the move costs once, its bytes."""
    fewer_preferences_broken: bool
    """It is inside of preferred laws that the incumbent is outside of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """Whether to move, why not, and what to remember."""

    moves: bool
    why_not: str = ""
    streak: Streak | None = None


STAYS: Final = Calm(moves=False)
"""Nothing would be better."""


def weigh(
    incumbent: Incumbent,
    cost: Cost,
    rival: Rival,
    before: Streak | None,
    policy: Policy,
    *,
    counts: bool = True,
    pause: str | None = None,
) -> Calm:
    """Return whether the model leaves the incumbent for the rival.

    Args:
        incumbent: Where it is.
        cost: What it costs there.
        rival: Where it would go.
        before: What was remembered of the decision before.
        policy: Thresholds.
        counts: Whether this makes a streak longer.
        pause: Why nothing of the installation moves now; None: it may.
    """
    if not rival.fewer_preferences_broken:
        why_not = _too_dear(cost, rival, policy)
        if why_not:
            return Calm(moves=False, why_not=why_not)
    count = 1
    pair = (incumbent.cluster, rival.cluster)
    if before is not None and (before.incumbent, before.challenger) == pair:
        count = min(before.count + counts, policy.evaluations)
    streak = Streak(incumbent=incumbent.cluster, challenger=rival.cluster, count=count)
    if count < policy.evaluations:
        why_not = f"it was better {count} times in a row, and has to be {policy.evaluations} times"
    elif incumbent.seconds < policy.dwell_seconds:
        why_not = (
            f"the model is new on {incumbent.cluster}, and stays {policy.dwell_seconds:.0f} s "
            "at least"
        )
    elif pause is not None:
        why_not = pause
    else:
        return Calm(moves=True)
    return Calm(moves=False, why_not=why_not, streak=streak)


def _too_dear(cost: Cost, rival: Rival, policy: Policy) -> str:
    """Return why the rival's price is no reason, or nothing where it is one."""
    least = max(policy.least_gain_hour, policy.least_gain_share * cost.total)
    gain = cost.total - rival.cost.total
    unit = policy.currency
    if gain < least:
        return f"it would save {money(gain)} {unit}/h, and a move has to save {money(least)}"
    repaid = (cost.steady - rival.cost.steady) * policy.horizon_hours
    once = rival.moving + policy.disruption
    if repaid <= once:
        return (
            f"in {policy.horizon_hours:g} h it would save {money(repaid)} {unit}, and the move "
            f"costs {money(once)}"
        )
    return ""
