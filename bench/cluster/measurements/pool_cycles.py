"""Whether requests are lost while a model of a pool falls asleep, parks and wakes, many times."""

import asyncio
from typing import Final

from bench.cluster.pods import PodCluster, Space, pod_cluster
from bench.cycles import SCALING, TOKENS, Sleeper, describe_cycles, measure_cycles
from bench.plan import Bench, Measurement
from bench.values import Report

_MODEL: Final = "chat"
_SEED: Final = 20261128
# Asleep 1 s after the last request, the replica is told to stop about 3 s later, and drains for
# 30 s: a request at a random moment of this window meets each of these changes in one run or other.
_WINDOW_SECONDS: Final = (1.0, 35.0)

_ABOUT: Final = describe_cycles(", through the gateway")


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    space = pods.new_space()
    await space.apply(_MODEL, scaling=SCALING)
    await space.until_ready(_MODEL)
    sleeper = Sleeper(
        ask=lambda: _ask(space),
        until_asleep=lambda: space.until_asleep(_MODEL),
        until_parked=lambda: space.until_parked(_MODEL),
        window=_WINDOW_SECONDS,
        seed=_SEED,
    )
    figures, notes = await measure_cycles(bench, sleeper)
    await asyncio.to_thread(space.remove)
    return Report(
        name="pool cycles",
        about=_ABOUT,
        figures=figures,
        notes=(f"Kubernetes {pods.version}.", *notes),
    )


MEASUREMENT: Final = Measurement(name="pool cycles", about=_ABOUT, measure=measure)


async def _ask(space: Space) -> float:
    return (await space.ask(_MODEL, TOKENS)).seconds
