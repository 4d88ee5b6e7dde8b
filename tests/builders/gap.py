"""A hub, a cluster that no line reaches, and a stick that is carried between them."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.bundles import decided, manifest_of
from builders.cluster_objects import put_deployment
from builders.fake_cluster import SYSTEM, FakeCluster
from builders.linked_clusters import cluster_path
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.cli.errors import ExitCode
from support.command_line import Outcome, Slm

JOIN = ("cluster", "join", "edge", "--mode", "bundle")
KEYS = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-bundle-edge"
SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-bundle"
STATE = f"/api/v1/namespaces/{SYSTEM}/configmaps/smallmodel-bundle"
DECIDED = "/apis/smallmodel.dev/v1alpha1/namespaces/slm-cluster-edge/modelplacements"
MIRRORS = f"/apis/smallmodel.dev/v1alpha1/namespaces/{SYSTEM}/modelplacements"
LABELS = {"app.kubernetes.io/component": "operator", "app.kubernetes.io/part-of": "smallmodel"}
NAME = decided().metadata.name


@dataclass
class Gap:
    """A hub, a cluster that no line reaches, and a stick that is carried between them."""

    slm: Slm
    hub: FakeCluster
    edge: FakeCluster
    folder: Path

    @property
    def there(self) -> tuple[str, str]:
        """The options with which a command speaks to the cluster."""
        return "--kubeconfig", str(self.folder / "edge" / "kubeconfig")

    def carry(self, name: str, text: str) -> Path:
        """Return a file with that text."""
        path = self.folder / name
        path.write_bytes(text.encode())
        return path

    def exported(self) -> str:
        """Return the hub's file."""
        done = self.slm("bundle", "export", "edge")
        assert done.code == ExitCode.OK, done.err
        return done.out

    def told(self) -> str:
        """Return the cluster's file."""
        done = self.slm("bundle", "export", "--status", *self.there)
        assert done.code == ExitCode.OK, done.err
        return done.out

    def take(self, text: str, *words: str) -> Outcome:
        """Import a file in the cluster."""
        return self.slm("bundle", "import", str(self.carry("hub.slm", text)), *words, *self.there)

    def hear(self, text: str) -> Outcome:
        """Import a file on the hub."""
        return self.slm("bundle", "import", str(self.carry("edge.slm", text)))

    def decide(self, placement: ModelPlacement) -> None:
        """Have the hub have decided that."""
        self.hub.put(f"{DECIDED}/{placement.metadata.name}", manifest_of(placement))

    def mirror(self, name: str = NAME) -> dict[str, Any] | None:
        """Return what the cluster is to serve."""
        return self.edge.kube.objects.get(f"{MIRRORS}/{name}")

    def status(self) -> dict[str, Any]:
        """Return the hub's ModelCluster's."""
        status: dict[str, Any] = self.hub.kube.objects[cluster_path("edge")]["status"]
        return status


def key_in(secret: dict[str, Any], name: str) -> str:
    """Return what a Secret has."""
    return base64.b64decode(secret["data"][name]).decode()


def agent(edge: FakeCluster, **environment: str) -> None:
    """Have the agent be installed."""
    variables = {"SMALLMODEL_SERVING_CPU_IMAGE": "registry/serving-cpu:1"} | environment
    put_deployment(edge, "smallmodel-operator", SYSTEM, LABELS, environment=variables)
