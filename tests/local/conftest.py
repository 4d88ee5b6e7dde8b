"""One `slm up` that the tests of this folder share where they do not disturb each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live_run import LiveRun, live_run

# Seconds: more than two steps of a run may take.
_LIMIT = 400
# These wait most of their time, and are run beside the others, which each want the whole machine.
_BESIDE = "test_long_stream.py"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here more time than others, and say which of them run one after the other."""
    for item in items:
        if not item.get_closest_marker("local"):
            continue
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LIMIT))
        group = "beside" if item.path.name == _BESIDE else "in turn"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory, bundled_gguf: Path) -> Iterator[LiveRun]:
    """A run without models; each module adds its own, and deletes them in the end."""
    assert bundled_gguf.exists()
    with live_run(tmp_path_factory.mktemp("shared")) as run:
        yield run
