"""Whether equal workers and equal heads find room on nodes together: exact, not a guess."""

from collections.abc import Iterable
from typing import NamedTuple


class Bin(NamedTuple):
    """What one node has room for."""

    cpu: float
    memory: int
    devices: int


class Item(NamedTuple):
    """What one pod asks for."""

    cpu: float
    memory: int
    devices: int


def fit_together(bins: Iterable[Bin], worker: Item, workers: int, head: Item, heads: int) -> bool:
    """Return whether so many workers and so many heads fit; no more bins are taken than it needs.

    Node by node it keeps, for each number of workers placed so far, the most heads beside them.
    """
    most = {0: 0}
    for found in bins:
        if _holds_all(found, worker, workers, head, heads):
            return True
        extended: dict[int, int] = {}
        for placed, beside in most.items():
            for here in range(min(_times(found, worker), workers - placed) + 1):
                total = beside + min(_times(_without(found, worker, here), head), heads)
                extended[placed + here] = max(extended.get(placed + here, 0), total)
        most = extended
        if most.get(workers, -1) >= heads:
            return True
    return most.get(workers, -1) >= heads


def _holds_all(found: Bin, worker: Item, workers: int, head: Item, heads: int) -> bool:
    """Return whether one node is enough, as it mostly is."""
    if _times(found, worker) < workers:
        return False
    return _times(_without(found, worker, workers), head) >= heads


def _times(found: Bin, item: Item) -> int:
    # A small tolerance: cores are sums of decimal fractions.
    times = min(int((found.cpu + 1e-6) / item.cpu), found.memory // item.memory)
    if item.devices:
        times = min(times, found.devices // item.devices)
    return max(0, times)


def _without(found: Bin, item: Item, count: int) -> Bin:
    return Bin(
        cpu=found.cpu - count * item.cpu,
        memory=found.memory - count * item.memory,
        devices=found.devices - count * item.devices,
    )
