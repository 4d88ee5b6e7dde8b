"""Statistics of a benchmark: values in, values out."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.values import Bound, Figure, Judge, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A figure's runs in a few numbers."""

    median: float
    lowest: float
    highest: float
    judged: float
    """The value that the target is compared with; the median where there is no target."""
    met: bool | None
    """None: there is no target."""


def summarise(figure: Figure) -> Summary:
    """Return the median, the range, and whether the target was met.

    Raises:
        ValueError: The figure has no runs.
    """
    if not figure.runs:
        raise ValueError(f"{figure.name} has no runs")
    median = statistics.median(figure.runs)
    target = figure.target
    judged = median if target is None else judged_value(figure.runs, target)
    return Summary(
        median=median,
        lowest=min(figure.runs),
        highest=max(figure.runs),
        judged=judged,
        met=None if target is None else is_met(judged, target),
    )


def judged_value(runs: Sequence[float], target: Target) -> float:
    """Return the one value of several runs that a target is compared with."""
    match target.judge:
        case Judge.MEDIAN:
            return statistics.median(runs)
        case Judge.SUM:
            return math.fsum(runs)
        case Judge.WORST:
            return max(runs) if target.bound is Bound.AT_MOST else min(runs)


def is_met(value: float, target: Target) -> bool:
    """Return whether a value lies on the right side of its target, or on it."""
    return value <= target.value if target.bound is Bound.AT_MOST else value >= target.value


def missed_by(value: float, target: Target) -> float:
    """Return how far a value is from its target, as a share of the target; 0 where it is met.

    The distance to a target of zero is the value itself.
    """
    if is_met(value, target):
        return 0.0
    return abs(value - target.value) / (abs(target.value) or 1.0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    This is the nearest-rank method: the result is always one of the values.

    Raises:
        ValueError: There are no values, or the share is not above 0 and at most 1.
    """
    if not values:
        raise ValueError("a percentile of no values")
    if not 0 < share <= 1:
        raise ValueError(f"the share is {share}, and must be above 0 and at most 1")
    return sorted(values)[math.ceil(share * len(values)) - 1]
