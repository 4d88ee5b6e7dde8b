"""One `slm up` that the tests of this folder share where they do not disturb each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live_run import LiveRun, live_run


@pytest.fixture(scope="session")
def shared_run(
    tmp_path_factory: pytest.TempPathFactory, bundled_gguf: Path, minilm_gguf: Path
) -> Iterator[LiveRun]:
    """Two models that stay awake: `chat` from the catalogue, `embed` from a file."""
    assert bundled_gguf.exists()
    with live_run(tmp_path_factory.mktemp("shared")) as run:
        run.apply("chat", scaling={"idleTimeout": "1h"})
        run.apply("embed", source={"uri": f"file://{minilm_gguf}"}, scaling={"idleTimeout": "1h"})
        run.until_state("chat")
        run.until_state("embed")
        yield run
