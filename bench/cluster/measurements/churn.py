"""Whether the operator's memory grows with the changes that it has seen."""

import asyncio
from typing import Final

from bench.cluster.thousand import MODELS, NAMESPACE, settled, written
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target

_CHANGES: Final = 600
_WARM_UP: Final = 100
_A_SECOND: Final = 10
_SPREAD: Final = 50
_MIB: Final = 2**20

_ABOUT: Final = (
    f"{MODELS:,} SmallModels are there and nothing is written any more. Then {_CHANGES} changes "
    f"are made to {_SPREAD} of them, which is an hour of 10 a minute, in "
    f"{_CHANGES // _A_SECOND} s. *Growth* compares the RSS after all of them with the RSS after "
    f"the first {_WARM_UP}, each once nothing was written any more."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    first, last, growth = list[float](), list[float](), list[float]()
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        before, after = await _one(bench)
        first.append(before)
        last.append(after)
        growth.append(100 * (after - before) / before)
    target = Target(bound=Bound.AT_MOST, value=5, judge=Judge.WORST)
    return Report(
        name="churn",
        about=_ABOUT,
        figures=(
            Figure(name=f"RSS after {_WARM_UP} changes", unit="MiB", runs=tuple(first)),
            Figure(name=f"RSS after {_CHANGES} changes", unit="MiB", runs=tuple(last)),
            Figure(name="growth", unit="%", runs=tuple(growth), target=target),
        ),
    )


MEASUREMENT: Final = Measurement(name="churn", about=_ABOUT, measure=measure)


async def _one(bench: Bench) -> tuple[float, float]:
    """Return the RSS in MiB after the first changes and after all."""
    async with written(bench) as installed:
        plane, operator = installed.plane, installed.operator
        await settled(operator)
        before, changes = 0.0, max(_WARM_UP + 1, bench.amount(_CHANGES))
        for number in range(changes):
            if number == _WARM_UP:
                await settled(operator)
                before = operator.rss() / _MIB
            name = installed.names[number % min(_SPREAD, len(installed.names))]
            replicas = 2 + (number // _SPREAD) % 3
            await plane.change_model(NAMESPACE, name, {"scaling": {"maxReplicas": replicas}})
            await asyncio.sleep(1 / _A_SECOND)
        await settled(operator)
        return before, operator.rss() / _MIB
