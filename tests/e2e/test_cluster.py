"""The cluster itself is what the other tests take it for."""

import json

import pytest

from cluster.access import KubeAccess

pytestmark = pytest.mark.e2e


def test_nodes_are_ready(cluster: KubeAccess) -> None:
    conditions = [
        condition["status"]
        for node in cluster.get("nodes")["items"]
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert conditions
    assert set(conditions) == {"True"}


def test_ray_services_are_known(cluster: KubeAccess) -> None:
    kinds = json.loads(cluster.kubectl("get", "--raw", "/apis/ray.io/v1"))["resources"]
    assert "RayService" in {kind["kind"] for kind in kinds}
