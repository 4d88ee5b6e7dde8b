"""Uninstalling stops the operator first, takes off our finalizers alone, and forces nothing."""

from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.errors import Conflict
from smallmodel_operator.install import uninstall
from smallmodel_operator.install.uninstall import Installation, UninstallStopped

OURS = "/apis/smallmodel.dev/v1alpha1"
DEPLOYMENT = "/apis/apps/v1/namespaces/system/deployments/operator"
ALL = Installation(namespace="system", deployment="operator", patience=0.0)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "_PAUSE_SECONDS", 0.0)


def put_model(kube: FakeKubeApi, namespace: str, *finalizers: str) -> str:
    path = f"{OURS}/namespaces/{namespace}/smallmodels/chat"
    metadata: dict[str, Any] = {"name": "chat", "namespace": namespace}
    kube.put(
        path,
        {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "SmallModel",
            "metadata": metadata | ({"finalizers": list(finalizers)} if finalizers else {}),
            "spec": {"model": "little-1b"},
        },
    )
    return path


def put_placement(kube: FakeKubeApi, namespace: str, *finalizers: str) -> str:
    name = f"{namespace}-chat-12345678"
    path = f"{OURS}/namespaces/slm-cluster-local/modelplacements/{name}"
    kube.put(
        path,
        {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "ModelPlacement",
            "metadata": {
                "name": name,
                "namespace": "slm-cluster-local",
                "finalizers": list(finalizers),
            },
            "spec": {"model": {"namespace": namespace, "name": "chat", "generation": 1}},
        },
    )
    return path


def put_operator(kube: FakeKubeApi) -> None:
    kube.put(
        DEPLOYMENT,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "operator", "namespace": "system"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "operator"}}},
        },
    )


def finalizers(kube: FakeKubeApi, path: str) -> list[str]:
    found: list[str] = kube.objects[path]["metadata"].get("finalizers", [])
    return found


async def test_our_finalizer_goes_and_others_stay(kube: FakeKubeApi, api: Api) -> None:
    model = put_model(kube, "team", "other.dev/keep", FINALIZER)
    placement = put_placement(kube, "team", FINALIZER)
    bare = put_model(kube, "bare")
    assert await uninstall.strip_finalizers(api, ALL) == 2
    assert finalizers(kube, model) == ["other.dev/keep"]
    assert finalizers(kube, placement) == []
    assert finalizers(kube, bare) == []


async def test_doing_it_twice_writes_nothing_more(kube: FakeKubeApi, api: Api) -> None:
    put_model(kube, "team", FINALIZER)
    await uninstall.strip_finalizers(api, ALL)
    patches = kube.methods["PATCH"]
    assert await uninstall.strip_finalizers(api, ALL) == 0
    assert kube.methods["PATCH"] == patches == 1


async def test_models_of_another_installation_are_not_touched(kube: FakeKubeApi, api: Api) -> None:
    ours, theirs = put_model(kube, "ours", FINALIZER), put_model(kube, "theirs", FINALIZER)
    placement = put_placement(kube, "theirs", FINALIZER)
    one = Installation(namespace="system", deployment="operator", watched=frozenset({"ours"}))
    assert await uninstall.strip_finalizers(api, one) == 1
    assert finalizers(kube, ours) == []
    assert finalizers(kube, theirs) == finalizers(kube, placement) == [FINALIZER]


async def test_a_change_in_between_is_read_again(kube: FakeKubeApi, api: Api) -> None:
    model = put_model(kube, "team", FINALIZER)
    kube.replies = [None, refuse(409, "Conflict")]
    assert await uninstall.strip_finalizers(api, ALL) == 1
    assert finalizers(kube, model) == []


async def test_a_change_every_time_is_an_error(kube: FakeKubeApi, api: Api) -> None:
    put_model(kube, "team", FINALIZER)
    conflict = refuse(409, "Conflict")
    kube.replies = [None, *[reply for _ in range(9) for reply in (conflict, None)]]
    with pytest.raises(Conflict):
        await uninstall.strip_finalizers(api, ALL)


async def test_the_operator_is_scaled_to_zero(kube: FakeKubeApi, api: Api) -> None:
    put_operator(kube)
    await uninstall.stop_operator(api, ALL)
    assert kube.objects[DEPLOYMENT]["spec"]["replicas"] == 0
    selectors = [one.query.get("labelSelector") for one in kube.seen if "/pods" in one.path]
    assert selectors == ["app=operator"]


async def test_an_operator_that_is_gone_is_fine(kube: FakeKubeApi, api: Api) -> None:
    await uninstall.stop_operator(api, ALL)
    assert kube.methods["PATCH"] == 0


async def test_a_pod_that_stays_stops_the_uninstall(kube: FakeKubeApi, api: Api) -> None:
    put_operator(kube)
    pod = {"apiVersion": "v1", "kind": "Pod"}
    metadata = {"name": "operator-1", "namespace": "system", "labels": {"app": "operator"}}
    kube.put("/api/v1/namespaces/system/pods/operator-1", pod | {"metadata": metadata})
    model = put_model(kube, "team", FINALIZER)
    with pytest.raises(UninstallStopped, match="Pod system/operator-1; delete it with"):
        await uninstall.run(api, ALL, delete=False)
    # Taken off now, it would be put back.
    assert finalizers(kube, model) == [FINALIZER]


async def test_models_stay_unless_their_deletion_is_asked_for(kube: FakeKubeApi, api: Api) -> None:
    put_operator(kube)
    put_model(kube, "team", FINALIZER)
    await uninstall.run(api, ALL, delete=False)
    assert kube.methods["DELETE"] == 0


async def test_models_are_deleted_before_the_operator_stops(kube: FakeKubeApi, api: Api) -> None:
    put_operator(kube)
    model = put_model(kube, "team")
    await uninstall.run(api, ALL, delete=True)
    assert model not in kube.objects
    order = [one.method for one in kube.seen if one.method in ("DELETE", "PATCH")]
    assert order == ["DELETE", "PATCH"]


async def test_a_model_that_does_not_go_is_named_and_not_forced(
    kube: FakeKubeApi, api: Api
) -> None:
    put_operator(kube)
    placement = put_placement(kube, "team", FINALIZER)
    with pytest.raises(UninstallStopped, match="1 objects are still there after 0 s: ModelPlace"):
        await uninstall.run(api, ALL, delete=True)
    assert finalizers(kube, placement) == [FINALIZER]
    assert kube.objects[DEPLOYMENT]["spec"]["replicas"] == 2


async def test_many_that_stay_are_counted(kube: FakeKubeApi, api: Api) -> None:
    for number in range(7):
        put_placement(kube, f"team{number}", FINALIZER)
    with pytest.raises(UninstallStopped, match=r"7 objects .* and 2 more; look at the operator"):
        await uninstall.delete_models(api, ALL)
