"""Whether models move because their clusters cannot be reached for some minutes."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from bench.cluster.control_plane import PLACEMENTS
from bench.cluster.operator_process import operator_process
from bench.cluster.thousand import settled
from bench.hybrid.fleet import GONE, NAMESPACE, WELL, Fleet, fleet
from bench.hybrid.simulated_member import SimulatedMember
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target
from smallmodel_operator.api.modelcluster import ConnectionMode
from smallmodel_operator.api.names import cluster_of_namespace

_MEMBERS: Final = 10
_CUT: Final = 3
_MODELS: Final = 100
_CUT_SECONDS: Final = 300.0
_SERVED_SECONDS: Final = 120.0
_LINKED_SECONDS: Final = 120.0

_ABOUT: Final = (
    f"A hub with {_MEMBERS} simulated members as in *pushing*, and {_MODELS} models that may"
    f" run on any of them. {_CUT} members with models accept connections and answer nobody "
    f"for {_CUT_SECONDS:g} s of real time, all at once, and come back; each of them counts "
    "as a run. The hub says of each that it is unreachable, and later that it is connected."
    " A model has moved when its placements are others, by cluster and UID, after "
    "everything is quiet again than before the cut."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    log = bench.new_folder("operator") / "operator.log"
    async with (
        fleet(_MEMBERS, ConnectionMode.PUSH) as hub,
        operator_process(hub.plane.kubeconfig, log) as operator,
    ):
        await hub.all_linked(hub.members, WELL, _LINKED_SECONDS)
        names = [f"chat-{number:03}" for number in range(bench.amount(_MODELS))]
        await hub.plane.make_models(NAMESPACE, names)
        await hub.all_served(len(names), _SERVED_SECONDS)
        await settled(operator)
        before, pools = await _where(hub), _pools(hub)
        cut = _largest(hub.used())
        bench.say(f"{len(cut)} of {len(hub.used())} members with models are cut off")
        await _cut_off(hub, cut, bench.seconds(_CUT_SECONDS))
        await settled(operator)
        after = await _where(hub)
        made_anew = len(pools ^ _pools(hub))
    moves = [_moved(before, after, member.name) for member in cut]
    there = [len(_on(before, member.name)) for member in cut]
    zero = Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM)
    return Report(
        name="cut",
        about=_ABOUT,
        figures=(
            Figure(name="models of the member", unit="", runs=tuple(there)),
            Figure(name="moves", unit="", runs=tuple(moves), target=zero),
            Figure(
                name="RayServices made or ended in all members",
                unit="",
                runs=(made_anew,),
                target=zero,
            ),
        ),
    )


MEASUREMENT: Final = Measurement(name="cut", about=_ABOUT, measure=measure)

_Copies = dict[str, frozenset[tuple[str, str]]]
"""By the name of a model: the clusters and UIDs of its placements."""


async def _cut_off(hub: Fleet, cut: list[SimulatedMember], seconds: float) -> None:
    ends = asyncio.get_running_loop().time() + seconds
    for member in cut:
        member.die()
    await hub.all_linked(cut, GONE, _LINKED_SECONDS)
    await asyncio.sleep(ends - asyncio.get_running_loop().time())
    for member in cut:
        member.mend()
    await hub.all_linked(cut, WELL, _LINKED_SECONDS)


def _largest(members: Iterable[SimulatedMember]) -> list[SimulatedMember]:
    ordered = sorted(members, key=lambda member: -member.seen.served())
    return ordered[:_CUT]


async def _where(hub: Fleet) -> _Copies:
    found: _Copies = {}
    listed: dict[str, Any] = await hub.plane.kube.get(PLACEMENTS)
    for placement in listed["items"]:
        metadata = placement["metadata"]
        copy = (str(cluster_of_namespace(metadata["namespace"])), metadata["uid"])
        name = placement["spec"]["model"]["name"]
        found[name] = found.get(name, frozenset()) | {copy}
    return found


def _pools(hub: Fleet) -> frozenset[str]:
    return frozenset(uid for member in hub.members for uid in member.pool_uids())


def _on(copies: _Copies, member: str) -> list[str]:
    return [name for name, there in copies.items() if member in dict(there)]


def _moved(before: _Copies, after: _Copies, member: str) -> int:
    return sum(before[name] != after.get(name) for name in _on(before, member))
