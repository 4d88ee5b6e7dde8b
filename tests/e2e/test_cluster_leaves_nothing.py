"""Clusters of two kinds come and go, and the machine is as it was."""

import json
import os

import pytest

from cluster import bringup, control, machine
from cluster.images import BUSYBOX
from cluster.options import ClusterOptions, FakeGpu
from cluster.running import Cluster
from cluster.waiting import wait_until
from support.footprint import footprint

pytestmark = pytest.mark.e2e

GPUS = FakeGpu(product="NVIDIA-L4", count=2, memory=23034)


@pytest.fixture(autouse=True)
def _root() -> None:
    if problem := machine.unsupported():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)


def gpu_pod(name: str, count: int) -> str:
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
        "resources": {"limits": {"nvidia.com/gpu": str(count)}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return json.dumps(pod)


def is_running(cluster: Cluster, pod: str) -> bool:
    path = "jsonpath={.status.phase}"
    return cluster.kubectl("get", "pod", pod, "-o", path) == "Running"


def why_waiting(cluster: Cluster, pod: str) -> str:
    path = 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'
    return cluster.kubectl("get", "pod", pod, "-o", path)


def test_nothing_is_left_of_a_cluster_with_two_nodes_and_gpus() -> None:
    before = footprint("gone")
    options = ClusterOptions(name="gone", nodes=2, kuberay=False, fake_gpu=GPUS)
    with bringup.lent(options) as cluster:
        for pod in ("first", "second"):
            cluster.apply(gpu_pod(pod, count=2))
        wait_until(
            lambda: is_running(cluster, "first") and is_running(cluster, "second"),
            "a pod on each node has its two GPUs",
            within=60,
        )
        cluster.apply(gpu_pod("third", count=1))
        wait_until(
            lambda: "2 Insufficient nvidia.com/gpu" in why_waiting(cluster, "third"),
            "a third pod has to wait",
            within=30,
        )
        labels = {
            node["metadata"]["labels"]["nvidia.com/gpu.memory"]
            for node in cluster.get("nodes")["items"]
        }
        during = footprint("gone")
        assert labels == {str(GPUS.memory)}
        # Safe to repeat: the same cluster, whose programs went on.
        programs = cluster.programs()
        assert bringup.up(cluster.record.options).programs() == programs
    after = footprint("gone")
    for kind in ("cgroups", "links", "namespaces", "routes"):
        assert during[kind] - before[kind], f"the listing of {kind} would not show a cluster"
    assert {kind: after[kind] - before[kind] for kind in after} == dict.fromkeys(after, frozenset())
    assert before["sysctls"] == after["sysctls"]


def test_two_clusters_run_side_by_side() -> None:
    options = ClusterOptions(name="side", kubelet=False)
    with bringup.lent(options) as one, bringup.lent(options) as other:
        assert one.record.index != other.record.index
        one.kubectl("create", "namespace", "only-here")
        assert other.try_kubectl("get", "namespace", "only-here").returncode == 1


def test_what_an_ended_run_left_is_taken_down_by_the_next() -> None:
    options = ClusterOptions(name="left", kubelet=False)
    left = bringup.up(options.model_copy(update={"name": "left0"}))
    process = control.init_pid(left.files.node(0).control)
    with bringup.lent(options) as cluster:
        assert cluster.name == left.name
        assert control.init_pid(cluster.files.node(0).control) != process
    assert control.init_pid(left.files.node(0).control) is None
