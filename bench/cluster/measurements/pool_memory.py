"""What a pool of many models holds, most of them idle."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bench.cluster.memory import Memory, containers
from bench.cluster.pods import PodCluster, Space, pod_cluster
from bench.plan import Bench, Measurement
from bench.values import Bound, Breakdown, Figure, Judge, Report, Target

MODELS: Final = 20
AT_ONCE: Final = 5
"""Models beside the awake one that have a process at the same time: a worker of the smallest class
has room for no more than seven."""

_GIB: Final = 2**30
_MIB: Final = 2**20
_TOKENS: Final = 64
_HEAD: Final = "ray-head"
_AUTOSCALER: Final = "autoscaler"
_WORKER: Final = "ray-worker"
_SLEEP: Final = {"idleTimeout": "2s", "parkAfter": "30m", "maxReplicas": 1}
_PARK: Final = _SLEEP | {"parkAfter": "4s"}

_ABOUT: Final = (
    f"One pool of {MODELS} models of the bundled card with a context of 1,024 tokens; one is kept "
    "awake, and has answered. Memory is that of the containers' cgroups: *usage* is all that is "
    "charged to them, *working set* is without the page cache that can go at once, and is what "
    "Kubernetes goes by. It is read four times: with the one model alone; with "
    f"{AT_ONCE} more that sleep; when these are parked, after their worker let them go; and when "
    f"all {MODELS} have answered once and {MODELS - 1} are parked. *Per model* is the difference "
    "of the whole pool's working sets divided by the models. Each run has a new pool."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """The memory of each kind of container."""

    parts: dict[str, Memory]

    @property
    def whole(self) -> int:
        """Working sets of all."""
        return sum(each.working_set for each in self.parts.values())

    @property
    def used(self) -> int:
        """Usage of all."""
        return sum(each.usage for each in self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    alone: _Sample
    asleep: _Sample
    parked: _Sample
    full: _Sample

    @property
    def steps(self) -> tuple[tuple[str, _Sample], ...]:
        """Each state with its name."""
        return (
            ("1 awake", self.alone),
            (f"1 awake, {AT_ONCE} asleep", self.asleep),
            (f"1 awake, {AT_ONCE} parked", self.parked),
            (f"1 awake, {MODELS - 1} parked", self.full),
        )


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with pod_cluster(bench) as pods:
        return await measure_on(bench, pods)


async def measure_on(bench: Bench, pods: PodCluster) -> Report:
    """Measure on a cluster that is there."""
    runs = []
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        runs.append(await _one(bench, pods))
    head = [run.full.parts[_HEAD] for run in runs]
    return Report(
        name="pool memory",
        about=_ABOUT,
        figures=(
            Figure(
                name=f"head with {MODELS} models, usage",
                unit="GiB",
                runs=tuple(each.usage / _GIB for each in head),
                target=Target(bound=Bound.AT_MOST, value=1.3, judge=Judge.WORST),
            ),
            _figure(
                f"head with {MODELS} models, working set", "GiB", (e.working_set for e in head)
            ),
            _figure("head, most usage until then", "GiB", (each.most for each in head)),
            _figure(
                f"whole pool, {MODELS - 1} parked, working set",
                "GiB",
                (run.full.whole for run in runs),
            ),
            _figure(
                f"whole pool, {MODELS - 1} parked, usage", "GiB", (run.full.used for run in runs)
            ),
            _figure(
                "per model asleep",
                "MiB",
                ((run.asleep.whole - run.alone.whole) / AT_ONCE for run in runs),
            ),
            _figure(
                "per model parked",
                "MiB",
                ((run.full.whole - run.alone.whole) / (MODELS - 1) for run in runs),
            ),
        ),
        breakdowns=(_breakdown(runs[-1]),),
        notes=(f"Kubernetes {pods.version}.",),
    )


MEASUREMENT: Final = Measurement(name="pool memory", about=_ABOUT, measure=measure)


async def _one(bench: Bench, pods: PodCluster) -> _Run:
    space = pods.new_space()
    awake, *idle = (f"chat-{number:02}" for number in range(MODELS))
    sleepers, others = idle[:AT_ONCE], idle[AT_ONCE:]
    await space.apply(awake, scaling={"minReplicas": 1, "maxReplicas": 1})
    await space.until_ready(awake)
    await space.ask(awake, _TOKENS)
    alone = await _sample(space)
    await _served(space, sleepers, _SLEEP)
    bench.say(f"{AT_ONCE} more have answered")
    await space.until_asleep(*sleepers)
    asleep = await _sample(space)
    for name in sleepers:
        await space.change(name, scaling=_PARK)
    await space.until_parked(*sleepers)
    parked = await _sample(space)
    for first in range(0, len(others), AT_ONCE):
        await _served(space, others[first : first + AT_ONCE], _PARK)
        await space.until_parked(*others[first : first + AT_ONCE])
    bench.say(f"all {MODELS} have answered")
    await space.ask(awake, _TOKENS)
    full = await _sample(space)
    await asyncio.to_thread(space.remove)
    return _Run(alone=alone, asleep=asleep, parked=parked, full=full)


async def _served(space: Space, names: list[str], scaling: dict[str, object]) -> None:
    for name in names:
        await space.apply(name, scaling=scaling)
    await space.until_ready(*names, within=600)


async def _sample(space: Space) -> _Sample:
    parts: dict[str, Memory] = {}
    for kind in ("head", "worker"):
        for pod in await space.pods_of(kind):
            found = containers(space.pods, pod)
            if parts.keys() & found.keys():
                raise RuntimeError(f"the pool has more than one {kind}, and was to have one")
            parts |= found
    return _Sample(parts=parts)


def _figure(name: str, unit: str, values: Iterable[float]) -> Figure:
    scale = {"GiB": _GIB, "MiB": _MIB}[unit]
    return Figure(name=name, unit=unit, runs=tuple(value / scale for value in values))


def _breakdown(run: _Run) -> Breakdown:
    def cell(memory: Memory | None) -> str:
        if memory is None:
            return ""
        return f"{memory.usage / _MIB:.0f} / {memory.working_set / _MIB:.0f}"

    names = (_HEAD, _AUTOSCALER, _WORKER)
    return Breakdown(
        title="Usage / working set in MiB, in the last run",
        columns=("State", *names, "whole"),
        rows=tuple(
            (
                state,
                *(cell(sample.parts.get(name)) for name in names),
                f"{sample.used / _MIB:.0f} / {sample.whole / _MIB:.0f}",
            )
            for state, sample in run.steps
        ),
    )
