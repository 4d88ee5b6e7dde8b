"""`slm snapshot` against a real API server, and what is decided of it again."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from cluster.access import KubeAccess
from smallmodel_operator.cli.snapshots import read_snapshot

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


def operator_in(namespace: str) -> dict[str, Any]:
    """A Deployment that nobody runs: with what the operator was told."""
    labels = {
        "app.kubernetes.io/component": "operator",
        "app.kubernetes.io/part-of": "smallmodel",
    }
    image = {"name": "SMALLMODEL_SERVING_CPU_IMAGE", "value": "registry/serving-cpu:1"}
    container = {"name": "operator", "image": "registry/operator:1", "env": [image]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "smallmodel-operator", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def model_in(namespace: str, **placement: Any) -> dict[str, Any]:
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"model": "nobody", "placement": placement},
    }


def slm(control_plane: KubeAccess, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "smallmodel_operator.cli", *words],
        env={"KUBECONFIG": str(control_plane.kubeconfig), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_snapshot_of_a_real_api_server_is_read_and_replayed(
    control_plane: KubeAccess, namespace: str, tmp_path: Path
) -> None:
    edge = f"edge-{uuid4().hex[:8]}"
    far = [{"to": "munich", "time": "9ms"}]
    cluster = {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "ModelCluster",
        "metadata": {"name": edge},
        "spec": {"connection": {"mode": "Pull"}, "network": {"roundTrips": far}},
    }
    model = model_in(namespace, clients=["munich"], maxRoundTrip="20ms")
    given = [operator_in(namespace), cluster, model]
    control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(given))
    path = tmp_path / "snapshot.json"
    try:
        taken = slm(control_plane, "snapshot")
    finally:
        control_plane.try_kubectl("delete", "modelcluster", edge)
        control_plane.try_kubectl("delete", "-n", namespace, "deployment", "smallmodel-operator")

    assert taken.returncode == 0, taken.stderr
    assert f"Nothing was seen of {edge}: its agent has told nothing" in taken.stderr
    path.write_text(taken.stdout)
    file = read_snapshot(path)
    mine = next(one for one in file.models if one.metadata.namespace == namespace)
    assert (mine.spec.placement.clients, mine.spec.placement.max_round_trip) == (
        ("munich",),
        "20ms",
    )
    assert file.not_reproduced() == ()
    asked = slm(control_plane, "whatif", "--snapshot", str(path), "--lost", edge)
    assert asked.returncode == 0, asked.stderr
    assert "Of 0 running models 0 would move" in asked.stdout
