"""Accounts of other clusters' programs: what they may do, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.plan.pools.values import Manifest

RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One rule, and why it is there."""

    why: str
    group: str = ""
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    """The only objects that it is for; none: all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A ServiceAccount, whose roles have its name too."""

    name: str
    namespace: str

    @property
    def token_secret(self) -> str:
        """The Secret in which the API server keeps the token, until somebody deletes it."""
        return f"{self.name}-token"

    def identity(self) -> tuple[Manifest, ...]:
        """Return the account and its token."""
        named = {"kubernetes.io/service-account.name": self.name}
        return (
            made("v1", "ServiceAccount", self.name, self.namespace),
            made("v1", "Secret", self.token_secret, self.namespace, annotations=named)
            | {"type": "kubernetes.io/service-account-token"},
        )

    def roles(
        self,
        everywhere: Sequence[Grant],
        own: Sequence[Grant],
        *,
        cluster_role: str | None = None,
    ) -> tuple[Manifest, ...]:
        """Return what the account may do.

        Args:
            everywhere: In the whole cluster.
            own: In its own namespace.
            cluster_role: The name of what has no namespace; None: the account's.
        """
        subjects = [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}]
        wide = cluster_role or self.name
        return (
            made(f"{RBAC}/v1", "ClusterRole", wide) | {"rules": _rules(everywhere)},
            made(f"{RBAC}/v1", "ClusterRoleBinding", wide)
            | {"roleRef": _role("ClusterRole", wide), "subjects": subjects},
            made(f"{RBAC}/v1", "Role", self.name, self.namespace) | {"rules": _rules(own)},
            made(f"{RBAC}/v1", "RoleBinding", self.name, self.namespace)
            | {"roleRef": _role("Role", self.name), "subjects": subjects},
        )


def made(
    api_version: str,
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Return an object that says whose it is."""
    metadata: Manifest = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    metadata["labels"] = {
        LABEL_MANAGED_BY: MANAGER,
        "app.kubernetes.io/part-of": "smallmodel",
        **(labels or {}),
    }
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _role(kind: str, name: str) -> Manifest:
    return {"apiGroup": RBAC, "kind": kind, "name": name}


def _rules(grants: Sequence[Grant]) -> list[Manifest]:
    return [
        {
            "apiGroups": [grant.group],
            "resources": list(grant.resources),
            "verbs": list(grant.verbs),
        }
        | ({"resourceNames": list(grant.names)} if grant.names else {})
        for grant in grants
    ]
