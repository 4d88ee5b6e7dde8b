"""Results on disk, and the reference pages that are written from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.children import ROOT
from bench.tables import markdown
from bench.values import Results

RESULTS: Final = ROOT / "bench" / "results"
_PAGES: Final = ROOT / "docs" / "reference"
LOCAL_PAGE: Final = _PAGES / "performance.md"
CLUSTER_PAGE: Final = _PAGES / "performance-on-a-cluster.md"
HYBRID_PAGE: Final = _PAGES / "performance-of-placing.md"

_BY_TIME: Final = "[0-9]*.json"
_BEGIN: Final = "<!-- Written by the benchmark's `--page`; everything between the marks. -->"
_END: Final = "<!-- End of what is written. -->"


class PageError(Exception):
    """The page cannot be written."""


def save(results: Results, folder: Path = RESULTS) -> Path:
    """Write results under their time, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.taken_at.replace(':', '')}.json"
    path.write_text(results.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> Results:
    """Read results."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))


def merged(several: Sequence[Results]) -> Results:
    """Return several results as one: of each measurement the last, in the order of the first.

    Raises:
        PageError: They are of different machines, or of different numbers of runs.
    """
    last = several[-1]
    settings = (last.host, last.runs, last.quick)
    if any((one.host, one.runs, one.quick) != settings for one in several):
        raise PageError("the results differ in machine, packages or runs; measure all of it anew")
    reports = {report.name: report for one in several for report in one.reports}
    return last.model_copy(update={"reports": tuple(reports.values())})


def newest(folder: Path = RESULTS) -> Path:
    """Return the file of the last results.

    Raises:
        PageError: There are none.
    """
    files = sorted(folder.glob(_BY_TIME))
    if not files:
        raise PageError(f"there are no results in {folder}; measure first")
    return files[-1]


def with_results(page: str, results: Results) -> str:
    """Return a page with what is between its marks written anew.

    Raises:
        PageError: The page lacks a mark.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise PageError(f"the page needs the lines {_BEGIN!r} and {_END!r}")
    return f"{before}{_BEGIN}\n\n{markdown(results)}\n{_END}{after}"


def write_page(sources: Sequence[Path], page: Path, folder: Path = RESULTS) -> tuple[Path, Path]:
    """Write a reference page from files of results, or from the newest, and keep its figures.

    Returns:
        The page, and the file with its results, which bears its name and is kept in the repository.

    Raises:
        PageError: There are no results, they do not fit together, or the page lacks a mark.
    """
    results = merged([load(source) for source in sources or [newest(folder)]])
    page.write_text(with_results(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    kept = folder / f"{page.stem}.json"
    kept.write_text(results.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return page, kept
