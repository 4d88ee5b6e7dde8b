"""Whether requests are lost while a model of a pool falls asleep, parks and wakes, many times."""

import asyncio
import random
from collections import Counter
from typing import Final

from bench.client import LostError
from bench.cluster.pods import PodCluster, Space, pod_cluster
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target

_MODEL: Final = "chat"
_BURST: Final = 5
_CYCLES_A_RUN: Final = 2
# Asleep 1 s after the last request, the replica is told to stop about 3 s later, and drains for
# 30 s: a request at a random moment of this window meets each of these changes in one run or other.
_WINDOW_SECONDS: Final = (1.0, 35.0)
_SCALING: Final = {"idleTimeout": "1s", "parkAfter": "4s", "maxReplicas": 1}

_ABOUT: Final = (
    f"A cycle is four bursts of {_BURST} requests at once, through the gateway: while awake, when "
    "the engine has just fallen asleep, at a random moment while the replica is on its way out, "
    f"and when it is gone. A run has {_CYCLES_A_RUN} cycles. Every request has a connection of its "
    "own and no second try; it is lost unless it is answered with status 200 and its tokens."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    lost: list[float] = []
    slowest: list[float] = []
    causes: Counter[str] = Counter()
    asked = 0
    moments = random.Random(20261128)  # noqa: S311 - a reproducible sequence is what is wanted
    space = pods.new_space()
    await space.apply(_MODEL, scaling=_SCALING)
    await space.until_ready(_MODEL)
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        outcomes: list[float | str] = []
        for _ in range(_CYCLES_A_RUN):
            outcomes += await _cycle(space, moments.uniform(*_WINDOW_SECONDS))
        failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
        causes.update(failures)
        asked += len(outcomes)
        lost.append(len(failures))
        slowest.append(max((o for o in outcomes if isinstance(o, float)), default=0.0))
    await asyncio.to_thread(space.remove)
    return Report(
        name="pool cycles",
        about=_ABOUT,
        figures=(
            Figure(
                name=f"lost of {asked} requests",
                unit="",
                runs=tuple(lost),
                target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
            ),
            Figure(name="slowest answer", unit="s", runs=tuple(slowest)),
        ),
        notes=(
            f"Kubernetes {pods.version}.",
            *(f"Lost {count} times: {cause}" for cause, count in causes.most_common(5)),
        ),
    )


MEASUREMENT: Final = Measurement(name="pool cycles", about=_ABOUT, measure=measure)


async def _cycle(space: Space, pause: float) -> list[float | str]:
    outcomes = await _burst(space)
    await space.until_asleep(_MODEL)
    outcomes += await _burst(space)
    await asyncio.sleep(pause)
    outcomes += await _burst(space)
    await space.until_parked(_MODEL)
    outcomes += await _burst(space)
    return outcomes


async def _burst(space: Space) -> list[float | str]:
    """Return for each request the seconds that it took, or why it is lost."""
    return list(await asyncio.gather(*(_request(space) for _ in range(_BURST))))


async def _request(space: Space) -> float | str:
    try:
        return (await space.ask(_MODEL)).seconds
    except LostError as error:
        return str(error)
