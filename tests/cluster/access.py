"""Talking to any Kubernetes, ours or somebody's, through kubectl."""

import json
import os
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from cluster.commands import attempt, run
from cluster.problems import ClusterProblem
from cluster.waiting import wait_until

_SERVED: Final = ("Established", "True")


class KubeAccess:
    """A kubeconfig and what tests do with it.

    Attributes:
        kubeconfig: the file.
        native: whether the cluster is one of ours, whose programs can be stopped.
    """

    native = False

    def __init__(
        self, kubeconfig: Path, path: str = "", host_address: IPv4Address | None = None
    ) -> None:
        """Talk to the cluster of a kubeconfig.

        Args:
            kubeconfig: the file.
            path: folders that have kubectl, before those of PATH.
            host_address: see the property.
        """
        self.kubeconfig = kubeconfig
        self._host_address = host_address
        self._environment = {
            "KUBECONFIG": str(kubeconfig),
            "PATH": ":".join(filter(None, [path, os.environ.get("PATH", "")])),
        }

    @property
    def host_address(self) -> IPv4Address:
        """This machine as pods see it: a server that listens there is reached by them."""
        if self._host_address is None:
            raise ClusterProblem(
                "nobody told how pods of this cluster reach this machine: give --host-address"
            )
        return self._host_address

    def kubectl(self, *words: str, stdin: str | None = None, within: float = 60) -> str:
        """Return what kubectl printed; ClusterProblem when it fails or takes too long."""
        return run("kubectl", *words, stdin=stdin, environment=self._environment, within=within)

    def try_kubectl(
        self, *words: str, stdin: str | None = None, within: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl where it is expected to fail, or may."""
        return attempt("kubectl", *words, stdin=stdin, environment=self._environment, within=within)

    def started(self, *words: str) -> subprocess.Popen[str]:
        """Start a kubectl that goes on, such as a port-forward; the caller ends it."""
        return subprocess.Popen(
            ["kubectl", *words],
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def apply(self, manifest: str, *words: str) -> str:
        """Apply a manifest's text by server-side apply."""
        return self.kubectl("apply", "--server-side", *words, "-f", "-", stdin=manifest)

    def wait_served(self, *definitions: str) -> None:
        """Return once these CustomResourceDefinitions are served; ClusterProblem after a minute.

        `kubectl wait` fails in the moment in which one has no conditions yet.
        """
        for name in definitions:

            def is_served(name: str = name) -> bool:
                told = self.get("crd", name).get("status", {}).get("conditions") or ()
                return any((one["type"], one["status"]) == _SERVED for one in told)

            wait_until(is_served, f"the definition {name} is served", within=60)

    def get(self, *words: str) -> dict[str, Any]:
        """Return an object or a list, as `kubectl get … -o json` has it."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found
