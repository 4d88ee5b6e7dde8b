"""A thousand SmallModels from nothing, changes of them, a resync and a restart with them."""

import asyncio
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from bench.cluster.measurements.changes import CHANGES, Changes, change_one_by_one
from bench.cluster.measurements.churn import A_SECOND, SPREAD, WARM_UP, Churn, churn
from bench.cluster.measurements.churn import CHANGES as CHURN
from bench.cluster.operator_process import OperatorProcess, Said, operator_process
from bench.cluster.thousand import MODELS, NAMESPACE, Installed, settled, written
from bench.plan import Bench, Measurement
from bench.values import Bound, Breakdown, Figure, Judge, Report, Target

_MIB: Final = 2**20
_RESYNC_SECONDS: Final = 330.0
_RESTART_SECONDS: Final = 60.0

_ABOUT: Final = (
    f"{MODELS:,} SmallModels of one card in one namespace are there, and nothing else, when the "
    "operator is started; 20 of them share a pool. *All written* is the time from the start of its "
    "process until the last of them is in the Serve config of a RayService, as a watch of the "
    "benchmark sees it. All have the same weights, and one Job fetches them. The API server, etcd, "
    "the controller manager and the scheduler are real and share the cores; a fake marks "
    "RayServices Ready and ends the pods of fetch Jobs. Dashboards are absent, so that no model is "
    "verified. "
    f"Once nothing is written any more, `scaling.maxReplicas` of {CHANGES} models is changed, each "
    "after the one before it arrived, timed from sending it until the watch sees the Serve config "
    f"changed. Then {CHURN} changes are made to {SPREAD} of the models at {A_SECOND} a second, "
    "which is an hour of 10 a minute; *growth* compares the RSS after all of them with the RSS "
    f"after the first {WARM_UP}. A "
    "restart is a new process on the same objects, and is done when it has read everything and "
    "nothing waits in its queues; a resync is the one that comes every five minutes by itself. "
    "Writes are counted by the operator's own metric, those of its Lease left out."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    placements: float
    pools: float
    written: float
    quiet: float
    cpu: float
    server_cpu: float
    rss: float
    peak: float
    writes: Said
    change: Changes
    churn: Churn
    resync_writes: float
    restart: float
    restart_cpu: float
    restart_writes: float
    restart_rss: float
    restart_what: dict[str, int]


async def measure(bench: Bench) -> Report:
    """Measure."""
    runs, version = list[_Run](), ""
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        async with written(bench) as installed:
            version = installed.plane.version
            runs.append(await _one(bench, installed))
    return Report(
        name="thousand models",
        about=_ABOUT,
        figures=_figures(runs),
        breakdowns=(_breakdown(runs[-1]),),
        notes=(
            f"Kubernetes {version}.",
            *(f"A restart wrote: {run.restart_what}." for run in runs if run.restart_what),
        ),
    )


MEASUREMENT: Final = Measurement(name="thousand models", about=_ABOUT, measure=measure)


async def _one(bench: Bench, installed: Installed) -> _Run:
    plane, operator = installed.plane, installed.operator
    seen = plane.seen
    rss, cpu = operator.rss(), operator.cpu_seconds()
    server_cpu = plane.server_cpu() - installed.server_cpu
    all_in = seen.last_change() - installed.began
    pools = max(pool.made for pool in seen.pools.values()) - installed.began
    placements = max(seen.placements.values()) - installed.began
    quiet = await settled(operator) - installed.began
    writes = await operator.said()
    bench.say(f"all written after {all_in:.1f} s, quiet after {quiet:.1f} s")
    changed = await change_one_by_one(bench, installed)
    bench.say(f"a change: p50 {changed.p50:.0f} ms, p99 {changed.p99:.0f} ms")
    churned = await churn(bench, installed)
    bench.say(f"RSS {churned.before:.0f} MiB, then {churned.after:.0f} MiB; waits for a resync")
    resync = await _resync_writes(operator)
    peak = operator.peak()
    await operator.end()
    log = bench.new_folder("restart") / "operator.log"
    began = time.perf_counter()
    async with operator_process(plane.kubeconfig, log) as again:
        await again.wait_ready()
        await again.wait_idle(_RESTART_SECONDS)
        restart, restart_cpu = time.perf_counter() - began, again.cpu_seconds()
        # What it writes late counts too.
        await settled(again)
        said = await again.said()
        restart_rss = again.peak()
    return _Run(
        placements=placements,
        pools=pools,
        written=all_in,
        quiet=quiet,
        cpu=cpu,
        server_cpu=server_cpu,
        rss=rss / _MIB,
        peak=peak / _MIB,
        writes=writes,
        change=changed,
        churn=churned,
        resync_writes=resync,
        restart=restart,
        restart_cpu=restart_cpu,
        restart_writes=said.written,
        restart_rss=restart_rss / _MIB,
        restart_what=said.writes_since(Said(queued=0, writes={}, reads=0, lists=0)),
    )


async def _resync_writes(operator: OperatorProcess) -> float:
    """Wait for the resync that comes by itself, and return how much was written for it."""
    before = await operator.said()
    async with asyncio.timeout(_RESYNC_SECONDS):
        while (await operator.said()).lists == before.lists:
            await asyncio.sleep(0.5)
    await operator.wait_idle(_RESTART_SECONDS)
    await settled(operator)
    return float((await operator.said()).written - before.written)


def _figures(runs: list[_Run]) -> tuple[Figure, ...]:
    soon = Target(bound=Bound.AT_MOST, value=20)
    memory = Target(bound=Bound.AT_MOST, value=220, judge=Judge.WORST)
    none = Target(bound=Bound.AT_MOST, value=0, judge=Judge.WORST)

    def figure(name: str, unit: str, field: str, target: Target | None = None) -> Figure:
        values = tuple(float(attrgetter(field)(run)) for run in runs)
        return Figure(name=name, unit=unit, runs=values, target=target)

    return (
        figure("all ModelPlacements", "s", "placements", soon),
        figure("all RayServices made", "s", "pools", soon),
        figure("all written", "s", "written", soon),
        figure("until nothing is written any more", "s", "quiet"),
        figure("processor time of the operator until all is written", "s", "cpu"),
        figure("processor time of the API server until then", "s", "server_cpu"),
        figure("RSS of the operator when all is written", "MiB", "rss"),
        figure("most RSS until the resync is over", "MiB", "peak", memory),
        figure("one change, p50", "ms", "change.p50"),
        figure("one change, p99", "ms", "change.p99", Target(bound=Bound.AT_MOST, value=500)),
        figure("processor time of the operator for a change", "ms", "change.cpu"),
        figure(f"RSS after {WARM_UP} changes", "MiB", "churn.before"),
        figure(f"RSS after {CHURN} changes", "MiB", "churn.after"),
        figure(
            "growth", "%", "churn.growth", Target(bound=Bound.AT_MOST, value=5, judge=Judge.WORST)
        ),
        figure("writes of a resync", "", "resync_writes", none),
        figure("restart", "s", "restart", Target(bound=Bound.AT_MOST, value=15)),
        figure("processor time of a restart", "s", "restart_cpu"),
        figure("writes of a restart", "", "restart_writes", none),
        figure("most RSS of a restart", "MiB", "restart_rss"),
    )


def _breakdown(run: _Run) -> Breakdown:
    counted = sorted(run.writes.writes.items(), key=lambda item: -item[1])
    return Breakdown(
        title=f"Writes until nothing is written any more, in the last run, in {NAMESPACE!r}",
        columns=("Call", "Times"),
        rows=tuple((what, str(count)) for what, count in counted),
    )
