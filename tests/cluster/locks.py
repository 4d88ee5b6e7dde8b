"""Locks between runs of this program."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.problems import ClusterProblem


@contextmanager
def locked(path: Path, what: str, within: float) -> Iterator[None]:
    """Hold a lock; the kernel gives it back when this process ends, however that happens.

    Args:
        path: the lock's file, made when it is not there, and never removed: removing it
            would let two runs hold the same lock.
        what: what the lock protects, for the message.
        within: seconds to wait for another run.

    Raises:
        ClusterProblem: another run still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + within
    with path.open("a+") as file:
        while not _taken(file.fileno()):
            if time.monotonic() > until:
                file.seek(0)
                holder = file.read().strip() or "of another run"
                raise ClusterProblem(
                    f"{what} is in use by process {holder} for more than {within:g} s; "
                    f"wait for it or end it ({path})"
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
