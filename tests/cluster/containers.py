"""Killing the containers of pods on their node, which needs no API server."""

from collections.abc import Collection
from pathlib import Path

from cluster.commands import run
from cluster.folders import NodeFiles


def kill_containers(node: NodeFiles, namespace: str, pods: Collection[str], ctr: Path) -> None:
    """Kill what runs in these pods. Their sandboxes stay, and with them addresses and volumes.

    Raises:
        ClusterProblem: containerd does not do it.
    """
    running = set(_ask(node, ctr, "tasks", "list", "--quiet").split())
    found = {one for pod in pods for one in _containers(node, namespace, pod, ctr)}
    for container in sorted(found & running):
        _ask(node, ctr, "tasks", "kill", "--signal", "SIGKILL", container)


def _containers(node: NodeFiles, namespace: str, pod: str, ctr: Path) -> list[str]:
    """Return the ids of a pod's containers, those that ended included."""
    labels = {
        "io.kubernetes.pod.namespace": namespace,
        "io.kubernetes.pod.name": pod,
        "io.cri-containerd.kind": "container",
    }
    wanted = ",".join(f'labels."{name}"=={value}' for name, value in labels.items())
    return _ask(node, ctr, "containers", "list", "--quiet", wanted).split()


def _ask(node: NodeFiles, ctr: Path, *words: str) -> str:
    return run(ctr, "--address", node.containerd, "--namespace", "k8s.io", *words)
