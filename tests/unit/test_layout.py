"""The repository's own rules: folders, rooms, imports, and what no file may hold."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OPERATOR: Final = ROOT / "operator"
SERVING: Final = ROOT / "serving"
LONGEST: Final = 450
PURE_ROOMS: Final = ("api", "catalog", "placement", "plan", "status")


def tracked_files() -> list[Path]:
    """The files of the repository that are committed or about to be, links aside."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def text_of(path: Path) -> str:
    """The text of a file, or nothing for a file that is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def python_files(*folders: Path) -> list[Path]:
    """The Python files of the repository in these folders."""
    inside = [path for path in tracked_files() if path.suffix == ".py"]
    return [path for path in inside if any(folder in path.parents for folder in folders)]


# `operator` is also a module of the standard library, which these three rules keep importable.


def test_the_operator_folder_is_no_package() -> None:
    assert not (OPERATOR / "__init__.py").exists()


def test_the_operator_folder_holds_no_tests() -> None:
    found = [path.name for path in python_files(OPERATOR)]
    assert [name for name in found if name == "conftest.py" or name.startswith("test_")] == []


def test_no_test_package_is_called_operator() -> None:
    assert [path for path in (ROOT / "tests").rglob("operator") if path.is_dir()] == []


def test_the_standard_operator_module_is_found_from_the_repository_root() -> None:
    code = "import collections, operator; print(operator.add(1, 2))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (ended.stdout.strip(), ended.stderr) == ("3", "")


def rooms() -> list[Path]:
    """Every folder that is imported as one room."""
    operator_rooms = (OPERATOR / "smallmodel_operator").glob("*/__init__.py")
    serving_rooms = (SERVING / "smallmodel_serving").glob("*/__init__.py")
    return sorted(path.parent for path in (*operator_rooms, *serving_rooms))


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.name)
def test_a_room_says_what_may_not_happen_in_it(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse(text_of(room / "__init__.py"))) or ""
    assert re.search(r"\b(no|not|never|nothing|only)\b", docstring, re.IGNORECASE)


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_is_called_one(room: str) -> None:
    docstring = text_of(OPERATOR / "smallmodel_operator" / room / "__init__.py")
    assert "no I/O" in docstring or "may do I/O" in docstring or "Pure:" in docstring


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the repository's contracts on the packages of a folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'operator'}:{folder / 'serving'}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copied_packages(tmp_path: Path) -> Path:
    """A copy of both packages and the contracts, to be spoiled."""
    ignore = shutil.ignore_patterns("__pycache__")
    for package in ("operator/smallmodel_operator", "serving/smallmodel_serving"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


VIOLATIONS: dict[str, tuple[str, str, str]] = {
    "a pure room that reads files": (
        "operator/smallmodel_operator/catalog/planted.py",
        "import os",
        "Pure rooms do no I/O and know no clock BROKEN",
    ),
    "a pure room that knows the clock": (
        "operator/smallmodel_operator/status/planted.py",
        "from time import monotonic",
        "Pure rooms do no I/O and know no clock BROKEN",
    ),
    "a room that imports one above it": (
        "operator/smallmodel_operator/api/planted.py",
        "import smallmodel_operator.plan",
        "a new room must be given its place BROKEN",
    ),
    "a new room without a place": (
        "operator/smallmodel_operator/attic/__init__.py",
        "",
        "a new room must be given its place BROKEN",
    ),
    "an operator that imports what runs inside Ray": (
        "operator/smallmodel_operator/local/planted.py",
        "import smallmodel_serving.runtime",
        "The operator never imports what runs inside Ray BROKEN",
    ),
    "serving code that decides": (
        "serving/smallmodel_serving/runtime/planted.py",
        "import smallmodel_operator.placement",
        "share the application arguments and nothing else BROKEN",
    ),
    "a command line that speaks to Kubernetes itself": (
        "operator/smallmodel_operator/cli/planted.py",
        "import kubernetes",
        "Kubernetes is spoken to by two rooms BROKEN",
    ),
    "a room below the handlers that knows the framework": (
        "operator/smallmodel_operator/install/planted.py",
        "import kopf",
        "The operator framework is known to the handlers and to main BROKEN",
    ),
    "a command line that starts Ray itself": (
        "operator/smallmodel_operator/cli/planted.py",
        "import ray",
        "Only the local room runs an embedded Ray BROKEN",
    ),
}


def test_the_import_rules_hold(copied_packages: Path) -> None:
    ended = lint_imports(copied_packages)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("case", VIOLATIONS)
def test_the_import_rules_catch(case: str, copied_packages: Path) -> None:
    path, line, expected = VIOLATIONS[case]
    planted = copied_packages / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f'"""Planted by a test."""\n\n{line}\n')
    ended = lint_imports(copied_packages)
    assert ended.returncode == 1
    # import-linter breaks and pads long lines.
    assert expected in " ".join(ended.stdout.split())


def test_no_file_names_a_place_of_one_machine() -> None:
    """Folders of somebody's machine, where no reader of the repository has anything."""
    places = re.compile(r"(?<![\w.~-])/(home/\w+/|root/\.|work/|mnt/|Users/\w+/)[\w.-]+")
    found = {
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        for match in places.finditer(text_of(path))
    }
    assert found == set()


def test_no_module_is_longer_than_one_idea() -> None:
    found = python_files(OPERATOR, SERVING, ROOT / "tests", ROOT / "tools", ROOT / "bench")
    lengths = {str(path.relative_to(ROOT)): len(text_of(path).splitlines()) for path in found}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_every_folder_of_tests_is_found_without_packages() -> None:
    """`importlib` mode needs none, and a package could shadow a module of the code."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_ignore_of_a_checker_names_its_code() -> None:
    bare = re.compile(r"#\s*(noqa(?!: [A-Z])|type: ignore(?!\[))")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files(OPERATOR, SERVING, ROOT / "tests", ROOT / "tools")
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if bare.search(line) and path != Path(__file__)
    ]
    assert found == []


def test_every_dependency_has_its_reason_and_nothing_else_has() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    wanted = {re.split(r"[^\w.-]", entry)[0] for entries in lists for entry in entries}
    page = text_of(ROOT / "docs" / "explanation" / "dependencies.md")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE)) == wanted
