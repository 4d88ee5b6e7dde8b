"""How one gateway asks another: mutual TLS, one hop, and never a second one.

What asks and what answers has to agree: both are here, and the bootstrap has the listener.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.plan.gateway.cluster_values import Peer
from smallmodel_operator.plan.gateway.clusters import limits_with_retries
from smallmodel_operator.plan.gateway.document import Message, duration, typed, watched
from smallmodel_operator.plan.gateway.replies import NOT_HERE_HEADER

PEERS_HOST: Final = "gateways.smallmodel.dev"
"""The host of requests from gateway to gateway: no client's routes are under it."""

HOP_HEADER: Final = "x-smallmodel-cluster"
"""On a request that is led to another gateway: the clusters where it may go."""

IDENTITY: Final = "identity"
AUTHORITY: Final = "authority"
"""Names of Envoy's secrets, and of their files: what it shows, and whom it believes."""

_CONNECT_TIMEOUT: Final = 3.0
"""TCP and TLS take two round trips; after a second TCP tries again."""

_HOP_RETRIES: Final = 6
"""With the pauses between them they take about 4 s where connections are refused, and so outlast
the moment in which one gateway has heard of a copy and the other has not."""

_PING_INTERVAL: Final = 15.0
_PING_TIMEOUT: Final = 10.0
"""A line that is cut is found out by this, where nothing else would before `requestTimeout`."""

_CONNECTION_LIFE: Final = 3600.0
"""So that a certificate which ended is not believed for much longer. Streams are not cut."""

_EJECTED: Final = 10.0
"""Seconds for which a gateway that could not be reached three times is asked last."""

_CONTEXT: Final = "envoy.extensions.transport_sockets.tls.v3"
_SOCKET: Final = "envoy.transport_sockets.tls"
_MATCH: Final = "envoy.transport_socket_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Where a request goes that another cluster's gateway is to answer."""

    clusters: tuple[str, ...]
    namespace: str

    @property
    def name(self) -> str:
        """The name of Envoy's cluster."""
        return peers_name(self.clusters)


def peers_name(clusters: Iterable[str]) -> str:
    """Return the name of the Envoy cluster of these ModelClusters' gateways."""
    return f"gateways:{'+'.join(clusters)}"


def build_peer_clusters(groups: Iterable[Sequence[Peer]], certificates: str) -> list[Message]:
    """Return an Envoy cluster for each group of gateways that one model has, sorted by name.

    Args:
        groups: Each sorted.
        certificates: The folder with Envoy's secrets.
    """
    named = {peers_name(peer.cluster for peer in group): group for group in groups}
    return [_peer_cluster(name, named[name], certificates) for name in sorted(named)]


def _peer_cluster(name: str, peers: Sequence[Peer], certificates: str) -> Message:
    cluster: Message = {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # The nearer and the less busy copy gets more.
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": duration(_CONNECT_TIMEOUT),
        "circuit_breakers": {"thresholds": [limits_with_retries()]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(peer) for peer in peers]}],
        },
        # Each gateway has to show its own name, and not that of any other of the group.
        "transport_socket_matches": [
            {
                "name": peer.cluster,
                "match": {"cluster": peer.cluster},
                "transport_socket": _client_side(peer.identity, certificates),
            }
            for peer in peers
        ],
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                {
                    "common_http_protocol_options": {
                        "max_connection_duration": duration(_CONNECTION_LIFE)
                    },
                    "explicit_http_config": {
                        "http2_protocol_options": {
                            "connection_keepalive": {
                                "interval": duration(_PING_INTERVAL),
                                "timeout": duration(_PING_TIMEOUT),
                            }
                        }
                    },
                },
            )
        },
    }
    if len(peers) > 1:
        cluster["outlier_detection"] = _outliers()
    return typed("envoy.config.cluster.v3.Cluster", cluster)


def _endpoint(peer: Peer) -> Message:
    address: Message = {"address": peer.address.address, "port_value": peer.address.port}
    return {
        "endpoint": {"address": {"socket_address": address}, "hostname": peer.identity},
        "metadata": {"filter_metadata": {_MATCH: {"cluster": peer.cluster}}},
    }


def _outliers() -> Message:
    """Return who is asked last: not whose models fail, but who cannot be reached."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "base_ejection_time": duration(_EJECTED),
        "max_ejection_percent": 100,
    }


def hop_route(hop: Hop, model: str) -> Message:
    """Return how a request is led to another gateway: by the model's path there."""
    return {
        "cluster": hop.name,
        "host_rewrite_literal": PEERS_HOST,
        "prefix_rewrite": f"/{hop.namespace}/{model}/v1/",
        "retry_policy": {
            # None of these reached a model.
            "retry_on": "connect-failure,refused-stream,retriable-headers",
            "retriable_headers": [{"name": NOT_HERE_HEADER, "present_match": True}],
            "num_retries": _HOP_RETRIES,
            "retry_back_off": {"base_interval": "0.25s", "max_interval": "2s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": typed(
                        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", {}
                    ),
                }
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }


def server_side(certificates: str) -> Message:
    """Return the TLS of the listener for other gateways: who has no certificate is not let in."""
    context: Message = {
        "require_client_certificate": True,
        "common_tls_context": _common(certificates)
        | {"validation_context_sds_secret_config": _secret(AUTHORITY, certificates)},
    }
    return {
        "name": _SOCKET,
        "typed_config": typed(f"{_CONTEXT}.DownstreamTlsContext", context),
    }


def _client_side(identity: str, certificates: str) -> Message:
    named: Message = {"san_type": "DNS", "matcher": {"exact": identity}}
    context: Message = {
        "sni": identity,
        "common_tls_context": _common(certificates)
        | {
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [named]},
                "validation_context_sds_secret_config": _secret(AUTHORITY, certificates),
            }
        },
    }
    return {
        "name": _SOCKET,
        "typed_config": typed(f"{_CONTEXT}.UpstreamTlsContext", context),
    }


def _common(certificates: str) -> Message:
    return {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            # Envoy's own highest version of a client is the one before.
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [_secret(IDENTITY, certificates)],
    }


def _secret(name: str, folder: str) -> Message:
    return {"name": name, "sds_config": watched(folder, f"{name}.json")}
