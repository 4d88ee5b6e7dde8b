"""`python -m bench`: measure, print a table, write `bench/results/`."""

import argparse
import asyncio
import contextlib
import datetime
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import host, store
from bench.measurements import MEASUREMENTS
from bench.plan import Bench, Measurement
from bench.tables import COLUMNS, rows
from bench.values import Report, Results
from smallmodel_operator.local import processes

_BUSY_LOAD: Final = 0.5
"""Load average of a machine that has something else to do."""

_PIPED_WIDTH: Final = 140

_console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def _arguments(given: Sequence[str], measurements: Sequence[Measurement]) -> argparse.Namespace:
    names = [measurement.name for measurement in measurements]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help=f"measure only this; may be given again; one of {', '.join(names)}",
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement (5)")
    parser.add_argument(
        "--quick", action="store_true", help="a fifth of each load: to try it, not to rely on it"
    )
    parser.add_argument(
        "--page",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help="measure nothing; write the reference page from files of results, of which the last "
        "that has a measurement counts, or from the newest",
    )
    arguments = parser.parse_args(given)
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}, and must be at least 1")
    return arguments


async def _measure(measurement: Measurement, bench: Bench) -> Report:
    _console.print(f"[bold]==> {measurement.name}[/bold]")
    load = host.load_average()
    if load > _BUSY_LOAD:
        _console.print(f"    the machine is busy: its load average is {load:.1f}")
    began, taken_at = time.monotonic(), _now()
    try:
        report = await measurement.measure(bench)
    except Exception as error:
        # One measurement that fails must not cost the others, which took minutes.
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
        report = Report(name=measurement.name, about=measurement.about, error=told)
    seconds = time.monotonic() - began
    report = report.model_copy(
        update={
            "taken_at": taken_at,
            "commit": host.commit(),
            "seconds": seconds,
            "load_before": load,
        }
    )
    _show(report)
    return report


def _show(report: Report) -> None:
    if report.error is not None:
        _console.print(f"    not measured: {report.error}", markup=False)
    _table("", COLUMNS, list(rows(report)))
    for breakdown in report.breakdowns:
        _table(breakdown.title, breakdown.columns, breakdown.rows)
    for note in report.notes:
        _console.print(f"    {note}", markup=False)


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    if not lines:
        return
    if title:
        _console.print(f"\n{title}:", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    _console.print(table)


async def _run(
    arguments: argparse.Namespace,
    measurements: Sequence[Measurement],
    folder: Path,
    reports: list[Report],
) -> None:
    """Measure what was chosen, and append each report as soon as it is there."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    bench = Bench(
        runs=arguments.runs,
        quick=arguments.quick,
        folder=folder,
        say=lambda text: _console.print(f"    {text}", markup=False),
    )
    _console.print("The clients share the cores with what they measure.")
    for measurement in measurements:
        if not arguments.only or measurement.name in arguments.only:
            report = await _measure(measurement, bench)
            reports.append(report)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main(
    given: Sequence[str],
    measurements: Sequence[Measurement] = MEASUREMENTS,
    page: Path = store.LOCAL_PAGE,
) -> int:
    """Run; return 0 when everything was measured, whether or not its target was met."""
    arguments = _arguments(given, measurements)
    if arguments.page is not None:
        try:
            written = store.write_page(arguments.page, page)
        except store.PageError as error:
            _console.print(f"bench: {error}", markup=False)
            return 1
        for path in written:
            _console.print(f"wrote {path}", markup=False)
        return 0
    taken_at, reports = _now(), list[Report]()
    code = _measure_all(arguments, measurements, reports)
    if reports:
        results = Results(
            taken_at=taken_at,
            runs=arguments.runs,
            quick=arguments.quick,
            host=host.observe_host(),
            reports=tuple(reports),
        )
        _console.print(f"wrote {store.save(results)}", markup=False)
    return code


def _measure_all(
    arguments: argparse.Namespace, measurements: Sequence[Measurement], reports: list[Report]
) -> int:
    # What is started below is found and ended here, whatever became of its own parent.
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="slm-bench-", ignore_cleanup_errors=True) as folder:
        try:
            asyncio.run(_run(arguments, measurements, Path(folder), reports))
        except asyncio.CancelledError:
            _console.print("Stopped.")
            return 130
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                processes.kill_descendants()
    return 1 if any(report.error for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
