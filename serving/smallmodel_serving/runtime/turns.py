"""Engines that share a device start one after another.

An engine that starts looks at how much of its device is free. Of two that start at the same time,
each takes the other's allocations for somebody else's: one ends with too small a cache, or fails
(vllm#55827, vllm#56830).
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

VISIBLE_DEVICES: Final = "CUDA_VISIBLE_DEVICES"
"""Set by Ray to the devices of which a replica has a share."""

_NOT_IN_A_NAME: Final = str.maketrans({"/": "_", "\0": "_"})

Turn = Callable[[], AbstractContextManager[None]]


def device_turn(folder: Path | None, environment: Mapping[str, str]) -> Turn:
    """Return what a start has to be done in: alone on its devices.

    Args:
        folder: The node's folder, the same for all its replicas; None: there are no others.
        environment: Of this replica.
    """
    devices = sorted({one.strip() for one in environment.get(VISIBLE_DEVICES, "").split(",")})
    named = [one for one in devices if one]
    if folder is None or not named:
        return contextlib.nullcontext
    # In one order, so that no two wait for each other.
    locks = [folder / f"device-{one.translate(_NOT_IN_A_NAME)}.lock" for one in named]
    return lambda: _held(locks)


@contextlib.contextmanager
def _held(locks: list[Path]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for path in locks:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Opened anew each time: the lock goes with the process that held it.
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
