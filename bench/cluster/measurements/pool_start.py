"""From applying a SmallModel to its first answer: without a pool, and with one that serves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from bench.client import LostError
from bench.cluster.pods import PodCluster, Space, pod_cluster
from bench.cluster.timeline import ANSWERED, IN_CONFIG, Timeline, timeline
from bench.measurements.start import phase_table
from bench.plan import Bench, Measurement
from bench.slm_up import Phase
from bench.values import Bound, Figure, Judge, Report, Target

_FIRST: Final = "first"
_SECOND: Final = "second"
_LOAD_PAUSE: Final = 0.1
_ANSWER_SECONDS: Final = 240.0
_SCALING: Final = {"minReplicas": 1, "maxReplicas": 1}

_ABOUT: Final = (
    "Two SmallModels of the bundled card with a context of 1,024 tokens are made in a new "
    "namespace, one after the other, by one call to the API server each. *To the first answer* is "
    "the time from that call to the last byte of a whole completion of four tokens; the client "
    "asks the gateway every 50 ms until then. The image is on the node and the weights are in the "
    "namespace's volume; a fetch Job still runs for the first model, and finds them; the second "
    "one has the same weights. The first one has to wait for a pool, with its head and its worker. "
    "The second one finds both, while a client without a second try asks the first one 10 times a "
    "second at most: *failed* are its requests without a whole answer from the call on until the "
    "second model is Ready. *Added* is a part of the second time, from the moment at which the "
    "pool's RayService has the model in its config. "
    "KubeRay's own init container is switched off, as docs/reference/pools.md advises."
)


@dataclass(slots=True)
class _Load:
    """What came of asking a model while another one was added."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    new_pool: float
    with_pool: float
    added: float
    asked: int
    failed: tuple[str, ...]
    slowest: float
    new_pool_phases: tuple[Phase, ...]
    with_pool_phases: tuple[Phase, ...]


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    bench.say("fetch the weights once")
    fetched = pods.new_space()
    await fetched.apply(_FIRST)
    await fetched.until_ready(_FIRST)
    await asyncio.to_thread(_without_models, fetched)
    runs = []
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        space = pods.new_space(weights_of=fetched)
        runs.append(await _one(space))
        await asyncio.to_thread(space.remove)
    await asyncio.to_thread(fetched.remove)
    asked = sum(run.asked for run in runs)
    return Report(
        name="pool start",
        about=_ABOUT,
        figures=(
            _figure("to the first answer, no pool yet", [run.new_pool for run in runs], 35),
            _figure("to the first answer, pool there", [run.with_pool for run in runs], 8),
            _figure("added to a live pool, worker there", [run.added for run in runs], 5),
            Figure(
                name=f"failed of {asked} requests to the other model",
                unit="",
                runs=tuple(float(len(run.failed)) for run in runs),
                target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
            ),
            Figure(
                name="slowest answer of the other model",
                unit="s",
                runs=tuple(run.slowest for run in runs),
            ),
        ),
        breakdowns=(
            phase_table(
                "No pool yet: when each thing was so, in seconds after the call",
                [run.new_pool_phases for run in runs],
            ),
            phase_table(
                "Pool there: when each thing was so, in seconds after the call",
                [run.with_pool_phases for run in runs],
            ),
        ),
        notes=(
            f"Kubernetes {pods.version}.",
            *(f"Failed: {why}" for run in runs for why in run.failed[:5]),
        ),
    )


MEASUREMENT: Final = Measurement(name="pool start", about=_ABOUT, measure=measure)


async def _one(space: Space) -> _Run:
    async with timeline(space, _FIRST) as first:
        await _applied_and_answered(space, _FIRST, first)
    async with timeline(space, _SECOND) as second, _asked(space, _FIRST) as load:
        await _applied_and_answered(space, _SECOND, second)
    return _Run(
        new_pool=first.seconds(ANSWERED),
        with_pool=second.seconds(ANSWERED),
        added=second.seconds(ANSWERED) - second.seconds(IN_CONFIG),
        asked=len(load.seconds) + len(load.failed),
        failed=tuple(load.failed),
        slowest=max(load.seconds, default=0.0),
        new_pool_phases=first.phases(),
        with_pool_phases=second.phases(),
    )


async def _applied_and_answered(space: Space, model: str, line: Timeline) -> None:
    await space.apply(model, scaling=_SCALING)
    line.mark(ANSWERED, await space.first_answer(model, _ANSWER_SECONDS))
    await space.until_ready(model)


@contextlib.asynccontextmanager
async def _asked(space: Space, model: str) -> AsyncIterator[_Load]:
    """Have a client ask a model as long as the block runs."""
    load = _Load()

    async def client() -> None:
        while True:
            try:
                load.seconds.append((await space.ask(model)).seconds)
            except LostError as error:
                load.failed.append(str(error))
            await asyncio.sleep(_LOAD_PAUSE)

    task = asyncio.create_task(client())
    try:
        yield load
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _without_models(space: Space) -> None:
    """Take the pool away, and leave the volume: the other namespaces get copies of it."""
    space.team.kubectl("delete", "sm", "--all", within=120)
    space.team.kubectl("wait", "--for=delete", "pod", "--all", "--timeout=150s", within=160)


def _figure(name: str, seconds: list[float], most: float) -> Figure:
    target = Target(bound=Bound.AT_MOST, value=most)
    return Figure(name=name, unit="s", runs=tuple(seconds), target=target)
