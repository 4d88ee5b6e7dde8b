"""Python's shared memory, which outlives the processes that use it when they are killed."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path


def shared_memory(pids: Iterable[int]) -> set[Path]:
    """Return the files of Python's shared memory that these processes have open."""
    found: set[Path] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            names = re.findall(r" (/dev/shm/psm_\S+)$", maps, re.MULTILINE)
            found.update(map(Path, names))
    return found
