"""The gauge of parked models says 1 for what rests, and 0 for what runs or fails."""

import asyncio
from collections.abc import Mapping

import pytest

from smallmodel_serving.runtime.parked import Running, keep_gauge, parked

CASES = {
    "no replica, and Serve is content": (Running(settled=True, replicas=0), {"chat": 1}),
    "a replica runs": (Running(settled=True, replicas=1), {"chat": 0}),
    "the first replica is on its way": (Running(settled=False, replicas=0), {"chat": 0}),
}


@pytest.mark.parametrize(("running", "expected"), CASES.values(), ids=CASES.keys())
def test_a_model_is_parked_when_it_rests_without_a_replica(
    running: Running, expected: dict[str, int]
) -> None:
    assert parked(["chat"], {"chat": running, "other": running}) == expected


def test_a_model_that_serve_does_not_know_has_no_value() -> None:
    assert parked(["new"], {}) == {}


class FakeGauge:
    def __init__(self) -> None:
        self.values: asyncio.Queue[tuple[float, str]] = asyncio.Queue()

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values.put_nowait((value, tags["model"]))


async def test_a_controller_that_cannot_be_asked_is_asked_again() -> None:
    failures = iter([ConnectionError("the controller restarts")])

    def observe() -> Mapping[str, Running]:
        for failure in failures:
            raise failure
        return {"chat": Running(settled=True, replicas=0)}

    gauge = FakeGauge()
    keeping = asyncio.create_task(keep_gauge(gauge, lambda: ["chat"], observe, period=0))
    try:
        assert await asyncio.wait_for(gauge.values.get(), 5) == (1, "chat")
    finally:
        keeping.cancel()
