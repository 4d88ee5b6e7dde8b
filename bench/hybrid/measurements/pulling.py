"""How soon a changed spec is accepted in one of many members whose agents call the hub."""

from typing import Final

import psutil

from bench.children import cpu_seconds
from bench.cluster.operator_process import operator_process
from bench.cluster.thousand import settled
from bench.hybrid.agents import agents
from bench.hybrid.changes import A_SECOND, change_all
from bench.hybrid.fleet import fleet
from bench.plan import Bench, Measurement
from bench.summary import percentile
from bench.values import Bound, Figure, Report, Target
from smallmodel_operator.api.modelcluster import ConnectionMode

_MEMBERS: Final = 100
_ROUNDS: Final = 2
_SERVED_SECONDS: Final = 240.0
_MIB: Final = 2**20

_ABOUT: Final = (
    "The same as *pushing*, with agents that call the hub, and nobody dead or slow. All "
    f"{_MEMBERS} agents run in one process, where each would have a machine of its own: they"
    " share one thread of one of the two cores. Each is what the agent's own process has, "
    "with its own connections to its member and to the hub; there they are the "
    f"administrator, and not an account each. {A_SECOND} models a second are changed, each "
    f"{_ROUNDS} times: timed from sending the change to the hub's API server until the "
    "member's API server accepts a RayService with it."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    log = bench.new_folder("operator") / "operator.log"
    taken, cpu = list[list[float]](), list[float]()
    async with (
        fleet(max(3, bench.amount(_MEMBERS)), ConnectionMode.PULL) as hub,
        operator_process(hub.plane.kubeconfig, log) as operator,
        agents(bench, hub) as pid,
    ):
        process = psutil.Process(pid)
        await hub.make_bound_models()
        await hub.all_served(len(hub.members), _SERVED_SECONDS)
        for run in range(bench.runs):
            await settled(operator)
            bench.say(f"run {run + 1}")
            used = cpu_seconds([process])[pid]
            turns = range(_ROUNDS * run, _ROUNDS * (run + 1))
            taken.append(await change_all(hub, hub.members, turns))
            cpu.append(1000 * (cpu_seconds([process])[pid] - used) / len(taken[-1]))
        rss = process.memory_info().rss / _MIB
    return Report(
        name="pulling",
        about=_ABOUT,
        figures=(
            Figure(
                name="from a change to the member, p50",
                unit="s",
                runs=tuple(percentile(one, 0.5) / 1000 for one in taken),
            ),
            Figure(
                name="from a change to the member, p99",
                unit="s",
                runs=tuple(percentile(one, 0.99) / 1000 for one in taken),
                target=Target(bound=Bound.AT_MOST, value=1),
            ),
            Figure(name="processor time of all agents for a change", unit="ms", runs=tuple(cpu)),
            Figure(name=f"RSS of {len(hub.members)} agents together", unit="MiB", runs=(rss,)),
        ),
    )


MEASUREMENT: Final = Measurement(name="pulling", about=_ABOUT, measure=measure)
