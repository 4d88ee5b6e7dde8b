"""How many threads one engine computes with."""

import os
from pathlib import Path
from typing import Final

SPIN_VARIABLE: Final = "GOMP_SPINCOUNT"
"""Read by GNU's OpenMP, which llama.cpp computes with, when it is loaded."""

SPINS: Final = "300"
"""How often a thread looks whether the others are done before it lets another have its core.

By default it looks 300,000 times, at each of the many barriers of a token. Measured with SmolLM2,
two threads on two cores: 300 writes as many tokens as the default on a calm machine, and 20 times
as many beside one busy process (60 a second against 3); 100 loses a third on a calm machine.
"""

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def engine_threads(*, wanted: int | None, cores: int, others_awake: int) -> int:
    """Return the threads of an engine that loads now.

    Alone, it takes all cores. Beside another engine it leaves one free: two engines with all cores
    each make every barrier wait for a thread that is not scheduled (measured with one busy
    neighbour on two cores: 103 tokens/s fell to 27 with two threads, one thread stayed at 62).
    """
    if wanted is not None:
        return wanted
    return cores if others_awake == 0 else max(1, cores - 1)


def usable_cores() -> int:
    """Return the cores that this process may use: its affinity, cut by its cgroup's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _quota() -> float | None:
    try:
        limit, period = _CGROUP_V2.read_text().split()
    except (OSError, ValueError):
        try:
            limit, period = _CGROUP_V1.read_text().strip(), _CGROUP_V1_PERIOD.read_text().strip()
        except OSError:
            return None
    if limit in ("max", "-1"):
        return None
    return int(limit) / int(period)
