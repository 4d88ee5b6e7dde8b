"""Replicas in a real Ray Serve behind its HAProxy: memory that two models share, and held requests.

Ray reads its settings on import, so Serve runs in a process of its own (`support.serve_program`).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.local


def run(folder: Path, weights: Path) -> dict[str, Any]:
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = subprocess.run(
        [sys.executable, "-m", "support.serve_program", str(folder), str(weights)],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def outcome(bundled_gguf: Path) -> dict[str, Any]:
    # Not pytest's folder: HAProxy's sockets lie below a node's id, and may have 97 characters.
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        return run(Path(folder), bundled_gguf)


@pytest.mark.timeout(300)
def test_models_that_do_not_fit_together_take_turns_and_lose_no_request(
    outcome: dict[str, Any],
) -> None:
    assert outcome["turns"] == [200] * 8


@pytest.mark.timeout(300)
def test_a_request_for_a_replica_that_fits_nowhere_is_answered_after_the_start_timeout(
    outcome: dict[str, Any],
) -> None:
    never = outcome["never"]
    assert never["status"] == 503
    assert never["answer"]["error"]["code"] == "StartTimeout"
    assert never["seconds"] < 30


@pytest.mark.timeout(300)
def test_a_request_for_an_application_that_breaks_is_answered_with_its_error(
    outcome: dict[str, Any],
) -> None:
    broken = outcome["broken"]
    assert broken["status"] == 503
    assert broken["answer"]["error"]["code"] == "DeployFailed"
    assert "no such library" in broken["answer"]["error"]["message"]


@pytest.mark.timeout(300)
def test_weights_that_are_gone_are_said_by_the_replica_itself(outcome: dict[str, Any]) -> None:
    assert outcome["missing"]["answer"]["error"]["code"] == "WeightsMissing"
