"""How long it takes to place and to serve many models on several members from nothing."""

import time
from collections import Counter
from typing import Final

from bench.cluster.control_plane import watch_placements, watching
from bench.cluster.operator_process import operator_process
from bench.hybrid.fleet import NAMESPACE, Fleet, fleet
from bench.plan import Bench, Measurement
from bench.values import Bound, Breakdown, Figure, Report, Target
from smallmodel_operator.api.modelcluster import ConnectionMode

_MEMBERS: Final = 10
_MODELS: Final = 1000
_WITHIN_SECONDS: Final = 240.0

_ABOUT: Final = (
    f"{_MODELS} SmallModels of one card in one namespace of the hub are there, and "
    f"{_MEMBERS} members that it calls and that never saw it before; then the operator is "
    "started. Members are simulated as in *pushing*. All have the same prices and room for "
    "all models, so that ties decide, and a pool that has room. *Placed* is the time from "
    "the start of the operator's process until the last ModelPlacement is there, as a watch"
    " of the benchmark sees it; *served* until the last model is in the Serve config of a "
    "RayService that a member accepted."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    placed, served, cpu = list[float](), list[float](), list[float]()
    models = bench.amount(_MODELS)
    for run in range(bench.runs):
        bench.say(f"run {run + 1}")
        log = bench.new_folder("operator") / "operator.log"
        async with fleet(_MEMBERS, ConnectionMode.PUSH) as hub:
            await hub.plane.make_models(NAMESPACE, [f"chat-{n:04}" for n in range(models)])
            async with watching(watch_placements(hub.plane)):
                began = time.perf_counter()
                async with operator_process(hub.plane.kubeconfig, log) as operator:
                    await hub.all_served(models, _WITHIN_SECONDS)
                    cpu.append(operator.cpu_seconds())
                placed.append(max(hub.plane.seen.placements.values()) - began)
                served.append(max(one.seen.last_change() for one in hub.used()) - began)
            spread = _spread(hub)
    target = Target(bound=Bound.AT_MOST, value=60)
    return Report(
        name="cold",
        about=_ABOUT,
        figures=(
            Figure(name=f"{models} models placed", unit="s", runs=tuple(placed), target=target),
            Figure(name=f"{models} models served", unit="s", runs=tuple(served), target=target),
            Figure(name="models a second, served", unit="", runs=tuple(models / s for s in served)),
            Figure(name="processor time of the operator", unit="s", runs=tuple(cpu)),
        ),
        breakdowns=(spread,),
    )


MEASUREMENT: Final = Measurement(name="cold", about=_ABOUT, measure=measure)


def _spread(hub: Fleet) -> Breakdown:
    counts = Counter({member.name: member.seen.served() for member in hub.members})
    pools = {member.name: len(member.seen.pools) for member in hub.members}
    return Breakdown(
        title="Where they went, in the last run",
        columns=("Member", "Models", "Pools"),
        rows=tuple((name, str(count), str(pools[name])) for name, count in sorted(counts.items())),
    )
