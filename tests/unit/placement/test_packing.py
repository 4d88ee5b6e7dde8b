"""Workers and heads together on nodes: exact, compared with trying everything."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.placement.packing import Bin, Item, fit_together

WORKER = Item(cpu=1.0, memory=3, devices=0)
HEAD = Item(cpu=0.25, memory=2, devices=0)


def bins(*memories: int, cpu: float = 8.0, devices: int = 0) -> tuple[Bin, ...]:
    return tuple(Bin(cpu=cpu, memory=memory, devices=devices) for memory in memories)


CASES = {
    "nothing needs no node": ((), 0, 0, True),
    "a head needs a node": ((), 0, 1, False),
    "a worker and its head on one node": (bins(5), 1, 1, True),
    "a worker and its head on two": (bins(3, 2), 1, 1, True),
    "a head that finds no room beside the worker": (bins(4), 1, 1, False),
    "memory in pieces is no room for a worker": (bins(2, 2, 2), 1, 0, False),
    "the worker goes where it leaves most room for heads": (bins(4, 5), 1, 3, True),
    "in whichever order nodes come": (bins(5, 4), 1, 3, True),
    "and there may be one head too many": (bins(4, 5), 1, 4, False),
    "two workers on two nodes": (bins(4, 4), 2, 0, True),
    "cores end before memory": (bins(64, cpu=2.0), 3, 0, False),
}


@pytest.mark.parametrize(("nodes", "workers", "heads", "expected"), CASES.values(), ids=CASES)
def test_it_fits_or_not(nodes: tuple[Bin, ...], workers: int, heads: int, expected: bool) -> None:
    assert fit_together(nodes, WORKER, workers, HEAD, heads) is expected


@pytest.mark.parametrize(("devices", "expected"), [(3, False), (4, True)])
def test_devices_bound_workers_too(devices: int, expected: bool) -> None:
    pair = Item(cpu=1.0, memory=4, devices=2)
    assert fit_together(bins(64, devices=devices), pair, 2, HEAD, 1) is expected


def test_sums_of_tenths_of_cores_are_not_cut_short() -> None:
    tenth = Item(cpu=0.1, memory=1, devices=0)
    assert fit_together(bins(64, cpu=0.1 + 0.2), tenth, 3, HEAD, 0)


@given(
    memories=st.lists(st.integers(0, 20), max_size=3),
    workers=st.integers(0, 3),
    heads=st.integers(0, 4),
)
def test_it_agrees_with_trying_every_way(memories: list[int], workers: int, heads: int) -> None:
    ways = product(
        *(
            [
                (w, h)
                for w in range(workers + 1)
                for h in range(heads + 1)
                if w * WORKER.memory + h * HEAD.memory <= memory
            ]
            for memory in memories
        )
    )
    expected = any(
        sum(w for w, _ in way) >= workers and sum(h for _, h in way) >= heads for way in ways
    )
    assert fit_together(bins(*memories), WORKER, workers, HEAD, heads) is expected
