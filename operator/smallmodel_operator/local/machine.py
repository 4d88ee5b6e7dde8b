"""What this machine has: cores, memory, engines and accelerators."""

import csv
import math
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.machine import AcceleratorStock, Machine

STACK_MEMORY: Final = int(1.4 * 2**30)
"""Bytes that Ray, Serve, HAProxy and Envoy hold before any model is loaded."""
LEAST_MEMORY: Final = 2**28
"""Bytes that models get even where the stack already takes all; the smallest card needs less."""
MACHINE_NAME: Final = "this machine"

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PACKAGES: Final = {Engine.LLAMA_CPP: "xllamacpp", Engine.VLLM: "vllm"}
_NVIDIA_QUERY: Final = (
    "nvidia-smi",
    "--query-gpu=name,memory.total",
    "--format=csv,noheader,nounits",
)


def observe_machine(memory: str | None = None, cpus: int | None = None) -> Machine:
    """Look at this machine.

    Args:
        memory: What models may use together, as a quantity; default: all that this process may
            have, less `STACK_MEMORY`.
        cpus: Cores; default: those that this process may use.

    Raises:
        ValueError: `memory` is not a quantity.
    """
    return Machine(
        name=MACHINE_NAME,
        cpu_cores=cpus or usable_cores(),
        memory_bytes=int(amount(memory)) if memory else memory_for_models(usable_memory()),
        engines=frozenset(engine for engine, name in _PACKAGES.items() if find_spec(name)),
        accelerators=observe_accelerators(),
    )


def memory_for_models(usable: int) -> int:
    """Return what is left for models of the bytes that this process may use."""
    return max(usable - STACK_MEMORY, LEAST_MEMORY)


def usable_memory() -> int:
    """Return the bytes that this process may use: the machine's, or its control group's limit."""
    return min([_total_memory(), *memory_limits(own_cgroups(_CGROUPS))])


def usable_cores() -> int:
    """Return the cores that this process may use: its affinity, or its control group's quota."""
    quotas = [max(1, math.ceil(quota)) for quota in cpu_quotas(own_cgroups(_CGROUPS))]
    return min([len(os.sched_getaffinity(0)), *quotas])


def own_cgroups(root: Path, membership: str | None = None) -> tuple[Path, ...]:
    """Return the folders of this process's control groups, innermost first.

    A limit of any of them binds. Inside a container the own group is usually the root itself.

    Args:
        root: Where control groups are mounted.
        membership: The text of `/proc/self/cgroup`; read from there if unset.
    """
    folders: list[Path] = []
    for hierarchy, path in _memberships(_read(Path("/proc/self/cgroup"), membership)):
        base = root / hierarchy if hierarchy else root
        inner = base / path.strip("/")
        # A path from outside a container's namespace is not there; the root is still true.
        groups = [inner, *inner.parents] if inner.is_dir() else [base]
        folders.extend(group for group in groups if group.is_relative_to(base))
    return tuple(dict.fromkeys(folders))


def memory_limits(groups: Iterable[Path]) -> list[int]:
    """Return the memory limits of control groups, in bytes; groups without one are left out."""
    texts = (
        _read(group / name).strip()
        for group in groups
        for name in ("memory.max", "memory.limit_in_bytes")
    )
    return [int(text) for text in texts if text.isdigit()]


def cpu_quotas(groups: Iterable[Path]) -> list[float]:
    """Return the CPU quotas of control groups, in cores; groups without one are left out."""
    quotas: list[float] = []
    for group in groups:
        numbers = _read(group / "cpu.max").split() or [
            _read(group / "cpu.cfs_quota_us").strip(),
            _read(group / "cpu.cfs_period_us").strip(),
        ]
        if len(numbers) == 2 and all(number.isdigit() for number in numbers) and int(numbers[1]):
            quotas.append(int(numbers[0]) / int(numbers[1]))
    return quotas


def observe_accelerators() -> tuple[AcceleratorStock, ...]:
    """Return the NVIDIA devices that `nvidia-smi` lists; none where it is absent or fails."""
    if shutil.which(_NVIDIA_QUERY[0]) is None:
        return ()
    try:
        answer = subprocess.run(
            _NVIDIA_QUERY, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return accelerators(answer.stdout)


def accelerators(listing: str) -> tuple[AcceleratorStock, ...]:
    """Return the devices of a listing with a name and its MiB in each line, counted by product.

    A product is spelled as its node label in Kubernetes is: `NVIDIA-L4`.
    """
    counts: dict[tuple[str, int], int] = {}
    for row in csv.reader(listing.splitlines(), skipinitialspace=True):
        # Unified-memory devices report `[N/A]`: an unknown size is not a device that can be used.
        if len(row) == 2 and row[1].isdigit():
            key = (row[0].replace(" ", "-"), int(row[1]) * 2**20)
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        AcceleratorStock(product=product, count=count, memory_bytes=memory)
        for (product, memory), count in sorted(counts.items())
    )


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Yield the hierarchy's folder below the mount, empty for version 2, and the group's path."""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield "", path
        for controller in controllers.split(","):
            if controller in {"memory", "cpu"}:
                yield controller, path


def _read(path: Path, known: str | None = None) -> str:
    if known is not None:
        return known
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
