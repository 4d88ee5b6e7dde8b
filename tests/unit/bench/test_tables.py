"""Tables of the benchmark, and the page that they become."""

from typing import Any

import pytest

from bench.store import PageError, load, merged, newest, save, with_results
from bench.tables import markdown, markdown_table, number, quantity, rows
from bench.values import Bound, Breakdown, Figure, Host, Judge, Report, Results, Target

PAGE = (
    "# Title\n\n<!-- Written by the benchmark's `--page`; everything between the marks. -->\n"
    "old\n<!-- End of what is written. -->\n\nBelow.\n"
)


def report(*figures: Figure, **changed: Any) -> Report:
    return Report(**{"name": "wake", "about": "What was done.", "figures": figures} | changed)


def results(*reports: Report, quick: bool = False) -> Results:
    return Results(
        taken_at="2026-11-24T10:00:00Z",
        runs=5,
        quick=quick,
        host=Host(
            processor="CPU",
            cores=2,
            memory_bytes=24 * 2**30,
            kernel="6.1",
            python="3.11.7",
            packages={"ray": "2.60.0", "aiohttp": "3"},
        ),
        reports=reports,
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1264, "0.126"),
        (1.0, "1"),
        (2.346, "2.35"),
        (12.63, "12.6"),
        (123.4, "123"),
        (1263.4, "1,263"),
        (-0.5, "-0.500"),
        (200, "200"),
    ],
)
def test_a_number_has_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(98.76, "%", "98.8 %"), (2.5, "ms", "2.50 ms"), (3, "", "3")],
)
def test_a_quantity_carries_its_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_a_row_says_what_was_asked_and_what_came() -> None:
    met = Figure(
        name="asleep", unit="s", runs=(0.5, 0.9, 0.7), target=Target(bound=Bound.AT_MOST, value=1)
    )
    missed = Figure(
        name="rate", unit="/s", runs=(900, 800), target=Target(bound=Bound.AT_LEAST, value=1000)
    )
    lost = Figure(
        name="lost",
        unit="",
        runs=(0, 2, 1),
        target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
    )
    worst = Figure(
        name="slowest",
        unit="s",
        runs=(1, 6),
        target=Target(bound=Bound.AT_MOST, value=5, judge=Judge.WORST),
    )
    free = Figure(name="awake", unit="s", runs=(0.25,))
    assert list(rows(report(met, missed, lost, worst, free))) == [
        ("asleep", "≤ 1 s", "0.700 s", "0.500 to 0.900", "met"),
        ("rate", "≥ 1,000 /s", "850 /s", "800 to 900", "missed by 15 %"),
        ("lost", "≤ 0 (sum)", "1", "0 to 2", "missed with 3"),
        ("slowest", "≤ 5 s (worst)", "3.50 s", "1 to 6", "missed with 6 s"),
        ("awake", "", "0.250 s", "0.250 to 0.250", ""),
    ]


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert markdown_table(("A", "B"), [("x|y", "z")]) == "| A | B |\n| --- | --- |\n| x\\|y | z |"


def test_the_page_holds_host_figures_breakdowns_and_notes() -> None:
    text = markdown(
        results(
            report(
                Figure(name="asleep", unit="s", runs=(0.5,)),
                breakdowns=(Breakdown(title="By process", columns=("P",), rows=(("ray",),)),),
                notes=("A note.",),
            )
        )
    )
    assert "2 cores (CPU), 24 GiB, Linux 6.1, Python 3.11.7; aiohttp 3, ray 2.60.0" in text
    for part in ("### wake", "What was done.", "| asleep |", "By process:", "| ray |", "A note."):
        assert part in text


def test_what_could_not_be_measured_says_why() -> None:
    assert "Not measured: RuntimeError: no" in markdown(results(report(error="RuntimeError: no")))


def test_a_quick_run_is_marked_as_such() -> None:
    assert "quick run" in markdown(results(report(), quick=True))
    assert "quick run" not in markdown(results(report()))


def test_only_what_is_between_the_marks_is_written_anew() -> None:
    once = with_results(PAGE, results(report()))
    assert once.startswith("# Title\n\n<!--")
    assert once.endswith("-->\n\nBelow.\n")
    assert "old" not in once
    assert with_results(once, results(report())) == once


@pytest.mark.parametrize("page", ["# Title\n", PAGE.partition("old")[0]])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(PageError, match="the page needs the lines"):
        with_results(page, results(report()))


def test_of_several_results_the_last_of_each_measurement_counts() -> None:
    first = results(report(name="start"), report(name="wake", seconds=1))
    second = results(report(name="wake", seconds=2), report(name="cycles"))
    names = [(one.name, one.seconds) for one in merged([first, second]).reports]
    assert names == [("start", 0), ("wake", 2), ("cycles", 0)]


@pytest.mark.parametrize("changed", [{"runs": 3}, {"quick": True}])
def test_results_that_were_taken_otherwise_are_not_put_together(changed: Any) -> None:
    with pytest.raises(PageError, match="measure all of it anew"):
        merged([results(report()).model_copy(update=changed), results(report())])


def test_saved_results_are_read_back_and_the_newest_is_found(tmp_path: Any) -> None:
    first = results(report(Figure(name="a", unit="s", runs=(1.5, 2))))
    later = first.model_copy(update={"taken_at": "2026-11-24T11:00:00Z"})
    save(first, tmp_path)
    path = save(later, tmp_path)
    assert newest(tmp_path) == path
    assert load(path) == later


def test_without_results_the_page_is_not_written(tmp_path: Any) -> None:
    with pytest.raises(PageError, match="measure first"):
        newest(tmp_path)
