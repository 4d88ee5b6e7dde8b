"""Fetching for tests: by the program, or in this process."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smallmodel_operator.api.fetch import FETCH_EVENTS, FetchDone, FetchFailed
from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.store import FetchRequest, fetch


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run_fetch(uri: str, cache: Path, *options: str) -> FetchDone:
    """Run the fetch program as `slm up` does, and return what it says when it is done."""
    command = [sys.executable, "-m", "smallmodel_serving.runtime.fetch"]
    ended = subprocess.run(
        [*command, "--uri", uri, "--cache", str(cache), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    lines = ended.stdout.splitlines()
    last = FETCH_EVENTS.validate_json(lines[-1]) if lines else None
    if isinstance(last, FetchFailed):
        pytest.fail(f"{uri} was not fetched: {last.reason}: {last.message}")
    assert isinstance(last, FetchDone), ended.stderr
    return last


def get(uri: str, cache: Path, using: Tools | None = None, **declared: Any) -> FetchDone:
    tools = using or Tools(sleep=lambda _: None)
    return fetch(FetchRequest(uri=uri, **declared), cache / "cache", tools)


def files_below(done: FetchDone) -> list[str]:
    root = Path(done.path)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
