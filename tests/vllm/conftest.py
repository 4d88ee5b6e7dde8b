"""These tests run where they are asked for by their mark, and are not collected elsewhere."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from support.fetching import run_fetch

CONVERTER = Path(__file__).parents[1] / "support" / "gguf_to_hf.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folder out unless `-m vllm`: vLLM is not installed where `make test` runs."""
    del collection_path
    return None if config.option.markexpr == "vllm" else True


@pytest.fixture(scope="session")
def hf_folder(bundled_gguf: Path) -> Path:
    """The bundled model as a Hugging Face folder, converted once for this file and converter."""
    digest = hashlib.sha256(bundled_gguf.name.encode() + CONVERTER.read_bytes())
    digest.update(str(bundled_gguf.stat().st_size).encode())
    folder = bundled_gguf.parent.with_name(f"smollm2-hf-{digest.hexdigest()[:12]}")
    folder.mkdir(exist_ok=True)
    done = folder / "smollm2-135m-instruct"
    with FileLock(folder / ".lock"):
        if not done.exists():
            partial = folder / "partial"
            subprocess.run(
                [sys.executable, CONVERTER, bundled_gguf, partial],
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                check=True,
                timeout=600,
            )
            partial.replace(done)
    return done


@pytest.fixture(scope="session")
def fetched_hf(hf_folder: Path, weights_cache: Path) -> Path:
    """The same as replicas open it: verified, and in the cache."""
    return Path(run_fetch(f"file://{hf_folder}", weights_cache).path)
