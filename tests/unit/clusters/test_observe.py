"""What a cluster is seen to have."""

from typing import Any

import pytest
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, Reply, failure
from builders.kube_objects import HUB, node, pod
from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.nodes import AcceleratorFacts, Taint, node_of
from smallmodel_operator.clusters.observe import ClusterObserver, KubeRayFacts
from smallmodel_operator.clusters.requests import Call

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rayservices.ray.io"
DEPLOYMENT = "/apis/apps/v1/namespaces/kuberay-system/deployments/kuberay-operator"
GIB = 2**30


def crd(*fields: str, store: bool = False, generation: int = 1) -> dict[str, Any]:
    cluster: dict[str, Any] = {name: {"type": "object"} for name in fields}
    if store:
        cluster["gcsFaultToleranceOptions"] = {"properties": {"backend": {"type": "string"}}}
    schema = {"properties": {"spec": {"properties": {"rayClusterConfig": {"properties": cluster}}}}}
    return {
        "metadata": {"name": "rayservices.ray.io", "uid": "u", "generation": generation},
        "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]},
    }


def kuberay(image: str = "quay.io/kuberay/operator:v1.6.2") -> dict[str, Any]:
    containers = [{"name": "kuberay-operator", "image": image}]
    return {
        "metadata": {"name": "kuberay-operator", "namespace": "kuberay-system"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


@pytest.fixture
def paths(kube: FakeKubeApi) -> dict[str, Reply]:
    """Answers by path, before the fake's own: discovery, and what may not be read."""

    def version(_request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1.36.3"})

    def served(_request: web.Request) -> web.Response:
        return web.json_response({"resources": [{"name": "rayclusters"}, {"name": "rayservices"}]})

    answers: dict[str, Reply] = {"/version": version, "/apis/ray.io/v1": served}

    def by_path(request: web.Request) -> web.StreamResponse | None:
        return answers[request.path](request) if request.path in answers else None

    kube.replies = [by_path] * 100
    return answers


def forbidden(_request: web.Request) -> web.Response:
    return failure(403, "Forbidden", "not you")


def not_served(_request: web.Request) -> web.Response:
    return web.Response(status=404, text="404 page not found")


@pytest.fixture
def full(kube: FakeKubeApi, paths: dict[str, Reply]) -> FakeKubeApi:
    """A cluster with KubeRay and two nodes."""
    kube.put(CRD, crd("authOptions"))
    kube.put(DEPLOYMENT, kuberay())
    kube.put("/api/v1/nodes/b", node("b"))
    kube.put("/api/v1/nodes/a", node("a"))
    return kube


async def test_nodes_are_reported_by_name_with_what_others_ask_of_them(
    api: Api, full: FakeKubeApi
) -> None:
    ours = {LABEL_POOL: "cpu-1", LABEL_HUB: HUB}
    theirs = {LABEL_POOL: "cpu-1", LABEL_HUB: "hub-2"}
    asked = {"cpu": "1", "memory": "1Gi"}
    for number, labels in enumerate(({}, {"app": "x"}, theirs, ours)):
        name = f"pod-{number}"
        path = f"/api/v1/namespaces/team/pods/{name}"
        full.put(path, pod(name, on="b", requests=asked, labels=labels))
    facts = await ClusterObserver(api, HUB).observe()
    assert facts.kubernetes_version == "1.36.3"
    assert [one.name for one in facts.nodes] == ["a", "b"]
    assert [one.requested_cpu_cores for one in facts.nodes] == [0.0, 3.0]
    assert [one.requested_memory_bytes for one in facts.nodes] == [0, 3 * GIB]
    assert [one.cpu_cores for one in facts.nodes] == [4.0, 4.0]


async def test_only_pods_that_take_something_are_asked_for(api: Api, full: FakeKubeApi) -> None:
    await ClusterObserver(api, HUB).observe()
    asked = [one.query for one in full.seen if one.path == "/api/v1/pods"]
    selector = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
    assert [query["fieldSelector"] for query in asked] == [selector]


async def test_kuberay_is_known_by_its_image_and_its_crd(api: Api, full: FakeKubeApi) -> None:
    facts = await ClusterObserver(api, HUB).observe()
    assert facts.kuberay == KubeRayFacts(
        served=True, version="1.6.2", token_auth=True, embedded_store=False
    )


async def test_a_newer_crd_offers_more(api: Api, full: FakeKubeApi) -> None:
    full.put(CRD, crd("authOptions", store=True))
    assert (await ClusterObserver(api, HUB).observe()).kuberay.embedded_store is True


async def test_an_old_crd_offers_less(api: Api, full: FakeKubeApi) -> None:
    full.put(CRD, crd())
    assert (await ClusterObserver(api, HUB).observe()).kuberay.token_auth is False


async def test_the_crd_is_read_again_only_when_it_changed(api: Api, full: FakeKubeApi) -> None:
    observer = ClusterObserver(api, HUB)
    for generation in (1, 1, 2):
        full.put(CRD, crd("authOptions", generation=generation))
        await observer.observe()
    accepted = [one.headers["Accept"] for one in full.seen if one.path == CRD]
    assert sum("PartialObjectMetadata" not in accept for accept in accepted) == 2


async def test_a_cluster_without_kuberay_is_seen_to_have_none(
    api: Api, full: FakeKubeApi, paths: dict[str, Reply]
) -> None:
    paths["/apis/ray.io/v1"] = not_served
    del full.objects[DEPLOYMENT]
    facts = await ClusterObserver(api, HUB).observe()
    assert facts.kuberay == KubeRayFacts(served=False)


async def test_kuberay_that_appears_is_seen_the_next_time(
    api: Api, full: FakeKubeApi, paths: dict[str, Reply]
) -> None:
    observer = ClusterObserver(api, HUB)
    served = paths.pop("/apis/ray.io/v1")
    paths["/apis/ray.io/v1"] = not_served
    assert not (await observer.observe()).kuberay.served
    paths["/apis/ray.io/v1"] = served
    assert (await observer.observe()).kuberay.served


async def test_what_may_not_be_read_of_kuberay_is_unknown(
    api: Api, full: FakeKubeApi, paths: dict[str, Reply]
) -> None:
    paths["/apis/apps/v1/deployments"] = forbidden
    paths[CRD] = forbidden
    facts = await ClusterObserver(api, HUB).observe()
    assert facts.kuberay == KubeRayFacts(served=True)


async def test_a_crd_that_vanishes_meanwhile_is_unknown(api: Api, full: FakeKubeApi) -> None:
    """Discovery lags a little behind."""
    observer = ClusterObserver(api, HUB)
    await observer.observe()
    del full.objects[CRD]
    assert (await observer.observe()).kuberay.token_auth is None


async def test_what_is_read_of_the_crd_is_counted_as_a_read_of_a_crd(
    api: Api, full: FakeKubeApi
) -> None:
    await ClusterObserver(api, HUB).observe()
    group = "apiextensions.k8s.io"
    call = Call(verb="get", group=group, resource="customresourcedefinitions")
    assert api.calls[call] == 2


async def test_nodes_that_may_not_be_read_are_an_error(
    api: Api, full: FakeKubeApi, paths: dict[str, Reply]
) -> None:
    paths["/api/v1/nodes"] = forbidden
    with pytest.raises(errors.Forbidden, match="list nodes"):
        await ClusterObserver(api, HUB).observe()


IMAGES = {
    "quay.io/kuberay/operator:v1.6.2": "1.6.2",
    "mirror.example:5000/kuberay/operator:1.7.0-rc.1": "1.7.0-rc.1",
    "kuberay/operator:v1.6.2@sha256:0123": "1.6.2",
    "kuberay/operator:latest": None,
    "kuberay/operator": None,
    "mirror.example:5000/kuberay/operator@sha256:0123": None,
}


@pytest.mark.parametrize("image", IMAGES)
async def test_a_version_is_read_off_an_image(image: str, api: Api, full: FakeKubeApi) -> None:
    full.put(DEPLOYMENT, kuberay(image))
    assert (await ClusterObserver(api, HUB).observe()).kuberay.version == IMAGES[image]


async def test_a_version_may_be_a_label(api: Api, full: FakeKubeApi) -> None:
    deployment = kuberay("kuberay/operator:nightly")
    deployment["metadata"]["labels"] = {"app.kubernetes.io/version": "1.7.0"}
    full.put(DEPLOYMENT, deployment)
    assert (await ClusterObserver(api, HUB).observe()).kuberay.version == "1.7.0"


DEVICES: dict[str, tuple[dict[str, Any], dict[str, str], AcceleratorFacts]] = {
    "NVIDIA": (
        {"nvidia.com/gpu": "2"},
        {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"},
        AcceleratorFacts(
            resource="nvidia.com/gpu",
            product="NVIDIA-L4",
            memory_bytes=23034 * 2**20,
            allocatable=2,
            requested=1,
        ),
    ),
    "AMD": (
        {"amd.com/gpu": "1"},
        {"amd.com/gpu.product-name": "AMD_Instinct_MI300X", "amd.com/gpu.vram": "192G"},
        AcceleratorFacts(
            resource="amd.com/gpu",
            product="AMD_Instinct_MI300X",
            memory_bytes=192 * GIB,
            allocatable=1,
            requested=1,
        ),
    ),
    "Intel": (
        {"gpu.intel.com/i915": "2"},
        {"gpu.intel.com/product": "Flex_170", "gpu.intel.com/memory.max": str(32 * GIB)},
        AcceleratorFacts(
            resource="gpu.intel.com/i915",
            product="Flex_170",
            memory_bytes=16 * GIB,
            allocatable=2,
            requested=1,
        ),
    ),
    "a device without labels": (
        {"nvidia.com/gpu": 1},
        {},
        AcceleratorFacts(
            resource="nvidia.com/gpu",
            product="unknown",
            memory_bytes=None,
            allocatable=1,
            requested=1,
        ),
    ),
    "a device whose memory label is no number": (
        {"nvidia.com/gpu": 1},
        {"nvidia.com/gpu.memory": "lots"},
        AcceleratorFacts(
            resource="nvidia.com/gpu",
            product="unknown",
            memory_bytes=None,
            allocatable=1,
            requested=1,
        ),
    ),
}


@pytest.mark.parametrize("case", DEVICES)
def test_devices_are_known_by_the_names_of(case: str) -> None:
    allocatable, labels, expected = DEVICES[case]
    facts = node_of(node(allocatable=allocatable, labels=labels), {expected.resource: 1.0})
    assert facts.accelerators == (expected,)


def test_a_node_that_has_lost_its_devices_has_none() -> None:
    assert node_of(node(allocatable={"nvidia.com/gpu": "0"}), {}).accelerators == ()


def test_a_node_says_what_keeps_pods_off() -> None:
    taints = [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "soft", "effect": "PreferNoSchedule"},
        {"key": "broken", "effect": "NoExecute"},
    ]
    facts = node_of(node(spec={"unschedulable": True, "taints": taints}), {})
    assert facts.cordoned
    assert facts.taints == (
        Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),
        Taint(key="broken", value="", effect="NoExecute"),
    )


@pytest.mark.parametrize(
    ("status", "ready"), [("True", True), ("False", False), ("Unknown", False)]
)
def test_a_node_is_ready_only_when_it_says_so(status: str, ready: bool) -> None:
    assert node_of(node(ready=status), {}).ready is ready


def test_a_node_that_has_just_joined_has_nothing() -> None:
    facts = node_of({"metadata": {"name": "new"}}, {})
    assert (facts.ready, facts.cordoned, facts.cpu_cores, facts.memory_bytes) == (
        False,
        False,
        0,
        0,
    )
