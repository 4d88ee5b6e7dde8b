"""Another try for what may pass by itself."""

from collections.abc import Callable
from typing import Final, TypeVar

from smallmodel_serving.runtime.weights.errors import SourceCut, SourceUnreachable

WAITS_SECONDS: Final = (0.5, 1.0, 2.0)
"""Before the second, third and fourth try."""

T = TypeVar("T")


def retried(action: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """Return what `action` returns, after some tries if need be.

    Raises:
        SourceUnreachable: Every try failed in a way that may pass.
        WeightsError: It failed in another way.
    """
    failures = 0
    while True:
        try:
            return action()
        except SourceCut as error:
            failures += 1
            wait_or_give_up(error, failures, sleep)


def wait_or_give_up(error: SourceCut, failures: int, sleep: Callable[[float], None]) -> None:
    """Wait before the next try; `failures` is the number of tries in a row that brought nothing.

    Raises:
        SourceUnreachable: There were enough.
    """
    if failures > len(WAITS_SECONDS):
        raise SourceUnreachable(
            f"{error}; tried {failures} times. Check the address and the network, then try again"
        ) from error
    sleep(WAITS_SECONDS[max(0, failures - 1)])
