"""Waiting with a limit, and saying what was waited for."""

import time
from collections.abc import Callable
from pathlib import Path

from cluster.problems import ClusterProblem, log_tail


def wait_until(
    condition: Callable[[], bool],
    what: str,
    within: float,
    logs: tuple[Path, ...] = (),
    explain: Callable[[], str] = str,
) -> float:
    """Return the seconds after which the condition held.

    Args:
        condition: asked again every tenth of a second; what it raises is not caught.
        what: ends the sentence "not within 60 s: …".
        within: seconds.
        logs: files whose last lines explain a failure.
        explain: is asked for more when it is too late.

    Raises:
        ClusterProblem: the condition did not hold in time.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > within:
            told = [f"not within {within:g} s: {what}", explain(), *map(log_tail, logs)]
            raise ClusterProblem("\n".join(filter(None, told)))
        time.sleep(0.1)
    return time.monotonic() - started
