"""Events: one per change, and never a reason not to go on."""

import asyncio
import logging

import pytest

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, refuse
from builders.kube_objects import config_map, node
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import SMALLMODELS

TINY = About(ref=SMALLMODELS.ref("tiny", "team"), uid="u-1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def events(api: Api, clock: FakeClock) -> Events:
    return Events(api, "operator-0", clock=clock)


async def test_an_event_is_written_beside_its_object(events: Events, kube: FakeKubeApi) -> None:
    await events.record(TINY, "Placed", "on node-1", action="Place", type_=EventType.WARNING)
    sent = kube.seen[0]
    assert sent.path == "/apis/events.k8s.io/v1/namespaces/team/events"
    name = sent.body["metadata"].pop("name")
    assert name.startswith("tiny.")
    assert sent.body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "team"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Warning",
        "reason": "Placed",
        "action": "Place",
        "note": "on node-1",
        "regarding": {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "SmallModel",
            "namespace": "team",
            "name": "tiny",
            "uid": "u-1",
        },
        "reportingController": "smallmodel.dev/smallmodel-operator",
        "reportingInstance": "operator-0",
    }
    assert events.written == 1


async def test_the_same_event_is_written_once(events: Events, kube: FakeKubeApi) -> None:
    for _ in range(3):
        await events.record(TINY, "Placed", "on node-1")
    await asyncio.gather(*(events.record(TINY, "Placed", "on node-2") for _ in range(3)))
    assert len(kube.seen) == 2


async def test_after_ten_minutes_it_is_written_again(
    events: Events, kube: FakeKubeApi, clock: FakeClock
) -> None:
    await events.record(TINY, "Placed", "on node-1")
    clock.turn(600)
    await events.record(TINY, "Placed", "on node-1")
    assert len(kube.seen) == 1
    clock.turn(1)
    await events.record(TINY, "Placed", "on node-1")
    assert len(kube.seen) == 2


async def test_another_object_reason_or_message_is_another_event(
    events: Events, kube: FakeKubeApi
) -> None:
    again = About(ref=TINY.ref, uid="u-2")
    for about, reason, message in (
        (TINY, "Placed", "a"),
        (TINY, "Placed", "b"),
        (TINY, "Moved", "a"),
        (again, "Placed", "a"),
    ):
        await events.record(about, reason, message)
    assert len({one.body["metadata"]["name"] for one in kube.seen}) == 4


async def test_a_failure_is_logged_and_counted(
    events: Events, kube: FakeKubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    kube.replies = [refuse(403, "Forbidden", "cannot create events")]
    await events.record(TINY, "Placed", "on node-1")
    assert events.failed == {"Forbidden": 1}
    assert events.written == 0
    assert "event Placed of SmallModel team/tiny was not written" in caplog.text


async def test_what_was_not_written_may_be_written_later(events: Events, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(503)]
    for _ in range(2):
        await events.record(TINY, "Placed", "on node-1")
    assert (events.written, len(kube.seen)) == (1, 2)


async def test_an_object_without_a_namespace_has_its_events_in_default(
    events: Events, kube: FakeKubeApi
) -> None:
    manifest = node()
    manifest["metadata"]["uid"] = "u-9"
    await events.record(About.of(manifest), "Observed", "ready")
    body = kube.seen[0].body
    assert body["metadata"]["namespace"] == "default"
    assert body["regarding"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "node-1",
        "uid": "u-9",
    }


@pytest.mark.parametrize("message", ["long " * 1000, "ü" * 2000, "é" * 512 + "x"])
async def test_a_long_message_is_cut_to_what_an_event_holds(
    message: str, events: Events, kube: FakeKubeApi
) -> None:
    await events.record(TINY, "Placed", message)
    note = kube.seen[0].body["note"]
    assert len(note.encode()) <= 1024
    assert note.endswith("…")
    assert message.startswith(note.removesuffix("…"))


async def test_a_message_of_exactly_the_limit_is_whole(events: Events, kube: FakeKubeApi) -> None:
    await events.record(TINY, "Placed", "ü" * 512)
    assert kube.seen[0].body["note"] == "ü" * 512


async def test_a_long_name_leaves_room_for_the_ending(events: Events, kube: FakeKubeApi) -> None:
    about = About.of(config_map(name="n" * 253))
    await events.record(about, "Observed", "x")
    assert len(kube.seen[0].body["metadata"]["name"]) <= 253


async def test_what_is_remembered_does_not_grow_without_end(
    events: Events, monkeypatch: pytest.MonkeyPatch, kube: FakeKubeApi
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.events._REMEMBERED", 3)
    for number in range(4):
        await events.record(TINY, "Placed", str(number))
    await events.record(TINY, "Placed", "3")
    assert len(kube.seen) == 4
    await events.record(TINY, "Placed", "0")
    assert len(kube.seen) == 5
