"""What a real API server tells of a cluster."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.nodes import NodeFacts
from smallmodel_operator.clusters.observe import ClusterObserver
from smallmodel_operator.clusters.ref import NODES, PODS

pytestmark = pytest.mark.api

HUB = "hub-of-the-test"
GIB = 2**30


@pytest.fixture
async def node(api: Api) -> AsyncIterator[str]:
    """A node that no kubelet stands behind."""
    name = f"paper-{uuid4().hex[:8]}"
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
    await api.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    )
    resources = {"cpu": "4", "memory": "8Gi", "pods": "110", "nvidia.com/gpu": "2"}
    status = {"capacity": resources, "allocatable": resources}
    await api.patch_status(NODES.ref(name), status)
    yield name
    await api.delete(NODES.ref(name))


def pod(namespace: str, name: str, node: str, **labels: str) -> dict[str, Any]:
    requests = {"cpu": "500m", "memory": "1Gi"}
    container = {"name": "main", "image": "x", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [container]},
    }


async def seen(api: Api, name: str) -> NodeFacts:
    facts = await ClusterObserver(api, HUB).observe()
    return next(one for one in facts.nodes if one.name == name)


async def test_the_version_is_the_api_servers(api: Api, control_plane: KubeAccess) -> None:
    facts = await ClusterObserver(api, HUB).observe()
    assert f"v{facts.kubernetes_version}" in control_plane.kubectl("version")


async def test_only_pods_that_take_something_and_are_not_ours_count(
    api: Api, namespace: str, node: str, control_plane: KubeAccess
) -> None:
    ours = {LABEL_POOL: "cpu-1", LABEL_HUB: HUB}
    await api.create(pod(namespace, "theirs", node))
    await api.create(pod(namespace, "ours", node, **ours))
    await api.create(pod(namespace, "done", node))
    await api.patch_status(PODS.ref("done", namespace), {"phase": "Succeeded"})
    waiting = pod(namespace, "waiting", node)
    del waiting["spec"]["nodeName"]
    waiting["spec"]["nodeSelector"] = {"no-such": "label"}
    await api.create(waiting)
    facts = await seen(api, node)
    assert (facts.requested_cpu_cores, facts.requested_memory_bytes) == (0.5, GIB)
    assert (facts.cpu_cores, facts.memory_bytes) == (4.0, 8 * GIB)
    assert [(one.product, one.allocatable) for one in facts.accelerators] == [("NVIDIA-L4", 2)]
    # kubectl counts ours too, and neither the one that is done nor the one that waits.
    assert "1 (25%)" in control_plane.kubectl("describe", "node", node)


async def test_a_cordoned_node_takes_nothing(
    api: Api, node: str, control_plane: KubeAccess
) -> None:
    control_plane.kubectl("cordon", node)
    assert (await seen(api, node)).cordoned
    control_plane.kubectl("uncordon", node)
    facts = await seen(api, node)
    assert not facts.cordoned
    assert not facts.ready


def ray_kinds(control_plane: KubeAccess) -> str:
    return control_plane.try_kubectl("get", "--raw", "/apis/ray.io/v1").stdout
