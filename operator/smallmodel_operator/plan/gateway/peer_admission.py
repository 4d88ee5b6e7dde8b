"""Who comes in from another gateway, and what is said where the way to one is barred."""

from typing import Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.admission import RBAC, reworded
from smallmodel_operator.plan.gateway.document import Message, typed
from smallmodel_operator.plan.gateway.peers import HOP_HEADER, PEERS_HOST

STRANGER_CODE: Final = "gateway_forbidden"

_ONLY_PEERS_FILTER: Final = "smallmodel.only_gateways"
_STRANGER: Final = (
    "The certificate at %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% is not that of a gateway "
    "which may ask here: %DOWNSTREAM_PEER_DNS_SAN%. Its cluster needs a ModelCluster on the hub, "
    "and this gateway a moment to learn of it."
)
_UNREACHABLE: Final = (
    f"The model is served by another cluster (%REQ({HOP_HEADER.upper()})%), whose gateway cannot "
    "be reached from this one (%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%). Ask again; "
    "if it stays so, look at `spec.gateway.address` of the ModelCluster, and at when the "
    "certificates of both gateways end."
)
_NOT_REACHED: Final = ("UF", "UH", "UC", "LR", "UR", "URX")
"""Envoy's words for: not connected, nobody to connect to, and connections that broke."""


def only_peers() -> Message:
    """Return a filter that lets nothing but the gateways' own host through."""
    host: Message = {"name": ":authority", "string_match": {"exact": PEERS_HOST}}
    policy: Message = {"permissions": [{"header": host}], "principals": [{"any": True}]}
    rules: Message = {"action": "ALLOW", "policies": {"gateways": policy}}
    return {"name": _ONLY_PEERS_FILTER, "typed_config": typed(f"{RBAC}.RBAC", {"rules": rules})}


def stranger_reply() -> Message:
    """Return how a gateway that may not ask is refused."""
    return reworded(403, "smallmodel.stranger_status", _STRANGER, "permission_error", STRANGER_CODE)


def unreachable_reply() -> Message:
    """Return how a client is told that another cluster's gateway does not answer."""
    reply = reworded(
        503,
        "smallmodel.unreachable_status",
        _UNREACHABLE,
        "server_error",
        str(Reason.GATEWAY_UNREACHABLE),
    )
    led: Message = {"header_filter": {"header": {"name": HOP_HEADER, "present_match": True}}}
    flags: Message = {"response_flag_filter": {"flags": list(_NOT_REACHED)}}
    return reply | {"filter": {"and_filter": {"filters": [reply["filter"], led, flags]}}}
