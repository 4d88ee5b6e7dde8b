"""What the chart's roles allow, as triples that can be compared with what the operator calls."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

Manifest = Mapping[str, Any]

_ROLES: Final = ("ClusterRole", "Role")


class Permission(NamedTuple):
    """One thing that a role allows."""

    group: str
    resource: str
    """A plural, with its subresource after a slash."""
    verb: str


def permissions_of(rules: Iterable[Manifest]) -> frozenset[Permission]:
    """Return what the rules of a role allow, whatever the names that they are bound to."""
    return frozenset(
        Permission(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


class Grant(NamedTuple):
    """A permission, and where it holds."""

    permission: Permission
    namespace: str | None
    """None: everywhere."""
    names: frozenset[str] = frozenset()
    """Of the objects to which it is limited; none: all."""

    def __str__(self) -> str:
        """Return it in words."""
        group, resource, verb = self.permission
        kind = f"{resource}.{group}" if group else resource
        return f"{verb} {kind}{f' in {self.namespace}' if self.namespace else ''}"


def granted_to(account: str, manifests: Iterable[Manifest]) -> frozenset[Permission]:
    """Return what a service account may do by all roles that are bound to it.

    Args:
        account: The service account's name.
        manifests: What the chart renders.
    """
    return frozenset(grant.permission for grant in grants_of(account, manifests))


def grants_of(account: str, manifests: Iterable[Manifest]) -> frozenset[Grant]:
    """Return the same with the namespace, and the names, for which each permission holds."""
    found = list(manifests)
    bound = {
        (binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for binding in found
        if binding["kind"] in ("ClusterRoleBinding", "RoleBinding")
        and any(subject["name"] == account for subject in binding["subjects"])
    }
    roles = (one for one in found if one["kind"] in _ROLES)
    return frozenset(
        Grant(
            permission, role["metadata"].get("namespace"), frozenset(rule.get("resourceNames", ()))
        )
        for role in roles
        if (role["kind"], role["metadata"]["name"]) in bound
        for rule in role["rules"]
        for permission in permissions_of([rule])
    )
