"""Clusters come and go with their links, and what one of them does is felt by no other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from builders.clusters import view
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers import members
from smallmodel_operator.handlers.linked import LinkedMember
from smallmodel_operator.handlers.members import Members, until_seen
from smallmodel_operator.handlers.objects import ObjectKey
from support.waiting import eventually


@dataclass
class FakeMember:
    """A member that does what a test says while it runs."""

    name: str
    api: Any
    fails: BaseException | None = None
    mirrored: list[ObjectKey] = field(default_factory=list)
    runs: bool = False

    async def run(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.runs = True
        try:
            await asyncio.Event().wait()
        finally:
            self.runs = False

    def mirror(self, key: ObjectKey) -> None:
        self.mirrored.append(key)

    def view(self) -> Any:
        return view() if self.runs else None


@dataclass
class Fakes:
    """What was made, in order."""

    made: list[FakeMember] = field(default_factory=list)
    faults: list[BaseException | None] = field(default_factory=list)

    def make(self, name: str, api: Api) -> LinkedMember:
        fault = self.faults.pop(0) if self.faults else None
        self.made.append(FakeMember(name, api, fails=fault))
        return cast("LinkedMember", self.made[-1])

    def running(self) -> list[tuple[str, Any]]:
        return [(one.name, one.api) for one in self.made if one.runs]


def client(name: str) -> Api:
    return cast("Api", name)


@asynccontextmanager
async def working(fakes: Fakes) -> AsyncIterator[Members]:
    made = Members(fakes.make)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def runs(fakes: Fakes, *expected: tuple[str, str]) -> None:
    await eventually(lambda: fakes.running() == list(expected), f"{expected} run")


async def test_a_cluster_is_worked_on_from_when_it_is_connected_until_it_is_not() -> None:
    fakes = Fakes()
    async with working(fakes) as made:
        made.connected("edge", client("a"))
        made.connected("cloud", client("b"))
        await runs(fakes, ("edge", "a"), ("cloud", "b"))
        assert [one.name for one in made] == ["cloud", "edge"]
        assert set(made.views()) == {"cloud", "edge"}

        made.disconnected("edge")
        await runs(fakes, ("cloud", "b"))
        assert set(made.views()) == {"cloud"}
        made.disconnected("edge")

        made.connected("edge", client("c"))
        await runs(fakes, ("cloud", "b"), ("edge", "c"))
    assert fakes.running() == []


async def test_another_client_takes_the_place_of_the_one_before() -> None:
    fakes = Fakes()
    async with working(fakes) as made:
        made.connected("edge", client("a"))
        await runs(fakes, ("edge", "a"))
        made.connected("edge", client("b"))
        await runs(fakes, ("edge", "b"))


async def test_what_is_connected_before_everything_was_read_begins_after_it() -> None:
    fakes = Fakes()
    made = Members(fakes.make)
    made.connected("edge", client("a"))
    made.connected("cloud", client("b"))
    made.disconnected("cloud")
    assert fakes.made == []

    task = asyncio.create_task(made.run())
    await runs(fakes, ("edge", "a"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_decision_goes_to_its_cluster_alone() -> None:
    fakes = Fakes()
    async with working(fakes) as made:
        made.connected("edge", client("a"))
        made.connected("cloud", client("b"))
        await runs(fakes, ("edge", "a"), ("cloud", "b"))

        made.decided("edge", ("team", "chat"))
        made.decided("nowhere", ("team", "chat"))

        assert [one.mirrored for one in fakes.made] == [[("team", "chat")], []]


@pytest.mark.parametrize(
    "fault",
    [
        lambda: errors.NameConflict("the namespace slm-cluster-edge is somebody else's"),
        lambda: ExceptionGroup("of its tasks", [ValueError("a defect")]),
        lambda: ValueError("a defect"),
    ],
    ids=["the hub refuses", "a task has a defect", "a defect"],
)
async def test_one_that_fails_is_begun_anew_and_no_other_ends_by_it(
    fault: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "_FIRST_PAUSE", 0.01)
    fakes = Fakes(faults=[None, fault(), fault()])
    async with working(fakes) as made:
        made.connected("cloud", client("b"))
        await runs(fakes, ("cloud", "b"))
        made.connected("edge", client("a"))

        await runs(fakes, ("cloud", "b"), ("edge", "a"))
        assert [one.name for one in fakes.made] == ["cloud", "edge", "edge", "edge"]


async def test_a_cluster_that_was_connected_is_waited_for_and_a_stranger_is_not() -> None:
    looks = iter([set(), {"munich"}, {"munich", "lyon"}, {"munich", "lyon", "berlin"}])
    await until_seen({"munich", "lyon"}, lambda: next(looks), within=60)
    assert next(looks) == {"munich", "lyon", "berlin"}


async def test_a_cluster_that_stays_silent_holds_up_nobody_for_ever() -> None:
    await until_seen({"munich"}, set, within=0.01)
