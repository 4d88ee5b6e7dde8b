"""Kubernetes objects for tests of the room that talks to API servers."""

from typing import Any

from smallmodel_operator.api.names import LABEL_HUB

HUB = "hub-1"


def config_map(
    name: str = "settings", *, owner: str | None = HUB, data: dict[str, str] | None = None
) -> dict[str, Any]:
    """A ConfigMap, ours unless it is said whose."""
    labels = {LABEL_HUB: owner} if owner else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "team", "labels": labels},
        "data": data or {"key": "value"},
    }


CONFIG_MAP_PATH = "/api/v1/namespaces/team/configmaps/settings"


def secret(name: str = "token", value: str = "dG9wc2VjcmV0") -> dict[str, Any]:
    """A Secret of ours."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "team", "labels": {LABEL_HUB: HUB}},
        "data": {"token": value},
    }


def node(
    name: str = "node-1",
    *,
    allocatable: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    ready: str = "True",
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A Node with 4 cores and 8 GiB."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec or {},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", **(allocatable or {})},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def pod(
    name: str = "pod-1",
    *,
    on: str = "node-1",
    requests: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A running Pod with one container."""
    container = {"name": "main", "resources": {"requests": requests or {}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "team", "labels": labels or {}},
        "spec": {"nodeName": on, "containers": [container]},
    }
