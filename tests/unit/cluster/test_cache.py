"""What is built once and kept, and the locks that make it once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cache import cache_folder, cached, digest
from cluster.folders import TESTS
from cluster.locks import locked
from cluster.problems import ClusterProblem


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_folder_is_filled_once() -> None:
    filled: list[Path] = []

    def fill(folder: Path) -> None:
        filled.append(folder)
        (folder / "program").write_text("built")

    assert cached("tool", "1", fill) == cached("tool", "1", fill)
    assert (cached("tool", "1", fill) / "program").read_text() == "built"
    assert len(filled) == 1


def test_a_build_that_fails_leaves_nothing_that_looks_like_one() -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ClusterProblem("the compiler says no")

    with pytest.raises(ClusterProblem, match="says no"):
        cached("tool", "1", fill)
    assert [path.name for path in cache_folder().iterdir()] == [".tool.lock"]


def test_where_one_part_ends_matters_to_the_digest() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab", b"c"]) == digest([b"ab", "c"])


def test_a_lock_that_another_run_holds_names_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cluster.locks import locked\n"
        "with locked(Path(sys.argv[1]), 'it', 0): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ClusterProblem, match=f"the thing is in use by process {holder.pid} "),
            locked(path, "the thing", within=0.2),
        ):
            pytest.fail("two hold one lock")
        assert holder.stdin
        holder.stdin.close()
    with locked(path, "the thing", within=5):
        assert path.read_text() == f"{os.getpid()}\n"
