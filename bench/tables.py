"""Tables of results, for the terminal and for the reference page: values in, text out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bench.summary import Summary, missed_by, summarise
from bench.values import Figure, Judge, Report, Results, Target

COLUMNS: Final = ("What", "Target", "Median", "Range", "Result")


def rows(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield one row for each figure of a measurement, under `COLUMNS`."""
    for figure in report.figures:
        summary = summarise(figure)
        yield (
            figure.name,
            target_text(figure),
            quantity(summary.median, figure.unit),
            f"{number(summary.lowest)} to {number(summary.highest)}",
            result_text(figure, summary),
        )


def number(value: float) -> str:
    """Return a number with three digits that count, and whole above a hundred.

    0.126 stays, 12.63 becomes 12.6, 1263.4 becomes 1,263.
    """
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit; a share of one is written in per cent."""
    if unit == "%":
        return f"{value:.1f} %"
    return f"{number(value)} {unit}".rstrip()


def target_text(figure: Figure) -> str:
    """Return a target as `≤ 15 ms`, or nothing where there is none."""
    target = figure.target
    if target is None:
        return ""
    judge = "" if target.judge is Judge.MEDIAN else f" ({target.judge})"
    return f"{target.bound} {quantity(target.value, figure.unit)}{judge}"


def result_text(figure: Figure, summary: Summary) -> str:
    """Return `met`, `missed by …`, or nothing where there is no target."""
    if figure.target is None or summary.met is None:
        return ""
    return "met" if summary.met else f"missed {_distance(summary.judged, figure, figure.target)}"


def markdown(results: Results) -> str:
    """Return everything that was measured as Markdown, without a title."""
    parts = [_host(results)]
    parts += [part for report in results.reports for part in _section(report)]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    head = [_line(columns), _line(["---"] * len(columns))]
    return "\n".join([*head, *(_line(line) for line in lines)])


def _distance(judged: float, figure: Figure, target: Target) -> str:
    if target.value == 0 or target.judge is not Judge.MEDIAN:
        return f"with {quantity(judged, figure.unit)}"
    return f"by {100 * missed_by(judged, target):.0f} %"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _host(results: Results) -> str:
    host = results.host
    packages = ", ".join(f"{name} {version}" for name, version in sorted(host.packages.items()))
    quick = (
        " It was a quick run, whose loads are too short to be relied on." if results.quick else ""
    )
    return (
        f"Measured on {host.cores} cores ({host.processor}), {host.memory_bytes / 2**30:.0f} GiB, "
        f"Linux {host.kernel}, Python {host.python}; {packages}. Each figure has {results.runs} "
        f"runs.{quick}"
    )


def _section(report: Report) -> Iterator[str]:
    yield f"### {report.name}"
    yield report.about
    if report.error is not None:
        yield f"Not measured: {report.error}"
    if report.figures:
        yield markdown_table(COLUMNS, rows(report))
    for breakdown in report.breakdowns:
        yield f"{breakdown.title}:"
        yield markdown_table(breakdown.columns, breakdown.rows)
    yield from report.notes
    yield (
        f"Begun at {report.taken_at} at commit `{report.commit}`; it took {report.seconds:.0f} s. "
        f"The machine's load average was {report.load_before:.1f} before."
    )
