"""How soon a change of one SmallModel among a thousand is in its RayService."""

import asyncio
import time
from typing import Final

from bench.children import until
from bench.cluster.thousand import MODELS, NAMESPACE, settled, written
from bench.plan import Bench, Measurement
from bench.summary import percentile
from bench.values import Bound, Figure, Report, Target

_CHANGES: Final = 100
_PAUSE_SECONDS: Final = 0.3
_LIMIT_SECONDS: Final = 30.0

_ABOUT: Final = (
    f"{MODELS:,} SmallModels are there and nothing is written any more. Then `scaling.maxReplicas` "
    f"of one after the other is changed, {_CHANGES} in all, each after the one before it arrived "
    f"and a pause of {1000 * _PAUSE_SECONDS:.0f} ms. Timed from sending the change of the "
    "SmallModel until a watch of the benchmark sees the Serve config of its RayService changed."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    p50, p99, cpu = list[float](), list[float](), list[float]()
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        times, used = await _one(bench)
        p50.append(percentile(times, 0.5))
        p99.append(percentile(times, 0.99))
        cpu.append(used)
    target = Target(bound=Bound.AT_MOST, value=500)
    return Report(
        name="one change",
        about=_ABOUT,
        figures=(
            Figure(name="p50", unit="ms", runs=tuple(p50)),
            Figure(name="p99", unit="ms", runs=tuple(p99), target=target),
            Figure(name="processor time of the operator for each", unit="ms", runs=tuple(cpu)),
        ),
    )


MEASUREMENT: Final = Measurement(name="one change", about=_ABOUT, measure=measure)


async def _one(bench: Bench) -> tuple[list[float], float]:
    """Return the milliseconds of each change, and what each cost the operator."""
    async with written(bench) as installed:
        plane, operator = installed.plane, installed.operator
        await settled(operator)
        changes = bench.amount(_CHANGES)
        step = max(1, len(installed.names) // changes)
        times, before = list[float](), operator.cpu_seconds()
        for name in installed.names[: changes * step : step]:
            pool = plane.seen.pool_of(NAMESPACE, name)
            began, config = time.perf_counter(), pool.config
            await plane.change_model(NAMESPACE, name, {"scaling": {"maxReplicas": 2}})

            def arrived(model: str = name, old: str = config) -> bool:
                return plane.seen.pool_of(NAMESPACE, model).config != old

            await until(arrived, f"the change of {name} is in its RayService", _LIMIT_SECONDS)
            times.append(1000 * (plane.seen.pool_of(NAMESPACE, name).at - began))
            await asyncio.sleep(_PAUSE_SECONDS)
        return times, 1000 * (operator.cpu_seconds() - before) / len(times)
