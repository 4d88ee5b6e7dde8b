"""What gateway and pool add to one request."""

import asyncio
import sys
from typing import Final

from bench.children import ChildError, child, tail
from bench.cluster.pairs import PairSettings, PairTimes
from bench.cluster.pods import PodCluster, Space, pod_cluster, replicas
from bench.measurements.latency import PAIRS, latency_figures
from bench.plan import Bench, Measurement
from bench.slm_up import NAME
from bench.values import Report

_PAIRS_SECONDS: Final = 300.0

_ABOUT: Final = (
    "One-token requests, one client, in pairs: one through the gateway's Service, Envoy, HAProxy "
    "and the replica, one straight to the HTTP server of the very same engine process, in "
    "alternating order. The client is a process in the network of the worker pod, so that both "
    "ways begin at the same place; the first one leaves the pod and comes back to it. The prompt "
    "is always the same, so that the engine has it cached and the path is not lost in its time. A "
    f"run has {PAIRS} pairs. *Added* is the difference within a pair: its median, and its 99th "
    "percentile, which holds the engine's own outliers too; the difference of the two 99th "
    "percentiles stands below it."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    space = pods.new_space()
    await space.apply(NAME, scaling={"minReplicas": 1, "maxReplicas": 1})
    await space.until_ready(NAME)
    times = []
    for number in range(bench.runs):
        bench.say(f"run {number + 1}")
        times.append(await _pairs(bench, space))
    await asyncio.to_thread(space.remove)
    gateway, engine = [list(each.gateway) for each in times], [list(each.engine) for each in times]
    return Report(
        name="pool latency",
        about=_ABOUT,
        figures=latency_figures(gateway, engine, p50=3, p99=None),
        notes=(f"Kubernetes {pods.version}.",),
    )


MEASUREMENT: Final = Measurement(name="pool latency", about=_ABOUT, measure=measure)


async def _pairs(bench: Bench, space: Space) -> PairTimes:
    """Run the client in the network of the worker pod that has the model."""
    found = [replicas(pod["metadata"]["uid"]) for pod in await space.pods_of("worker")]
    replica = next(running[NAME] for running in found if NAME in running)
    settings = PairSettings(gateway=space.url, replica=replica, pairs=bench.amount(PAIRS))
    words = ("nsenter", f"--target={replica}", "--net", "--", sys.executable)
    log = bench.new_folder("pairs") / "stderr.log"
    program = (*words, "-m", "bench.cluster.pairs", settings.model_dump_json())
    async with asyncio.timeout(_PAIRS_SECONDS), child(*program, log=log) as process:
        assert process.stdout is not None
        told = await process.stdout.read()
    if not told:
        raise ChildError(f"the client ended without a word:\n{tail(log)}")
    return PairTimes.model_validate_json(told)
