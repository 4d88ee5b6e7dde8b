"""A simulated member answers the operator's own client as an API server does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from bench.hybrid.simulated_member import SimulatedMember, simulated_members
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api, Change
from smallmodel_operator.clusters.credentials import read_kubeconfig
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.observe import ClusterObserver
from smallmodel_operator.clusters.ref import (
    CONFIGMAPS,
    JOBS,
    MODELPLACEMENTS,
    NAMESPACES,
    PODS,
    RAYSERVICES,
    Manifest,
    Resource,
)
from smallmodel_operator.clusters.wire import Limits
from smallmodel_operator.handlers.namespaces import is_ready
from smallmodel_operator.handlers.pods import read_pod
from smallmodel_operator.plan.pools.fetchjob import read_fetch

CHAT = MODELPLACEMENTS.ref("chat", "system")


def placement(**fields: Any) -> Manifest:
    """As much of one as an API server looks at."""
    metadata = {"name": "chat", "namespace": "system"} | fields.pop("metadata", {})
    kind = {"apiVersion": MODELPLACEMENTS.api_version, "kind": MODELPLACEMENTS.kind}
    return {**kind, "metadata": metadata, "spec": {"variant": "q4"}, **fields}


@pytest.fixture
async def member() -> AsyncIterator[SimulatedMember]:
    """One that listens."""
    made = SimulatedMember("member-1")
    made.prepare("hub", ("team",))
    async with simulated_members([made]):
        yield made


@pytest.fixture
async def api(member: SimulatedMember) -> AsyncIterator[Api]:
    """The operator's client, with the kubeconfig of the member."""
    credentials = read_kubeconfig(member.kubeconfig(), "the kubeconfig")
    async with Api.of(credentials, limits=Limits(connect=1, total=1)) as made:
        yield made


async def test_a_hub_sees_a_cluster_that_joined_it(api: Api) -> None:
    facts = await ClusterObserver(api, "hub").observe()

    assert facts.kuberay.served
    assert facts.kuberay.token_auth
    assert facts.kuberay.version == "1.6.2"
    assert [node.ready for node in facts.nodes] == [True]
    assert await cluster_uid(api)
    team = await api.get(NAMESPACES.ref("team"))
    assert team is not None
    assert team["metadata"]["labels"] == {LABEL_ACCEPT_FROM: "hub"}


async def test_a_generation_counts_specs_and_a_version_counts_everything(api: Api) -> None:
    made = await api.apply(placement())
    same = await api.apply(placement())
    told = await api.patch_status(CHAT, {"pool": "one"})
    changed = await api.apply(placement(spec={"variant": "q8"}))

    assert same == made
    assert [one["metadata"]["generation"] for one in (made, told, changed)] == [1, 1, 2]
    versions = [int(one["metadata"]["resourceVersion"]) for one in (made, told, changed)]
    assert versions == sorted(set(versions))
    assert changed["status"] == {"pool": "one"}
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert await api.get(CHAT) == changed


async def test_what_was_computed_from_another_version_is_a_conflict(api: Api) -> None:
    made = await api.apply(placement())
    version = made["metadata"]["resourceVersion"]
    await api.patch_status(CHAT, {"pool": "one"}, resource_version=version)

    stale: list[Awaitable[object]] = [
        api.patch_status(CHAT, {"pool": "two"}, resource_version=version),
        api.apply(placement(), resource_version=version),
        api.apply(placement(), uid="another"),
        api.apply(placement(metadata={"namespace": "gone"}), uid="another"),
        api.merge_patch(CHAT, {"metadata": {"resourceVersion": version}}),
        api.delete(CHAT, uid="another"),
    ]
    for call in stale:
        with pytest.raises(errors.Conflict):
            await call
    with pytest.raises(errors.AlreadyExists):
        await api.create(placement())
    with pytest.raises(errors.NotFound):
        await api.patch_status(MODELPLACEMENTS.ref("other", "system"), {})


async def test_an_object_that_is_held_ends_when_it_is_let_go(api: Api) -> None:
    await api.apply(placement(metadata={"finalizers": ["mine"]}))

    assert await api.delete(CHAT)
    ending = await api.get(CHAT)
    assert ending is not None
    assert ending["metadata"]["deletionTimestamp"]
    await api.merge_patch(CHAT, {"metadata": {"finalizers": None}})

    assert await api.get(CHAT) is None
    assert not await api.delete(CHAT)


async def test_a_watch_tells_what_changed_since_the_list_and_what_changes(api: Api) -> None:
    await api.apply(placement())
    _, version = await api.list(MODELPLACEMENTS, "system")
    await api.patch_status(CHAT, {"pool": "one"})
    told = _following(api, version)

    assert (await anext(told)).manifest["status"] == {"pool": "one"}
    await api.apply(placement(spec={"variant": "q8"}))
    assert (await anext(told)).manifest["spec"] == {"variant": "q8"}
    elsewhere = placement(metadata={"namespace": "another"})
    await api.apply(elsewhere)
    await api.delete(CHAT)
    assert (await anext(told)).gone


async def test_a_watch_that_ends_says_how_far_it_is(api: Api) -> None:
    _, version = await api.list(MODELPLACEMENTS, "system")
    made = await api.apply(placement(metadata={"namespace": "another"}))

    (end,) = [change async for change in _following(api, version, lasts=1)]

    assert end.bookmark
    assert end.version == made["metadata"]["resourceVersion"]


async def test_a_watch_from_a_version_that_is_forgotten_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.hybrid.simulated_api._REMEMBERED", 2)
    for number in range(4):
        await api.apply(placement(spec={"variant": str(number)}))

    with pytest.raises(errors.ListExpired):
        await anext(_following(api, "1"))


async def test_a_pool_that_is_accepted_is_ready_and_its_models_are_seen(
    member: SimulatedMember, api: Api
) -> None:
    config = '{"applications": [{"name": "_index"}, {"name": "chat"}]}'
    pool = RAYSERVICES.ref("cpu-1", "team")
    kind = {"apiVersion": RAYSERVICES.api_version, "kind": RAYSERVICES.kind}
    metadata = {"name": pool.name, "namespace": pool.namespace}
    await api.apply({**kind, "metadata": metadata, "spec": {"serveConfigV2": config}})

    live = await api.get(pool)
    assert live is not None
    assert is_ready(live)
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"]
    assert member.seen.pool_of("team", "chat").config == config
    assert member.seen.served() == 1


async def test_weights_are_there_as_soon_as_they_are_asked_for(api: Api) -> None:
    container = {"name": "fetch", "image": "any", "command": ["fetch", "--sha256=" + "1" * 64]}
    job = {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {"name": "fetch-1", "namespace": "team"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    made = await api.create(job)

    pods, _ = await api.list(PODS, "team")
    (pod,) = map(read_pod, pods)
    assert pod.job == "fetch-1"
    done = read_fetch(made, pod.last_words)
    assert done is not None
    assert done.model_dump()["sha256"] == "1" * 64
    assert await api.list(PODS, fields="spec.nodeName!=") == ([], (await api.list(PODS))[1])


async def test_a_dead_member_answers_nobody_and_does_nothing(
    member: SimulatedMember, api: Api
) -> None:
    _, version = await api.list(CONFIGMAPS, "team")
    told = _following(api, version, CONFIGMAPS)
    first = asyncio.ensure_future(anext(told))
    await api.apply(_config_map("before"))
    assert (await first).manifest["data"] == {"a": "before"}
    member.die()

    with pytest.raises(errors.Unreachable):
        await api.apply(_config_map("meanwhile"))
    member.mend()

    live = await api.get(CONFIGMAPS.ref("one", "team"))
    assert live is not None
    assert live["data"] == {"a": "before"}


async def test_a_slow_member_answers_late(member: SimulatedMember, api: Api) -> None:
    member.lag = 0.05
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await api.get(NAMESPACES.ref("team")) is not None
    assert loop.time() - began >= 0.05

    member.lag = 5
    with pytest.raises(errors.Unreachable):
        await api.apply(_config_map("too late"))


def _config_map(text: str) -> Manifest:
    metadata = {"name": "one", "namespace": "team"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}}


def _following(
    api: Api, version: str, resource: Resource = MODELPLACEMENTS, lasts: int = 60
) -> AsyncIterator[Change]:
    namespace = "system" if resource is MODELPLACEMENTS else "team"
    return api.watch(resource, namespace, version=version, lasts=lasts, silence=5.0)
