"""What the kernel grants this container."""

from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_V1_NO_LIMIT: Final = 1 << 62
"""Version 1 has no word for "none": it gives the largest number of pages."""


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return the bytes that this container may use; None where it is not limited.

    Inside a container the folder is its own cgroup, by either version of the interface.
    """
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        if text == "max" or int(text) >= _V1_NO_LIMIT:
            return None
        return int(text)
    return None
