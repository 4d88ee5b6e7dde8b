"""The client's verbs on a real API server: owners of fields, versions, and refusals by type."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    CONFIGMAPS,
    NAMESPACES,
    PODS,
    SECRETS,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.clusters.requests import Call

pytestmark = pytest.mark.api

UNSERVED = Resource(group="smallmodel.dev", version="v0", plural="nothings", kind="Nothing")


def config_map(namespace: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": data,
    }


def small_model(namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": "tiny", "namespace": namespace},
        "spec": {"model": "smollm2-135m-instruct", **spec},
    }


async def test_an_apply_keeps_others_fields_and_drops_its_own(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    await api.apply(config_map(namespace, ours="1", old="1"))
    added = '{"data": {"theirs": "1"}}'
    control_plane.kubectl("-n", namespace, "patch", "configmap", "settings", "-p", added)
    after = await api.apply(config_map(namespace, ours="2"))
    assert after["data"] == {"ours": "2", "theirs": "1"}


async def test_an_apply_takes_over_what_somebody_edited(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    await api.apply(config_map(namespace, ours="1"))
    edited = '{"data": {"ours": "edited"}}'
    control_plane.kubectl("-n", namespace, "patch", "configmap", "settings", "-p", edited)
    with pytest.raises(errors.Conflict):
        await api.apply(config_map(namespace, ours="1"), force=False)
    assert (await api.apply(config_map(namespace, ours="1")))["data"] == {"ours": "1"}


async def test_the_same_apply_twice_is_one_version(api: Api, namespace: str) -> None:
    first = await api.apply(config_map(namespace, ours="1"))
    second = await api.apply(config_map(namespace, ours="1"))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_a_stale_leaders_write_is_a_conflict(api: Api, namespace: str) -> None:
    stale = (await api.apply(config_map(namespace, by="old")))["metadata"]
    await api.apply(config_map(namespace, by="new"))
    with pytest.raises(errors.Conflict):
        await api.apply(config_map(namespace, by="old"), resource_version=stale["resourceVersion"])
    ref = CONFIGMAPS.ref("settings", namespace)
    assert ((await api.get(ref)) or {})["data"] == {"by": "new"}


async def test_a_write_for_an_object_that_was_replaced_is_a_conflict(
    api: Api, namespace: str
) -> None:
    ref = CONFIGMAPS.ref("settings", namespace)
    uid = (await api.apply(config_map(namespace, a="1")))["metadata"]["uid"]
    assert await api.delete(ref, uid=uid)
    with pytest.raises(errors.Conflict):
        await api.apply(config_map(namespace, a="2"), uid=uid)
    assert await api.get(ref) is None
    await api.apply(config_map(namespace, a="3"))
    with pytest.raises(errors.Conflict):
        await api.apply(config_map(namespace, a="2"), uid=uid)
    with pytest.raises(errors.Conflict):
        await api.delete(ref, uid=uid)
    assert ((await api.get(ref)) or {})["data"] == {"a": "3"}


@pytest.mark.usefixtures("crds")
async def test_a_write_for_a_model_that_was_replaced_is_a_conflict(
    api: Api, namespace: str
) -> None:
    ref = SMALLMODELS.ref("tiny", namespace)
    old = (await api.apply(small_model(namespace)))["metadata"]
    assert await api.delete(ref, uid=old["uid"])
    with pytest.raises(errors.Conflict):
        await api.apply(small_model(namespace), uid=old["uid"])
    await api.apply(small_model(namespace))
    with pytest.raises(errors.Conflict):
        await api.apply(small_model(namespace), uid=old["uid"])
    version = old["resourceVersion"]
    with pytest.raises(errors.Conflict):
        await api.patch_status(ref, {"url": "http://x"}, resource_version=version)


@pytest.mark.usefixtures("crds")
async def test_a_status_leaves_the_spec_and_its_generation_alone(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    made = await api.apply(small_model(namespace))
    ref = SMALLMODELS.ref("tiny", namespace)
    version = made["metadata"]["resourceVersion"]
    after = await api.patch_status(ref, {"url": "http://x"}, resource_version=version)
    assert after["status"]["url"] == "http://x"
    assert after["metadata"]["generation"] == made["metadata"]["generation"]
    applied = await api.apply(small_model(namespace, contextLength=1024))
    assert applied["status"]["url"] == "http://x"
    assert "url" not in (await api.patch_status(ref, {}))["status"]


@pytest.mark.usefixtures("crds")
async def test_a_status_of_a_model_that_is_gone_is_not_found(api: Api, namespace: str) -> None:
    with pytest.raises(errors.NotFound):
        await api.patch_status(SMALLMODELS.ref("tiny", namespace), {"url": "http://x"})


async def test_an_object_leaves_when_its_last_finalizer_does(api: Api, namespace: str) -> None:
    manifest = config_map(namespace)
    manifest["metadata"]["finalizers"] = ["smallmodel.dev/placement"]
    await api.apply(manifest)
    ref = CONFIGMAPS.ref("settings", namespace)
    assert await api.delete(ref)
    live = await api.get(ref)
    assert live is not None
    assert live["metadata"]["deletionTimestamp"]
    version = live["metadata"]["resourceVersion"]
    old = {"metadata": {"resourceVersion": "1", "finalizers": None}}
    with pytest.raises(errors.Conflict):
        await api.merge_patch(ref, old)
    await api.merge_patch(ref, {"metadata": {"resourceVersion": version, "finalizers": None}})
    assert await api.get(ref) is None
    assert not await api.delete(ref)


async def test_a_list_of_many_pages_is_whole(
    api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.api._PAGE", 2)

    async def make(number: int) -> None:
        manifest = config_map(namespace)
        manifest["metadata"] |= {"name": f"n{number}", "labels": {"odd": str(number % 2)}}
        await api.apply(manifest)

    await asyncio.gather(*map(make, range(7)))
    items, version = await api.list(CONFIGMAPS, namespace, labels="odd=1")
    assert [one["metadata"]["name"] for one in items] == ["n1", "n3", "n5"]
    assert items[0]["kind"] == "ConfigMap"
    assert int(version) > 0
    calls = api.calls[Call(verb="list", resource="configmaps")]
    assert len((await api.list(CONFIGMAPS, namespace))[0]) >= 7
    assert api.calls[Call(verb="list", resource="configmaps")] - calls >= 4


async def test_a_list_of_one_name_has_that_one_or_none(
    api: Api, namespace: str, crds: None
) -> None:
    await api.apply(small_model(namespace))
    await api.apply(small_model(namespace) | {"metadata": {"name": "t", "namespace": namespace}})
    for name, there in (("tiny", ["tiny"]), ("absent", [])):
        found, _ = await api.list(SMALLMODELS, namespace, fields=f"metadata.name={name}")
        assert [one["metadata"]["name"] for one in found] == there


async def test_what_is_not_there_is_none_and_what_is_not_served_is_an_error(
    api: Api, namespace: str
) -> None:
    assert await api.get(CONFIGMAPS.ref("absent", namespace)) is None
    assert await api.get(CONFIGMAPS.ref("absent", "no-such-namespace")) is None
    with pytest.raises(errors.ApiMissing):
        await api.get(UNSERVED.ref("absent", namespace))
    with pytest.raises(errors.ApiMissing):
        await api.list(UNSERVED)


async def test_a_namespace_that_is_not_there_is_told_apart(api: Api) -> None:
    for write in (api.apply, api.create):
        with pytest.raises(errors.NamespaceMissing, match="no-such-namespace"):
            await write(config_map("no-such-namespace"))


async def test_a_namespace_that_ends_takes_nothing_new(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    # A finalizer on something inside keeps the namespace from being gone at once.
    kept = config_map(namespace)
    kept["metadata"]["finalizers"] = ["smallmodel.dev/placement"]
    await api.apply(kept)
    await api.delete(NAMESPACES.ref(namespace))
    late = config_map(namespace)
    late["metadata"]["name"] = "late"
    with pytest.raises(errors.NamespaceEnding):
        await api.apply(late)
    with pytest.raises(errors.NamespaceEnding):
        await api.create(late)
    ref = CONFIGMAPS.ref("settings", namespace)
    await api.merge_patch(ref, {"metadata": {"finalizers": None}})
    control_plane.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=60s")


async def test_making_what_is_there_is_told_apart(api: Api, namespace: str) -> None:
    await api.create(config_map(namespace))
    with pytest.raises(errors.AlreadyExists):
        await api.create(config_map(namespace))


@pytest.mark.usefixtures("crds")
async def test_an_unknown_field_is_refused_and_not_dropped(api: Api, namespace: str) -> None:
    wrong = [
        config_map(namespace) | {"dtaa": {}},
        small_model(namespace, modle="x"),
        small_model(namespace, contextLength="many"),
    ]
    for manifest in wrong:
        for write in (api.apply, api.create):
            with pytest.raises(errors.Invalid):
                await write(manifest)


async def test_who_has_no_rights_is_told_which(stranger: Path, namespace: str) -> None:
    async with await Api.connect(stranger) as api:
        with pytest.raises(errors.Forbidden, match='cannot list resource "secrets"'):
            await api.list(SECRETS, namespace)
        with pytest.raises(errors.Forbidden, match='cannot patch resource "configmaps"'):
            await api.apply(config_map(namespace))
        with pytest.raises(errors.Forbidden):
            await api.websocket(
                PODS.ref("x", namespace), "portforward", {"ports": "1"}, "v4.channel.k8s.io"
            )


async def test_a_stream_of_a_pod_that_is_gone_is_not_found(api: Api, namespace: str) -> None:
    with pytest.raises(errors.NotFound):
        await api.websocket(
            PODS.ref("x", namespace), "portforward", {"ports": "1"}, "v4.channel.k8s.io"
        )


async def test_a_token_that_nobody_gave_is_unauthorized(stranger: Path, namespace: str) -> None:
    config = json.loads(stranger.read_text())
    config["users"][0]["user"]["token"] = "abc"
    stranger.write_text(json.dumps(config))
    async with await Api.connect(stranger) as api:
        with pytest.raises(errors.Unauthorized, match="renew the credentials"):
            await api.get(CONFIGMAPS.ref("x", namespace))


@pytest.mark.parametrize("data", [{"token": "%%topsecret"}, {"token": {"topsecret": "x"}}])
async def test_a_secret_that_is_refused_is_not_quoted(
    data: dict[str, Any], api: Api, namespace: str
) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": namespace},
        "data": data,
    }
    for write in (api.apply, api.create):
        with pytest.raises(errors.ApiError) as caught:
            await write(manifest)
        assert "topsecret" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.usefixtures("crds")
async def test_applying_what_is_not_there_takes_the_right_to_create(
    api: Api, stranger: Path, control_plane: KubeAccess, namespace: str
) -> None:
    """What `Api.permissions` says of an apply is what the API server asks for."""
    grant = ("-n", namespace, "create", "role", "r", "--verb=patch", "--resource=configmaps")
    control_plane.kubectl(*grant)
    to = f"--serviceaccount={namespace}:stranger"
    control_plane.kubectl("-n", namespace, "create", "rolebinding", "r", "--role=r", to)
    async with await Api.connect(stranger) as patcher:
        with pytest.raises(errors.Forbidden, match="create"):
            await patcher.apply(config_map(namespace))
        await api.apply(config_map(namespace))
        assert Call(verb="create", resource="configmaps") in api.permissions
        await patcher.apply(config_map(namespace))
        assert patcher.permissions == {Call(verb="patch", resource="configmaps")}
