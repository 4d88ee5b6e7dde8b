"""What a cycle of sleep asks, and how lost requests are counted."""

from pathlib import Path

from bench.client import LostError
from bench.cycles import Sleeper, measure_cycles
from bench.plan import Bench


class FakeModel:
    """A model whose every seventh request is lost, and that tells what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def ask(self) -> float:
        self.done.append("ask")
        if self.done.count("ask") % 7 == 0:
            raise LostError("status 503: no")
        return 0.5

    async def fall_asleep(self) -> None:
        self.done.append("asleep")

    async def park(self) -> None:
        self.done.append("parked")


async def test_each_cycle_has_four_bursts_and_lost_requests_are_counted_by_cause(
    tmp_path: Path,
) -> None:
    model = FakeModel()
    sleeper = Sleeper(
        ask=model.ask,
        until_asleep=model.fall_asleep,
        until_parked=model.park,
        window=(0.0, 0.0),
        seed=1,
    )
    bench = Bench(runs=2, quick=False, folder=tmp_path, say=lambda _: None)

    (lost, slowest), notes = await measure_cycles(bench, sleeper)

    cycle = ["ask"] * 5 + ["asleep"] + ["ask"] * 10 + ["parked"] + ["ask"] * 5
    assert model.done == cycle * 4
    assert lost.name == "lost of 80 requests"
    assert lost.runs == (5, 6)
    assert slowest.runs == (0.5, 0.5)
    assert notes == ["Lost 11 times: status 503: no"]
