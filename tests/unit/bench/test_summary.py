"""Statistics of the benchmark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.summary import is_met, judged_value, missed_by, percentile, summarise
from bench.values import Bound, Figure, Judge, Target

finite = st.floats(min_value=-1e9, max_value=1e9)
several = st.lists(finite, min_size=1, max_size=30)
shares = st.floats(min_value=0, max_value=1, exclude_min=True)


def at_most(value: float, judge: Judge = Judge.MEDIAN) -> Target:
    return Target(bound=Bound.AT_MOST, value=value, judge=judge)


def at_least(value: float, judge: Judge = Judge.MEDIAN) -> Target:
    return Target(bound=Bound.AT_LEAST, value=value, judge=judge)


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.5, 20), (0.51, 30), (0.25, 10), (0.75, 30), (0.99, 40), (1.0, 40), (0.001, 10)],
)
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([40, 10, 30, 20], share) == value


@given(values=several, share=shares)
def test_a_percentile_is_the_least_value_that_enough_values_do_not_exceed(
    values: list[float], share: float
) -> None:
    result = percentile(values, share)
    needed = share * len(values)
    assert sum(value <= result for value in values) >= needed
    assert sum(value < result for value in values) < needed


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_outside_of_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        percentile([1.0], share)


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("value", "target", "met", "missed"),
    [
        (15, at_most(15), True, 0.0),
        (18, at_most(15), False, 0.2),
        (97, at_least(97), True, 0.0),
        (0, at_most(0), True, 0.0),
        (3, at_most(0), False, 3.0),
        (750, at_least(1000), False, 0.25),
    ],
)
def test_a_target_is_met_on_its_own_side_and_on_the_bound(
    value: float, target: Target, met: bool, missed: float
) -> None:
    assert is_met(value, target) is met
    assert missed_by(value, target) == pytest.approx(missed)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (at_most(0), 2),
        (at_most(0, Judge.WORST), 9),
        (at_least(0, Judge.WORST), 1),
        (at_most(0, Judge.SUM), 12),
    ],
)
def test_the_target_says_which_value_of_the_runs_counts(target: Target, value: float) -> None:
    assert judged_value([1, 9, 2], target) == value


@given(values=several)
def test_the_median_lies_within_the_range(values: list[float]) -> None:
    summary = summarise(Figure(name="f", unit="s", runs=tuple(values)))
    assert summary.lowest <= summary.median <= summary.highest
    assert summary.met is None
    assert summary.judged == summary.median


def test_one_lost_request_in_five_runs_misses_a_target_of_none() -> None:
    target = at_most(0, Judge.SUM)
    summary = summarise(Figure(name="lost", unit="", runs=(0, 0, 1, 0, 0), target=target))
    assert (summary.median, summary.judged, summary.met) == (0, 1, False)


def test_a_figure_without_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="latency has no runs"):
        summarise(Figure(name="latency", unit="ms", runs=()))
