"""A pytest plugin that says which of pytest-xdist's workers runs what, for `pytest -n 3`.

The marker `xdist_group` would be the usual way, and is without effect in pytest-xdist 3.8 under
pytest 9.2: it writes an attribute that names of tests are not read from any more.
"""

import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

_LOCAL: Final = ("tests/local/", "tests/unit/local/test_envoy.py")
# Of the tests marked local, those that work little and wait much. They go beside the others.
_WAITING: Final = ("gateway", "envoy", "long_stream")


def group(nodeid: str) -> str:
    """Return what runs in one worker, one after the other, with this test: it, or its group."""
    path = nodeid.partition("::")[0]
    if not path.startswith(_LOCAL):
        return nodeid
    return "waiting" if any(word in path for word in _WAITING) else "working"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Schedule by group, the largest first: those that start programs."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc] # shipped without types
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return ByGroup(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the tests that start programs, and have deadlines, go before those beside them.

    Groups are handed out first, so that no worker has one of them after this.
    """
    if "PYTEST_XDIST_WORKER" in os.environ and group(item.nodeid) == item.nodeid:
        os.nice(19)
