"""How long the first token takes of a model in a pool that sleeps, and of one that is parked."""

import asyncio
from typing import Final

from bench.client import first_token_seconds
from bench.cluster.pods import PodCluster, Space, pod_cluster
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Report, Target

_MODEL: Final = "chat"
_TOKENS: Final = 8
_SCALING: Final = {"idleTimeout": "1s", "parkAfter": "6s", "maxReplicas": 1}

_ABOUT: Final = (
    "A streamed request through the gateway, from sending it to the first event with text: to a "
    "model that is awake, to one that sleeps (weights out of memory, process there), to one that "
    "is parked while its worker pod is there, and to one whose pool has no worker pod. The client "
    "makes no second try, and no answer may be short. The cluster does nothing else."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    awake: list[float] = []
    asleep: list[float] = []
    parked: list[float] = []
    without_worker: list[float] = []
    space = pods.new_space()
    await space.apply(_MODEL, scaling=_SCALING)
    await space.until_ready(_MODEL)
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        await space.ask(_MODEL)
        awake.append(await _first_token(space))
        await space.until_asleep(_MODEL)
        asleep.append(await _first_token(space))
        await space.until_parked(_MODEL)
        parked.append(await _first_token(space))
        await space.until_no_worker()
        without_worker.append(await _first_token(space))
    await asyncio.to_thread(space.remove)
    return Report(
        name="pool wake",
        about=_ABOUT,
        figures=(
            _figure("first token, asleep", asleep, 1),
            _figure("first token, parked, worker there", parked, 4),
            _figure("first token, parked, no worker", without_worker, 12),
            Figure(name="first token, awake", unit="s", runs=tuple(awake)),
        ),
        notes=(f"Kubernetes {pods.version}.",),
    )


MEASUREMENT: Final = Measurement(name="pool wake", about=_ABOUT, measure=measure)


async def _first_token(space: Space) -> float:
    seconds = first_token_seconds(await space.ask(_MODEL, _TOKENS, stream=True))
    if seconds is None:
        raise RuntimeError("the stream had no text")
    return seconds


def _figure(name: str, seconds: list[float], most: float) -> Figure:
    target = Target(bound=Bound.AT_MOST, value=most)
    return Figure(name=name, unit="s", runs=tuple(seconds), target=target)
