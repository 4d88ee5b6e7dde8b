"""How soon a changed spec is accepted in one of many members that the hub calls."""

from typing import Final

from bench.cluster.operator_process import operator_process
from bench.cluster.thousand import settled
from bench.hybrid.changes import A_SECOND, ask, change_all
from bench.hybrid.fleet import GONE, WELL, Fleet, fleet
from bench.hybrid.simulated_member import SimulatedMember
from bench.plan import Bench, Measurement
from bench.summary import percentile
from bench.values import Bound, Figure, Judge, Report, Target
from smallmodel_operator.api.modelcluster import ConnectionMode

_MEMBERS: Final = 100
_ROUNDS: Final = 2
_LAG_SECONDS: Final = 5.0
_SERVED_SECONDS: Final = 180.0
_LINKED_SECONDS: Final = 180.0
_MIB: Final = 2**20
_LIMIT_MIB: Final = 512
"""The chart's limit of the operator's memory."""

_ABOUT: Final = (
    f"A hub with {_MEMBERS} clusters that it calls. The hub's API server and the operator are "
    "real processes; the members are simulated, all of them in the benchmark's process, which"
    " shares the cores: each is an API server of its own on a port of loopback, over TLS, "
    "with one node, and a KubeRay that says at once that a pool is ready. No link has a "
    "delay. There are no heads of pools, so that no model is verified, and gateways have no "
    "addresses. Each member has one SmallModel, which may run there alone. "
    f"`scaling.maxReplicas` of the models is changed, {A_SECOND} models a second, each "
    f"{_ROUNDS} times: timed from sending the change to the hub's API server until the "
    "member's API server accepts a RayService with it. Then one member accepts connections "
    f"and answers nobody, and another answers everything {_LAG_SECONDS:g} s late; their models"
    " are changed, and at once, before the hub has noticed anything, those of the others as "
    "before. Both come back before the next run. *Effect* compares the 99th percentiles of "
    "the same members in the same run."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    log = bench.new_folder("operator") / "operator.log"
    before, during = list[list[float]](), list[list[float]]()
    cpu = list[float]()
    async with (
        fleet(max(3, bench.amount(_MEMBERS)), ConnectionMode.PUSH) as hub,
        operator_process(hub.plane.kubeconfig, log) as operator,
    ):
        await hub.make_bound_models()
        await hub.all_served(len(hub.members), _SERVED_SECONDS)
        dead, slow, *others = hub.members
        for run in range(bench.runs):
            first = 2 * _ROUNDS * run
            turns = range(first, first + _ROUNDS)
            await settled(operator)
            bench.say(f"run {run + 1}: all are well")
            used = operator.cpu_seconds()
            before.append(await change_all(hub, others, turns))
            cpu.append(1000 * (operator.cpu_seconds() - used) / len(before[-1]))
            bench.say("one is dead and one is slow")
            turns = range(first + _ROUNDS, first + 2 * _ROUNDS)
            during.append(await _change_beside(hub, dead, slow, others, turns))
        peak = operator.peak() / _MIB
    figures = (*_figures(before, during, cpu), _memory(peak))
    return Report(name="pushing", about=_ABOUT, figures=figures)


MEASUREMENT: Final = Measurement(name="pushing", about=_ABOUT, measure=measure)


async def _change_beside(
    hub: Fleet,
    dead: SimulatedMember,
    slow: SimulatedMember,
    others: list[SimulatedMember],
    turns: range,
) -> list[float]:
    """Change the models of the others while two are not well; these are well afterwards."""
    dead.die()
    slow.lag = _LAG_SECONDS
    for member in (dead, slow):
        await ask(hub, member, turns[0])
    taken = await change_all(hub, others, turns)
    await hub.all_linked([dead, slow], GONE, _LINKED_SECONDS)
    for member in (dead, slow):
        member.mend()
    await hub.all_linked([dead, slow], WELL, _LINKED_SECONDS)
    return taken


def _memory(peak: float) -> Figure:
    target = Target(bound=Bound.AT_MOST, value=_LIMIT_MIB, judge=Judge.WORST)
    name = "most memory of the operator; the target is the chart's limit"
    return Figure(name=name, unit="MiB", runs=(peak,), target=target)


def _figures(
    before: list[list[float]], during: list[list[float]], cpu: list[float]
) -> tuple[Figure, ...]:
    well = [percentile(taken, 0.99) / 1000 for taken in before]
    beside = [percentile(taken, 0.99) / 1000 for taken in during]
    effect = [100 * (after / first - 1) for first, after in zip(well, beside, strict=True)]
    return (
        Figure(
            name="from a change to the member, p50",
            unit="s",
            runs=tuple(percentile(taken, 0.5) / 1000 for taken in before),
        ),
        Figure(
            name="from a change to the member, p99",
            unit="s",
            runs=tuple(well),
            target=Target(bound=Bound.AT_MOST, value=1.3),
        ),
        Figure(name="processor time of the operator for a change", unit="ms", runs=tuple(cpu)),
        Figure(
            name="p50 beside a dead and a slow member",
            unit="s",
            runs=tuple(percentile(taken, 0.5) / 1000 for taken in during),
        ),
        Figure(name="p99 beside a dead and a slow member", unit="s", runs=tuple(beside)),
        Figure(
            name="effect of both on the p99 of the others",
            unit="%",
            runs=tuple(effect),
            target=Target(bound=Bound.AT_MOST, value=10),
        ),
    )
