"""What the `restricted` Pod Security Standard asks of every container and every pod.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from typing import Final

from smallmodel_operator.plan.pools.values import Manifest

USER: Final = 1000
"""The user of the serving images; files of the weights' volume belong to its group."""


def container_security() -> Manifest:
    """Return the securityContext of a container: no privileges, and a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_security() -> Manifest:
    """Return the securityContext of a pod, which also holds for containers added by others."""
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
