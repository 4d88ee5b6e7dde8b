"""From `slm up` to a model that answered."""

import statistics
from collections.abc import Iterable
from typing import Final

from bench.bare_engine import fetched_weights
from bench.plan import Bench, Measurement
from bench.slm_up import Phase, slm_up
from bench.tables import number
from bench.values import Bound, Breakdown, Figure, Report, Target

_ABOUT: Final = (
    "From starting the `slm up` command to its word that the model is Ready, after a real "
    "completion came back through the gateway. The weights are in the cache. The phases are the "
    "command's own words, timed from outside."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    await fetched_weights()
    seconds: list[float] = []
    phases: list[tuple[Phase, ...]] = []
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        async with slm_up(bench, "start") as run:
            seconds.append(run.ready_after)
            phases.append(run.phases)
    target = Target(bound=Bound.AT_MOST, value=20)
    return Report(
        name="start",
        about=_ABOUT,
        figures=(Figure(name="to Ready", unit="s", runs=tuple(seconds), target=target),),
        breakdowns=(
            phase_table(
                "When each phase was reached, in seconds after the command was started", phases
            ),
        ),
    )


MEASUREMENT: Final = Measurement(name="start", about=_ABOUT, measure=measure)


def phase_table(title: str, runs: Iterable[tuple[Phase, ...]]) -> Breakdown:
    """Return the median and the range of when each phase was reached, the earliest first."""
    moments: dict[str, list[float]] = {}
    for phases in runs:
        for phase in phases:
            moments.setdefault(phase.text, []).append(phase.at)
    ordered = sorted(moments.items(), key=lambda item: statistics.median(item[1]))
    return Breakdown(
        title=title,
        columns=("Phase", "Median", "Range"),
        rows=tuple(
            (
                text,
                number(statistics.median(times)),
                f"{number(min(times))} to {number(max(times))}",
            )
            for text, times in ordered
        ),
    )
