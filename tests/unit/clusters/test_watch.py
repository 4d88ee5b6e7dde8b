"""What a watch tells, and how it goes on when it breaks: a list in part says nothing is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, serving
from builders.fake_watched_api import (
    FakeWatchedApi,
    Script,
    bookmark,
    event,
    expired,
    listed,
    refused,
    told,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import PODS, Manifest, Resource
from smallmodel_operator.clusters.watch import Place, Watch
from smallmodel_operator.clusters.wire import Limits
from support.waiting import eventually

LIMITS = Limits(connect=5.0, total=5.0)


@dataclass
class Told:
    """Who is told."""

    seen: list[tuple[str, bool]] = field(default_factory=list)
    lists: list[set[str]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    refuses: int = 0

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        self.kinds.add(manifest["kind"])
        self.seen.append((manifest["metadata"]["name"], gone))

    async def listed(self, resource: Resource, there: set[tuple[str, str]], version: str) -> None:
        if self.refuses:
            self.refuses -= 1
            raise errors.Unreachable("the other look failed")
        self.lists.append({name for _, name in there})


@dataclass
class Watched:
    """A watch that runs."""

    fake: FakeWatchedApi
    told: Told
    clock: FakeClock
    watch: Watch
    failures: list[errors.ApiError]

    async def rest(self) -> None:
        """Let the pause pass in which the watch is."""
        await eventually(lambda: self.clock.sleeping > 0, "it rests")
        self.clock.turn(60)


@asynccontextmanager
async def watched(
    folder: Path, *, lists: list[Script], watches: list[Script], silence: float = 30.0
) -> AsyncIterator[Watched]:
    fake, clock, listener = FakeWatchedApi(lists, watches), FakeClock(), Told()
    failures: list[errors.ApiError] = []
    async with serving(lambda request: fake.dispatch(request)) as url:
        config = FakeKubeApi(url=url).kubeconfig(folder)
        async with await Api.connect(config, limits=LIMITS) as api:
            place = Place(resource=PODS, namespace="team")
            watch = Watch(
                api,
                place,
                listener,
                clock=clock,
                silence=silence,
                failed=lambda _, error: failures.append(error),
            )
            task = asyncio.create_task(watch.run())
            try:
                yield Watched(fake, listener, clock, watch, failures)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_everything_is_told_once_and_then_what_changes(tmp_path: Path) -> None:
    changes = told(event("MODIFIED", "a", 11), event("ADDED", "c", 12), event("DELETED", "b", 13))
    async with watched(tmp_path, lists=[listed("a", "b")], watches=[changes]) as it:
        await it.watch.read()
        await eventually(lambda: len(it.fake.seen) == 3, "another watch")

        assert it.told.seen == [
            ("a", False),
            ("b", False),
            ("a", False),
            ("c", False),
            ("b", True),
        ]
        assert it.told.lists == [{"a", "b"}]
        assert it.told.kinds == {"Pod"}
        assert it.fake.versions() == [None, "10", "13"]


async def test_a_watch_that_breaks_goes_on_where_it_was_without_another_list(
    tmp_path: Path,
) -> None:
    watches = [
        told(event("ADDED", "b", 11), bookmark(20), then="cut"),
        refused(500),
        told(event("ADDED", "c", 21), then="silence"),
    ]
    async with watched(tmp_path, lists=[listed("a")], watches=watches) as it:
        await it.rest()
        await it.rest()
        await eventually(lambda: ("c", False) in it.told.seen, "c is told")

        assert it.fake.versions() == [None, "10", "20", "20"]
        assert len(it.failures) == 2


async def test_a_version_that_is_too_old_has_everything_listed_anew(tmp_path: Path) -> None:
    lists = [listed("a", "b"), listed("a", version="50")]
    gone = [told(expired()), refused(410, "Expired")]
    for watches in ([gone[0]], [gone[1]]):
        async with watched(tmp_path, lists=list(lists), watches=watches) as it:
            await it.rest()
            await eventually(lambda it=it: len(it.fake.seen) == 4, "it watches")  # type: ignore[misc]

            assert it.told.lists == [{"a", "b"}, {"a"}]
            assert it.fake.versions() == [None, "10", None, "50"]


@pytest.mark.parametrize(
    "spoilt",
    [refused(500), refused(403), refused(401), refused(429), listed(version="")],
    ids=["500", "403", "401", "429", "a list without a version"],
)
async def test_a_list_that_fails_is_none(tmp_path: Path, spoilt: Script) -> None:
    lists = [spoilt, spoilt, spoilt, listed("a")]
    async with watched(tmp_path, lists=lists, watches=[]) as it:
        while not it.watch.is_read:
            await eventually(lambda: it.watch.is_read or it.clock.sleeping > 0, "it rests")
            it.clock.turn(60)

        assert it.told.lists == [{"a"}]
        assert it.failures


async def test_a_page_that_fails_makes_the_whole_list_none(tmp_path: Path) -> None:
    async def first_page(_: web.Request) -> web.StreamResponse:
        metadata = {"resourceVersion": "9", "continue": "more"}
        return web.json_response({"metadata": metadata, "items": []})

    lists: list[Script] = [first_page, refused(403), listed("a", "b")]
    async with watched(tmp_path, lists=lists, watches=[]) as it:
        await it.rest()
        await it.watch.read()

        assert it.told.lists == [{"a", "b"}]


async def test_a_list_that_could_not_be_acted_on_is_read_again(tmp_path: Path) -> None:
    async with watched(tmp_path, lists=[listed("a")], watches=[]) as it:
        it.told.refuses = 1
        await it.rest()
        await it.watch.read()

        assert it.told.lists == [{"a"}]


async def test_a_connection_that_says_nothing_is_opened_anew(tmp_path: Path) -> None:
    watches = [told(bookmark(12), then="silence"), told(event("ADDED", "b", 13), then="silence")]
    async with watched(tmp_path, lists=[listed("a")], watches=watches, silence=0.3) as it:
        await it.rest()
        await eventually(lambda: ("b", False) in it.told.seen, "b is told")

        assert it.fake.versions()[:3] == [None, "10", "12"]
        assert isinstance(it.failures[0], errors.Unreachable)


async def test_a_kind_that_the_cluster_does_not_serve_is_read_and_looked_for_again(
    tmp_path: Path,
) -> None:
    async def unknown(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="404 page not found")

    lists: list[Script] = [unknown, listed("a")]
    async with watched(tmp_path, lists=lists, watches=[]) as it:
        await it.watch.read()
        assert it.told.lists == []

        await it.rest()
        await eventually(lambda: it.told.lists == [{"a"}], "it is listed")


async def test_a_line_that_is_no_json_is_no_event(tmp_path: Path) -> None:
    async with watched(tmp_path, lists=[listed("a")], watches=[told("{")]) as it:
        await it.rest()
        await eventually(lambda: len(it.fake.seen) == 3, "another watch")

        assert isinstance(it.failures[0], errors.ServerFailed)
        assert it.told.seen == [("a", False)]


def test_a_place_is_named_in_messages() -> None:
    assert str(Place(resource=PODS)) == "pods"
    assert str(Place(resource=PODS, namespace="team")) == "pods of namespace team"
