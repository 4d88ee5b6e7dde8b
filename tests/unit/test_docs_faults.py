"""Tests that the documentation names are there, and each known failure has one."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted((ROOT / "docs").rglob("*.md"))
KNOWN: Final = ROOT / "docs/explanation/faults-of-many-clusters.md"
NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")
ROWS: Final = {
    line.split("|")[1].strip(): line
    for line in KNOWN.read_text(encoding="utf-8").splitlines()
    if line.startswith("| F")
}


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def missing_from(text: str) -> list[str]:
    """Return the tests that a text names and that are not there."""
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if not (ROOT / path).is_file() or (name and name not in functions_of(path))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_test_that_a_page_names_is_there(page: Path) -> None:
    assert missing_from(page.read_text(encoding="utf-8")) == []


def test_a_test_that_is_not_there_would_be_found() -> None:
    here = "tests/unit/test_docs_faults.py"
    assert missing_from(f"`{here}::test_nothing` and `tests/unit/nowhere.py`") == [
        f"{here}::test_nothing",
        "tests/unit/nowhere.py::",
    ]


def test_each_known_failure_has_its_tests() -> None:
    assert list(ROWS) == [f"F{number}" for number in range(1, 19)]
    assert [number for number, row in ROWS.items() if not NAMED.search(row)] == []
