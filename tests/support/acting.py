"""Being a service account towards an API server."""

import json
from pathlib import Path

from cluster.access import KubeAccess


def acting_as(plane: KubeAccess, namespace: str, account: str, folder: Path) -> Path:
    """Write a kubeconfig with a new token of a service account, and return its path."""
    token = plane.kubectl("-n", namespace, "create", "token", account).strip()
    words = ("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
    config = json.loads(plane.kubectl(*words))
    config["users"][0]["user"] = {"token": token}
    path = folder / f"{account}.kubeconfig"
    path.write_text(json.dumps(config))
    return path
