"""The verbs, as an API server gets to see them."""

from pathlib import Path
from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.kube_objects import CONFIG_MAP_PATH, config_map, node, secret
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import CONFIGMAPS, NODES, PODS, SECRETS, SMALLMODELS
from smallmodel_operator.clusters.requests import Call
from support.fail_nth import FailNth

SETTINGS = CONFIGMAPS.ref("settings", "team")


async def test_an_object_is_read_with_the_kubeconfigs_token(api: Api, kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map())
    found = await api.get(SETTINGS)
    assert found is not None
    assert found["data"] == {"key": "value"}
    assert kube.seen[0].headers["Authorization"] == "Bearer a-token"
    assert kube.seen[0].headers["User-Agent"] == "smallmodel-operator"


async def test_an_object_that_is_not_there_is_none(api: Api) -> None:
    assert await api.get(SETTINGS) is None


async def test_an_apply_is_forced_strict_and_ours(api: Api, kube: FakeKubeApi) -> None:
    await api.apply(config_map())
    sent = kube.seen[0]
    assert (sent.method, sent.path) == ("PATCH", CONFIG_MAP_PATH)
    assert sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert sent.query == {
        "fieldManager": "smallmodel-operator",
        "fieldValidation": "Strict",
        "force": "true",
    }
    assert sent.body == config_map()


async def test_an_apply_says_from_which_version_it_was_computed(api: Api) -> None:
    live = await api.apply(config_map())
    version = live["metadata"]["resourceVersion"]
    await api.apply(config_map(data={"key": "new"}), resource_version=version)
    with pytest.raises(errors.Conflict, match="apply ConfigMap team/settings"):
        await api.apply(config_map(data={"key": "newer"}), resource_version=version)


async def test_an_apply_for_another_object_of_the_name_is_a_conflict(api: Api) -> None:
    await api.apply(config_map())
    with pytest.raises(errors.Conflict):
        await api.apply(config_map(), uid="of-another")


async def test_the_manifest_given_is_not_changed(api: Api) -> None:
    manifest = config_map()
    live = await api.apply(manifest)
    await api.apply(manifest, resource_version=live["metadata"]["resourceVersion"])
    assert manifest == config_map()


async def test_an_apply_can_leave_other_managers_fields_alone(api: Api, kube: FakeKubeApi) -> None:
    await api.apply(config_map(), force=False)
    assert kube.seen[0].query["force"] == "false"


async def test_a_status_is_applied_to_its_subresource(api: Api, kube: FakeKubeApi) -> None:
    ref = SMALLMODELS.ref("tiny", "team")
    kube.put(ref.path, {"metadata": {"name": "tiny", "namespace": "team"}})
    version = kube.objects[ref.path]["metadata"]["resourceVersion"]
    await api.patch_status(ref, {"url": "http://x"}, resource_version=version)
    sent = kube.seen[0]
    assert sent.path == f"{ref.path}/status"
    assert sent.query["force"] == "true"
    assert sent.body == {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": "tiny", "namespace": "team", "resourceVersion": version},
        "status": {"url": "http://x"},
    }


async def test_the_status_of_an_object_that_is_gone_is_not_found(api: Api) -> None:
    with pytest.raises(errors.NotFound):
        await api.patch_status(SMALLMODELS.ref("tiny", "team"), {})


async def test_a_merge_patch_changes_single_fields(api: Api, kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map(data={"key": "value", "old": "x"}))
    patched = await api.merge_patch(SETTINGS, {"data": {"old": None}})
    assert patched["data"] == {"key": "value"}
    assert kube.seen[0].headers["Content-Type"] == "application/merge-patch+json"


async def test_a_delete_names_the_object_that_it_means(api: Api, kube: FakeKubeApi) -> None:
    uid = kube.put(CONFIG_MAP_PATH, config_map())["metadata"]["uid"]
    with pytest.raises(errors.Conflict):
        await api.delete(SETTINGS, uid="of-another")
    assert await api.delete(SETTINGS, uid=uid, propagation="Foreground") is True
    assert kube.seen[1].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": "Foreground",
    }


async def test_deleting_what_is_gone_is_no_error(api: Api) -> None:
    assert await api.delete(SETTINGS) is False


async def test_a_second_create_finds_the_first(api: Api) -> None:
    await api.create(secret())
    with pytest.raises(errors.AlreadyExists, match="create Secret team/token"):
        await api.create(secret())


async def test_a_list_is_read_page_by_page(api: Api, kube: FakeKubeApi) -> None:
    kube.page = 2
    for number in range(5):
        kube.put(f"/api/v1/nodes/n{number}", node(f"n{number}"))
    items, version = await api.list(NODES, labels="a=b", fields="c!=d")
    assert [one["metadata"]["name"] for one in items] == ["n0", "n1", "n2", "n3", "n4"]
    assert {(one["apiVersion"], one["kind"]) for one in items} == {("v1", "Node")}
    assert version == "77"
    assert len(kube.seen) == 3
    assert kube.seen[0].query == {"limit": "500", "labelSelector": "a=b", "fieldSelector": "c!=d"}
    assert kube.seen[2].query["continue"] == "4"


async def test_a_list_of_one_namespace_is_asked_for_there(api: Api, kube: FakeKubeApi) -> None:
    assert await api.list(PODS, "team") == ([], "77")
    assert kube.seen[0].path == "/api/v1/namespaces/team/pods"


async def test_a_list_that_expired_between_pages_is_read_again(api: Api, kube: FakeKubeApi) -> None:
    kube.page = 1
    for number in range(2):
        kube.put(f"/api/v1/nodes/n{number}", node(f"n{number}"))
    kube.replies = [None, refuse(410, "Expired")]
    items, _ = await api.list(NODES)
    assert len(items) == 2
    assert len(kube.seen) == 4


async def test_a_list_that_keeps_expiring_is_an_error(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(410, "Expired")] * 2
    with pytest.raises(errors.ListExpired, match="list nodes"):
        await api.list(NODES)


async def test_a_path_that_is_no_object_can_be_read(api: Api, kube: FakeKubeApi) -> None:
    kube.put("/version/x", {"metadata": {}, "gitVersion": "v1.36.3"})
    answer = await api.raw("/version/x")
    assert answer.json()["gitVersion"] == "v1.36.3"


async def test_a_subresource_is_read_as_text(api: Api, kube: FakeKubeApi) -> None:
    ref = PODS.ref("pod-1", "team")
    kube.put(f"{ref.path}/log", {"metadata": {}})
    assert '"metadata"' in await api.read_subresource(ref, "log", query={"tailLines": "5"})
    assert kube.seen[0].query == {"tailLines": "5"}


async def test_calls_are_counted_by_what_a_role_must_allow(api: Api, kube: FakeKubeApi) -> None:
    await api.apply(config_map())
    await api.apply(config_map())
    await api.get(SECRETS.ref("token", "team"))
    with pytest.raises(errors.NotFound):
        await api.patch_status(SMALLMODELS.ref("tiny", "team"), {})
    patch = Call(verb="patch", resource="configmaps")
    status = Call(
        verb="patch", group="smallmodel.dev", resource="smallmodels", subresource="status"
    )
    read = Call(verb="get", resource="secrets")
    assert api.calls == {patch: 2, read: 1, status: 1}
    # Applying made an object: API servers ask for both verbs then.
    create = Call(verb="create", resource="configmaps")
    assert api.permissions == {patch, read, status, create}


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_test_can_have_the_nth_call_fail(
    delivered: bool, kube: FakeKubeApi, tmp_path: Path
) -> None:
    fault = FailNth(2, delivered=delivered)
    async with await Api.connect(kube.kubeconfig(tmp_path), around=fault) as api:
        await api.get(SETTINGS)
        with pytest.raises(errors.Unreachable, match=r"the 2\. call"):
            await api.apply(config_map())
        assert (CONFIG_MAP_PATH in kube.objects) is delivered
        await api.apply(config_map())
    assert kube.objects[CONFIG_MAP_PATH]["data"] == {"key": "value"}


async def test_a_test_can_have_the_nth_write_fail(kube: FakeKubeApi, tmp_path: Path) -> None:
    fault = FailNth(1, only_writes=True)
    async with await Api.connect(kube.kubeconfig(tmp_path), around=fault) as api:
        await api.get(SETTINGS)
        with pytest.raises(errors.Unreachable):
            await api.apply(config_map())
    assert fault.failed is not None
    assert fault.failed.call.verb == "patch"


async def test_a_kubeconfig_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(errors.NoConnection, match=r"no cluster is known.*--kubeconfig"):
        await Api.connect(tmp_path / "absent")


async def test_a_context_that_is_not_there_is_said_to_be(kube: FakeKubeApi, tmp_path: Path) -> None:
    with pytest.raises(errors.NoConnection, match="other"):
        await Api.connect(kube.kubeconfig(tmp_path), context="other")


async def test_a_pod_uses_its_service_account(
    kube: FakeKubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("of-the-pod")
    seen: dict[str, Any] = {}

    def fake_load_incluster_config(client_configuration: Any) -> None:
        seen["used"] = True
        client_configuration.host = kube.url
        client_configuration.api_key["BearerToken"] = f"bearer {token.read_text()}"

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    wire = "smallmodel_operator.clusters.wire"
    monkeypatch.setattr(f"{wire}.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(f"{wire}.config.load_incluster_config", fake_load_incluster_config)
    async with await Api.connect() as api:
        assert await api.get(SETTINGS) is None
    assert seen == {"used": True}
    assert kube.seen[0].headers["Authorization"] == "bearer of-the-pod"
