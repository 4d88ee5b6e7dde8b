"""Talking to any Kubernetes, ours or somebody's, through kubectl."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cluster.commands import attempt, run


class KubeAccess:
    """A kubeconfig and what tests do with it.

    Attributes:
        kubeconfig: the file.
        native: whether the cluster is one of ours, whose programs can be stopped.
    """

    native = False

    def __init__(self, kubeconfig: Path, path: str = "") -> None:
        """Args:
        kubeconfig: the file.
        path: folders that have kubectl, before those of PATH.
        """
        self.kubeconfig = kubeconfig
        self._environment = {
            "KUBECONFIG": str(kubeconfig),
            "PATH": ":".join(filter(None, [path, os.environ.get("PATH", "")])),
        }

    def kubectl(self, *words: str, stdin: str | None = None, within: float = 60) -> str:
        """Return what kubectl printed; ClusterProblem when it fails or takes too long."""
        return run("kubectl", *words, stdin=stdin, environment=self._environment, within=within)

    def try_kubectl(
        self, *words: str, stdin: str | None = None, within: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl where it is expected to fail, or may."""
        return attempt("kubectl", *words, stdin=stdin, environment=self._environment, within=within)

    def apply(self, manifest: str, *words: str) -> str:
        """Apply a manifest's text by server-side apply."""
        return self.kubectl("apply", "--server-side", *words, "-f", "-", stdin=manifest)

    def get(self, *words: str) -> dict[str, Any]:
        """Return an object or a list, as `kubectl get … -o json` has it."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found
