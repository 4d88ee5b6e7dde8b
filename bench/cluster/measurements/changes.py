"""How soon a change of one SmallModel among many is in its RayService."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from bench.children import until
from bench.cluster.thousand import NAMESPACE, Installed
from bench.plan import Bench
from bench.summary import percentile

CHANGES: Final = 100
PAUSE_SECONDS: Final = 0.3

_LIMIT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What single changes took."""

    p50: float
    """Milliseconds, as are the others."""
    p99: float
    cpu: float
    """Processor time of the operator for each."""


async def change_one_by_one(bench: Bench, installed: Installed) -> Changes:
    """Change one model after the other, once nothing is written any more."""
    plane, operator = installed.plane, installed.operator
    changes = bench.amount(CHANGES)
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
        await asyncio.sleep(PAUSE_SECONDS)
    return Changes(
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        cpu=1000 * (operator.cpu_seconds() - before) / len(times),
    )
