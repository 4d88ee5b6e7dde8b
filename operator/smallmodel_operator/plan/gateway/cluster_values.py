"""What the gateway of a serving cluster is built from."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final

from smallmodel_operator.plan.gateway.values import BODY_LIMIT, Endpoint, GatewayModel

EVERYONE: Final = ("0.0.0.0/0", "::/0")
"""Admits every client."""

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

CLUSTER_ROUTES_FILE: Final = "routes.json"
CLUSTER_CLUSTERS_FILE: Final = "clusters.json"
ROUTES_FOLDER: Final = "routes"
CLUSTERS_FOLDER: Final = "clusters"
"""Each has a folder of its own: Envoy reads a file again when anything in its folder changes."""

BOOTSTRAP_FILE: Final = "bootstrap.yaml"

CONNECT_RETRIES: Final = 75
"""About 75 s: a pool that lost its head is back in 40, and its requests are held, not failed. With
20 models the new head needs longer until it has the route of each."""

HTTP_PORT: Final = 8080
ADMIN_PORT: Final = 9901
METRICS_PORT: Final = 9902
PEERS_PORT: Final = 8443
"""Where gateways of other clusters come in."""
DISCOVERY_FOLDER: Final = "/config/discovery"
CERTIFICATES_FOLDER: Final = "/certificates"

_CLIENTS_COME_IN: Final = Endpoint(address="0.0.0.0", port=HTTP_PORT)  # noqa: S104 - a pod's own
_PEERS_COME_IN: Final = Endpoint(address="0.0.0.0", port=PEERS_PORT)  # noqa: S104 - a pod's own
_ADMIN: Final = Endpoint(address="127.0.0.1", port=ADMIN_PORT)
_METRICS: Final = Endpoint(address="0.0.0.0", port=METRICS_PORT)  # noqa: S104 - a pod's own


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Peer:
    """The gateway of another cluster."""

    cluster: str
    """The ModelCluster."""
    address: Endpoint
    identity: str
    """The name in its certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedModel:
    """A model of a namespace, and what answers for it: its pool, or else another cluster."""

    model: GatewayModel
    upstream: Endpoint | None = None
    """Serve's front of its pool, such as `chat-serve-svc.team-a.svc` and 8000."""
    elsewhere: tuple[Peer, ...] = ()
    """Gateways of other clusters where it is served, which are asked where there is no pool. A
    model that cannot be asked needs neither."""
    leaving: Endpoint | None = None
    """The pool of a copy in whose place another cluster answers: gateways that have not heard of
    that yet may ask it."""

    def __post_init__(self) -> None:
        if not (self.upstream or self.elsewhere or self.model.unavailable):
            raise ValueError(
                f"the model {self.model.name!r} has neither an upstream nor a reason why it "
                "cannot be asked; give one of them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceRoutes:
    """What one namespace's path leads to, and for whom."""

    name: str
    models: tuple[RoutedModel, ...]
    """In any order. Without any, the path says that there is none yet."""
    admitted: tuple[str, ...] = EVERYONE
    """Addresses or networks (`10.1.2.3`, `10.1.0.0/16`) whose requests are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGatewaySettings:
    """What stays while the gateway runs: a change of it needs another Envoy."""

    listen: Endpoint = _CLIENTS_COME_IN
    """Where clients come in. `::` takes IPv4 too, where the pods have IPv6."""
    admin: Endpoint = _ADMIN
    """Envoy's admin page can stop it, so it stays on the pod's loopback."""
    peers: Endpoint = _PEERS_COME_IN
    """Where gateways of other clusters come in, each with a certificate."""
    certificates_folder: str = CERTIFICATES_FOLDER
    """Where Envoy watches for what it shows to other gateways, and whom it believes."""
    metrics: Endpoint = _METRICS
    """Where Prometheus reads Envoy's metrics, and nothing else is shown."""
    discovery_folder: str = DISCOVERY_FOLDER
    body_limit: int = BODY_LIMIT
    """Bytes of the largest request body."""
    admit_loopback: bool = True
    """Whether every namespace admits the pod's own loopback, where `kubectl port-forward` ends."""
    connect_retries: int = CONNECT_RETRIES
    """How often a request is tried again that reached no model, at most 2 s apart."""


def networks(addresses: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the addresses as the fewest networks that cover them, sorted.

    Raises:
        ValueError: One is neither an address nor a network.
    """
    found = [_network(address) for address in addresses]
    return (
        *collapse_addresses(one for one in found if isinstance(one, IPv4Network)),
        *collapse_addresses(one for one in found if isinstance(one, IPv6Network)),
    )


def _network(address: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(address)
    except ValueError as error:
        raise ValueError(
            f"{address!r} is neither an address nor a network ({error}); write for example "
            "10.1.2.3 or 10.1.0.0/16"
        ) from error
