"""ClusterProfiles, and programs that give tokens for them."""

import json
from pathlib import Path
from typing import Any

from smallmodel_operator.api.credential_providers import CredentialProvider
from smallmodel_operator.clusters.ref import CLUSTERPROFILES, Manifest

CRD = (
    Path(__file__).parents[1]
    / "contract"
    / "recorded"
    / "cluster-inventory-0.1.2-clusterprofile.json"
)
"""As kubernetes-sigs/cluster-inventory-api has it."""
API = "client.authentication.k8s.io/v1"
SERVER = "https://edge.example.com:6443"


def provider(command: str | Path = "/plugins/gke", *, name: str = "gke", **config: Any) -> Any:
    """A provider as the administrator lists it."""
    return CredentialProvider.model_validate(
        {"name": name, "execConfig": {"apiVersion": API, "command": str(command), **config}}
    )


def access(name: str = "gke", /, **cluster: Any) -> dict[str, Any]:
    """What a profile says of one provider."""
    return {"name": name, "cluster": {"server": SERVER, **cluster}}


def profile(*providers: dict[str, Any], **status: Any) -> Manifest:
    """A ClusterProfile."""
    return {
        "apiVersion": CLUSTERPROFILES.api_version,
        "kind": CLUSTERPROFILES.kind,
        "metadata": {"name": "edge", "namespace": "fleet"},
        "spec": {"clusterManager": {"name": "fleet-manager"}},
        "status": {"accessProviders": list(providers), **status},
    }


def credential(**status: Any) -> dict[str, Any]:
    """An ExecCredential, with a token unless that is None."""
    told = {"token": "a-token", **status}
    known = {name: value for name, value in told.items() if value is not None}
    return {"apiVersion": API, "kind": "ExecCredential", "status": known}


def program(path: Path, body: str) -> Path:
    """Write a program of a few lines of shell."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def printing(path: Path, told: object) -> Path:
    """Write a program that prints a value as JSON."""
    return program(path, f"cat <<'END'\n{json.dumps(told)}\nEND")
