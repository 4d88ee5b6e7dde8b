"""The rules of the `restricted` Pod Security Standard, as a pure function over a pod's spec.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SECCOMP: Final = ("RuntimeDefault", "Localhost")


def violations(pod: dict[str, Any]) -> list[str]:
    """Return every rule that the pod breaks, and where."""
    return [*_pod(pod), *(text for each in _containers(pod) for text in _container(each, pod))]


def _pod(pod: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    for volume in pod.get("volumes", []):
        kinds = volume.keys() - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume['name']} is of {sorted(kinds)}"
    yield from _user(pod.get("securityContext", {}), "the pod")


def _containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, [])


def _container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    name = f"container {container['name']}"
    own = container.get("securityContext", {})
    whole = pod.get("securityContext", {}) | own
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield f"{name}: privileged"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"]:
        yield f"{name}: not all capabilities are dropped"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities are added"
    if whole.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot is not true"
    if whole.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield f"{name}: no seccomp profile"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: a host port"
    yield from _user(own, name)


def _user(context: dict[str, Any], where: str) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{where}: runs as root"
