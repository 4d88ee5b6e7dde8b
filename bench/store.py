"""Results on disk, and the reference page that is written from them."""

from pathlib import Path
from typing import Final

from bench.children import ROOT
from bench.tables import markdown
from bench.values import Results

RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "reference" / "performance.md"

_BEGIN: Final = "<!-- Written by `python -m bench --page`; everything between the marks. -->"
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


def newest(folder: Path = RESULTS) -> Path:
    """Return the file of the last results.

    Raises:
        PageError: There are none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise PageError(f"there are no results in {folder}; run `make bench` first")
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


def write_page(source: Path | None) -> Path:
    """Write the reference page from a file of results, or from the newest.

    Raises:
        PageError: There are no results, or the page lacks a mark.
    """
    results = load(source or newest())
    PAGE.write_text(with_results(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return PAGE
