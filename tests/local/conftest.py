"""One `slm up` that the tests of this folder share where they do not disturb each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live_run import LiveRun, live_run

# Seconds: more than two steps of a run may take.
_LIMIT = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here more time than others, unless they say themselves how much."""
    for item in items:
        if item.get_closest_marker("local") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LIMIT))


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory, bundled_gguf: Path) -> Iterator[LiveRun]:
    """A run without models; each module adds its own, and deletes them in the end."""
    assert bundled_gguf.exists()
    with live_run(tmp_path_factory.mktemp("shared")) as run:
        yield run
