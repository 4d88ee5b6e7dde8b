"""Who may ask the models of a namespace: Envoy's RBAC filter, by the connection's own address."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from smallmodel_operator.plan.gateway.cluster_values import (
    EVERYONE,
    LOOPBACK,
    NamespaceRoutes,
    networks,
)
from smallmodel_operator.plan.gateway.document import Message, typed

RBAC_FILTER: Final = "envoy.filters.http.rbac"
FORBIDDEN_CODE: Final = "namespace_forbidden"

RBAC: Final = "envoy.extensions.filters.http.rbac.v3"
RBAC_RULES: Final = f"{RBAC}.RBACPerRoute"
"""Rules that belong to routes."""
_FORBIDDEN: Final = (
    "The client at %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% may not ask the models at "
    "%PATH(NQ:PATH):200%. A namespace's models answer its own pods and those that "
    "`gateway.allowFrom` names: add the client's namespace there."
)
_ALL: Final = networks(EVERYONE)


def admission_filter() -> Message:
    """Return the filter, which by itself refuses nobody: the rules come with the routes."""
    return {"name": RBAC_FILTER, "typed_config": typed(f"{RBAC}.RBAC", {})}


def admission_rules(namespaces: Sequence[NamespaceRoutes], *, admit_loopback: bool) -> Message:
    """Return the virtual host's rules for the filter; nothing where everyone is admitted.

    Rules refuse, and each holds for one namespace's path alone: a path that leads to no namespace
    is answered with 404 to everybody.
    """
    always = LOOPBACK if admit_loopback else ()
    policies: Message = {}
    for namespace in namespaces:
        admitted = networks((*namespace.admitted, *always))
        if admitted != _ALL:
            policies[namespace.name] = _refuse_others(namespace.name, admitted)
    if not policies:
        return {}
    rules = typed(RBAC_RULES, {"rbac": {"rules": _deny(policies)}})
    return {"typed_per_filter_config": {RBAC_FILTER: rules}}


def forbidden_reply() -> Message:
    """Return how Envoy words the only 403 that it makes itself."""
    return reworded(
        403, "smallmodel.forbidden_status", _FORBIDDEN, "permission_error", FORBIDDEN_CODE
    )


def reworded(status: int, key: str, message: str, kind: str, code: str) -> Message:
    """Return how an answer of Envoy's own with that status is worded."""
    value: Message = {"default_value": status, "runtime_key": key}
    error: Message = {"message": message, "type": kind, "param": None, "code": code}
    return {
        "filter": {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}},
        "body_format_override": {"json_format": {"error": error}},
    }


def _deny(policies: Message) -> Message:
    return {"action": "DENY", "policies": policies}


def _refuse_others(name: str, admitted: Sequence[IPv4Network | IPv6Network]) -> Message:
    below: Message = {"url_path": {"path": {"prefix": f"/{name}/"}}}
    return {"permissions": [below], "principals": [_everyone_but(admitted)]}


def _everyone_but(admitted: Sequence[IPv4Network | IPv6Network]) -> Message:
    if not admitted:
        return {"any": True}
    ids: list[Message] = [
        {
            "direct_remote_ip": {
                "address_prefix": str(network.network_address),
                "prefix_len": network.prefixlen,
            }
        }
        for network in admitted
    ]
    return {"not_id": {"or_ids": {"ids": ids}}}
