"""The cluster itself is what the other tests take it for."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.access import KubeAccess
from cluster.addons import make_volume
from cluster.images import BUSYBOX
from cluster.running import Cluster
from cluster.waiting import wait_until

pytestmark = pytest.mark.e2e

NAMESPACE = "cluster-checks"


@pytest.fixture(scope="module", autouse=True)
def namespace(cluster: KubeAccess) -> Iterator[None]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def ran(cluster: KubeAccess, name: str, script: str, **spec: object) -> str:
    """Run a shell script in a pod to its end and return what it printed."""
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", script],
    } | spec.pop("container", {})  # type: ignore[operator]  # the tests below pass a dict
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }
    cluster.apply(json.dumps(pod))
    path = "jsonpath={.status.phase}"
    wait_until(
        lambda: (
            cluster.kubectl("-n", NAMESPACE, "get", "pod", name, "-o", path)
            in {"Succeeded", "Failed"}
        ),
        f"pod {name} has ended",
        within=60,
    )
    return cluster.kubectl("-n", NAMESPACE, "logs", name)


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


def test_a_pod_finds_services_by_name_and_nothing_outside(native_cluster: Cluster) -> None:
    name = "kubernetes.default.svc.cluster.local"
    said = ran(native_cluster, "names", f"nslookup {name}; nslookup example.com || echo unknown")
    assert str(native_cluster.record.addresses.api_service) in said
    assert said.rstrip().endswith("unknown")


def test_a_pod_reaches_a_server_on_the_host_end_of_its_node(native_cluster: Cluster) -> None:
    host = str(native_cluster.host_address)
    with socket.create_server((host, 0)) as server:

        def greet() -> None:
            connection, _peer = server.accept()
            with connection:
                connection.sendall(b"hello from the host")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        said = ran(native_cluster, "caller", f"nc {host} {server.getsockname()[1]} </dev/null")
        thread.join(timeout=10)
    assert said == "hello from the host"


def test_a_pod_writes_into_a_folder_of_this_machine(
    native_cluster: Cluster, tmp_path: Path
) -> None:
    make_volume(native_cluster, "folder", tmp_path / "volume", "1Gi", claim=(NAMESPACE, "folder"))
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "folder", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    native_cluster.apply(json.dumps(claim))
    ran(
        native_cluster,
        "writer",
        "echo written > /data/file",
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "folder"}}],
        container={
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "securityContext": {"runAsUser": 1000},
        },
    )
    assert (tmp_path / "volume" / "file").read_text() == "written\n"
    native_cluster.kubectl("delete", "persistentvolume", "folder", "--wait=false")


def test_a_stopped_program_stays_away_and_works_again_when_started(
    native_cluster: Cluster,
) -> None:
    native_cluster.stop("etcd")
    assert native_cluster.programs()["etcd"] is None
    assert not native_cluster.api_is_ready()
    native_cluster.start("etcd")
    assert native_cluster.api_is_ready()
    assert native_cluster.programs()["etcd"] is not None


def test_a_restarted_api_server_is_another_process(native_cluster: Cluster) -> None:
    before = native_cluster.programs()["kube-apiserver"]
    native_cluster.restart("kube-apiserver")
    assert native_cluster.programs()["kube-apiserver"] not in {None, before}
    assert native_cluster.api_is_ready()


def test_a_killed_program_is_started_again(native_cluster: Cluster) -> None:
    before = native_cluster.programs()["kubelet"]
    native_cluster.kill("kubelet")
    wait_until(
        lambda: native_cluster.programs()["kubelet"] not in {None, before},
        "the kubelet runs again",
        within=20,
    )
    assert "Killed" not in native_cluster.logs("kubelet")


def test_a_node_without_power_comes_back(native_cluster: Cluster) -> None:
    native_cluster.node_down()
    native_cluster.node_up()
    assert ran(native_cluster, "after", "echo runs") == "runs\n"
