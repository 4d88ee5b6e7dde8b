"""Results on disk, and the pages that are written from them."""

from pathlib import Path

import pytest

from bench.store import CLUSTER_PAGE, LOCAL_PAGE, PageError, load, save, with_results, write_page
from bench.values import Figure, Host, Report, Results

MARKS = "before\n<!-- Written by the benchmark's `--page`; everything between the marks. -->\n"
PAGE = f"{MARKS}old\n<!-- End of what is written. -->\nafter\n"


def results(taken_at: str, value: float) -> Results:
    host = Host(
        processor="one", cores=2, memory_bytes=2**30, kernel="6", python="3.11", packages={}
    )
    figure = Figure(name="a change", unit="ms", runs=(value,))
    report = Report(name="changes", about="What was done.", figures=(figure,))
    return Results(taken_at=taken_at, runs=1, quick=False, host=host, reports=(report,))


def test_a_page_is_written_from_the_newest_results_and_they_are_kept_beside_it(
    tmp_path: Path,
) -> None:
    page = tmp_path / "speed.md"
    page.write_text(PAGE, encoding="utf-8")
    save(results("2026-11-28T10:00:00Z", 1.0), tmp_path)
    newer = results("2026-11-28T11:00:00Z", 2.0)
    save(newer, tmp_path)

    for _ in range(2):
        written, kept = write_page([], page, tmp_path)

        text = written.read_text(encoding="utf-8")
        assert text.startswith(MARKS)
        assert "| a change |  | 2 ms | 2 to 2 |  |" in text
        assert "old" not in text
        assert load(kept) == newer
        assert kept.name == "speed.json"


def test_without_results_no_page_is_written(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="there are no results"):
        write_page([], tmp_path / "speed.md", tmp_path)


@pytest.mark.parametrize("page", [LOCAL_PAGE, CLUSTER_PAGE])
def test_each_page_has_its_marks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert with_results(text, results("2026-11-28T10:00:00Z", 1.0)) != text
