"""What is counted of a fleet of simulated members, without an API server for the hub."""

import asyncio
import json
from typing import Any, cast

import pytest

from bench.cluster.control_plane import ControlPlane
from bench.hybrid import changes
from bench.hybrid.fleet import NAMESPACE, Fleet, model_of
from bench.hybrid.measurements import cut, pushing
from bench.hybrid.simulated_api import Place
from bench.hybrid.simulated_member import SimulatedMember
from smallmodel_operator.clusters.ref import RAYSERVICES


class CarryingHub:
    """A hub that carries a changed model to its member after so many seconds; None: never."""

    def __init__(self, members: list[SimulatedMember], after: float | None) -> None:
        self._members = {model_of(member): member for member in members}
        self._after = after

    async def change_model(self, namespace: str, name: str, spec: dict[str, Any]) -> None:
        assert namespace == NAMESPACE
        replicas = spec["scaling"]["maxReplicas"]
        if self._after is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(self._after, serve, self._members[name], replicas)


def serve(member: SimulatedMember, replicas: int) -> None:
    """Have the pool of a member's model be written as the operator does."""
    scaling = {"autoscaling_config": {"max_replicas": replicas}}
    application = {"name": model_of(member), "deployments": [scaling]}
    config = json.dumps({"applications": [application]}, separators=(",", ":"))
    place = Place.of(RAYSERVICES.ref("cpu-1", NAMESPACE).path)
    metadata = {"name": "cpu-1", "namespace": NAMESPACE}
    pool = {"metadata": metadata, "spec": {"serveConfigV2": config}}
    member.api.patch(place, pool, applied=True)


def fleet(count: int, *, after: float | None) -> Fleet:
    """Members whose models are served already."""
    members = [SimulatedMember(f"member-{number}") for number in range(count)]
    for member in members:
        serve(member, 1)
    hub = CarryingHub(members, after)
    return Fleet(plane=cast("ControlPlane", hub), members=tuple(members))


async def test_a_change_is_timed_until_its_own_member_accepted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "A_SECOND", 1000)
    made = fleet(3, after=0.03)

    taken = await changes.change_all(made, made.members, range(2))

    assert len(taken) == 6
    assert min(taken) >= 30
    assert made.served() == 3


async def test_changes_begin_in_their_time_whether_or_not_those_before_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "A_SECOND", 100)
    made = fleet(5, after=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await changes.change_all(made, made.members, [0])

    assert 0.24 <= loop.time() - began < 1


async def test_a_change_that_does_not_arrive_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_WITHIN_SECONDS", 0.05)
    made = fleet(1, after=None)

    with pytest.raises(TimeoutError, match="the change is in the pool of member-0"):
        await changes.change(made, made.members[0], 0)


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        ({"chat": [("one", "uid-1")]}, 0),
        ({"chat": [("two", "uid-2")]}, 1),
        ({"chat": [("one", "uid-1"), ("two", "uid-2")]}, 1),
        ({"chat": [("one", "uid-9")]}, 1),
        ({}, 1),
    ],
    ids=["stays", "goes", "has a second copy", "was ended and made anew", "is ended"],
)
def test_a_model_has_moved_when_its_placements_are_others(
    after: dict[str, list[tuple[str, str]]], moved: int
) -> None:
    before = {"chat": frozenset({("one", "uid-1")}), "other": frozenset({("two", "uid-3")})}
    now = {name: frozenset(copies) for name, copies in after.items()}

    assert cut._moved(before, now, "one") == moved
    assert cut._moved(before, before, "two") == 0


def test_the_effect_compares_the_slowest_of_the_same_run() -> None:
    quick, slow = [100.0] * 99 + [1000.0] * 2, [100.0] * 99 + [1200.0] * 2

    figures = {one.name: one.runs for one in pushing._figures([quick], [slow], [5.0])}

    assert figures["from a change to the member, p99"] == (1.0,)
    assert figures["p99 beside a dead and a slow member"] == (1.2,)
    (effect,) = figures["effect of both on the p99 of the others"]
    assert effect == pytest.approx(20)
