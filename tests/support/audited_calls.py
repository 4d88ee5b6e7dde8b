"""What the API server's audit log says of the chart's accounts, compared with the chart's roles."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from support.chart_roles import Grant, Permission

_ACCOUNT: Final = "system:serviceaccount:"
_CREATED: Final = 201
_FORBIDDEN: Final = 403
# What RBAC says. A namespace that ends, and an admission policy, say `forbidden` too.
_RBAC: Final = re.compile(r'(^|is )forbidden: User "\S+" cannot ')


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedCall:
    """One call, or many that differ in nothing of this."""

    account: str
    """The service account's namespace and name, with a slash between them."""
    permission: Permission
    """What a role must allow for it. A call that is of no object has the path as its resource."""
    namespace: str | None
    """Where it was made; None: everywhere, or of what has no namespace."""
    name: str | None
    refused: str = ""
    """What RBAC said against it."""

    def __str__(self) -> str:
        group, resource, verb = self.permission
        kind = f"{resource}.{group}" if group else resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.account}: {verb} {kind}{where}{f' ({self.refused})' if self.refused else ''}"


def calls_of(lines: Iterable[str]) -> frozenset[AuditedCall]:
    """Return the calls that service accounts made, from lines of an audit log."""
    return frozenset(call for line in lines for call in _read(json.loads(line)))


def _read(event: dict[str, Any]) -> Iterator[AuditedCall]:
    user: str = event["user"]["username"]
    if not user.startswith(_ACCOUNT):
        return
    ref: dict[str, str] = event.get("objectRef") or {}
    kind = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
    told = event.get("responseStatus") or {}
    code, message = told.get("code", 0), told.get("message", "")
    refused = code == _FORBIDDEN and _RBAC.search(message)

    def call(verb: str) -> AuditedCall:
        return AuditedCall(
            account=user.removeprefix(_ACCOUNT).replace(":", "/"),
            permission=Permission(ref.get("apiGroup", ""), kind or _path(event), verb),
            namespace=ref.get("namespace") if kind != "namespaces" else None,
            name=ref.get("name"),
            refused=message if refused else "",
        )

    yield call(event["verb"])
    if event["verb"] == "patch" and code == _CREATED:
        # An apply of what was not there: RBAC is asked for both, and the log tells of one.
        yield call("create")


def _path(event: dict[str, Any]) -> str:
    path: str = event["requestURI"]
    return path.partition("?")[0]


def refused(calls: Iterable[AuditedCall]) -> list[str]:
    """Return in words the calls that no role allowed: what a role lacks."""
    return sorted(str(call) for call in calls if call.refused)


def ungranted(grants: Iterable[Grant], calls: Iterable[AuditedCall]) -> list[str]:
    """Return in words the calls of objects that these grants do not cover, though they passed.

    None is there unless a role of somebody else's, or no role at all, let them pass.
    """
    given = tuple(grants)
    return sorted(
        str(call)
        for call in calls
        if not call.refused
        and not call.permission.resource.startswith("/")
        and not any(covers(grant, call) for grant in given)
    )


def unused(grants: Iterable[Grant], calls: Iterable[AuditedCall]) -> set[Grant]:
    """Return the grants that no call needed."""
    made = tuple(calls)
    return {grant for grant in grants if not any(covers(grant, call) for call in made)}


def covers(grant: Grant, call: AuditedCall) -> bool:
    """Tell whether a grant is what allowed a call, or would have."""
    return (
        grant.permission == call.permission
        and grant.namespace in {None, call.namespace}
        and (not grant.names or call.name in grant.names)
    )
