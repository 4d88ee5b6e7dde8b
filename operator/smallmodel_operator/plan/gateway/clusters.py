"""The gateway's upstreams."""

from collections.abc import Iterable
from typing import Final

from smallmodel_operator.plan.gateway.document import Message, duration, typed
from smallmodel_operator.plan.gateway.values import Endpoint, GatewaySettings

SERVE_CLUSTER: Final = "serve"
METRICS_CLUSTER: Final = "metrics"

CONNECTIONS: Final = 4096
"""HAProxy's own limit in Ray (`RAY_SERVE_HAPROXY_MAXCONN`): beyond it a request would hang there,
and here it gets 503 at once."""

_CONNECT_TIMEOUT: Final = 2.0


def build_clusters(settings: GatewaySettings) -> list[Message]:
    """Return Serve's HAProxy frontend, and Ray's exporter where there is one."""
    clusters = [upstream_cluster(SERVE_CLUSTER, settings.serve)]
    if settings.metrics:
        clusters.append(upstream_cluster(METRICS_CLUSTER, settings.metrics))
    return clusters


def upstream_cluster(name: str, upstream: Endpoint) -> Message:
    """Return a cluster that is given each request on a connection of its own.

    HAProxy reloads when a model or a replica comes or goes, and with Ray's settings the process
    from before answers one more request on each idle connection, by its old routes: a model added
    since was 404 there (seen). A new connection on loopback costs about 0.2 ms (measured).
    """
    address: Message = {
        "socket_address": {"address": upstream.address, "port_value": upstream.port}
    }
    return typed(
        "envoy.config.cluster.v3.Cluster",
        {
            "name": name,
            "type": "STRICT_DNS",
            "connect_timeout": duration(_CONNECT_TIMEOUT),
            "circuit_breakers": {"thresholds": [_limits()]},
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    {
                        "common_http_protocol_options": {"max_requests_per_connection": 1},
                        "explicit_http_config": {"http_protocol_options": {}},
                    },
                )
            },
        },
    )


def pool_name(upstream: Endpoint) -> str:
    """Return the name of a pool's cluster. A dot in it would end the name in a metric's label."""
    return f"{upstream.address.replace('.', '_')}:{upstream.port}"


def build_pool_clusters(upstreams: Iterable[Endpoint]) -> list[Message]:
    """Return one cluster for each pool, sorted by name."""
    pools = {pool_name(upstream): upstream for upstream in upstreams}
    return [_pool_cluster(name, pools[name]) for name in sorted(pools)]


def _pool_cluster(name: str, upstream: Endpoint) -> Message:
    return upstream_cluster(name, upstream) | {
        "circuit_breakers": {"thresholds": [limits_with_retries()]},
        # Most clusters have IPv4 alone, where asking for IPv6 first doubles every look-up.
        "dns_lookup_family": "V4_PREFERRED",
    }


def limits_with_retries() -> Message:
    """Return the limits of an upstream whose requests are held while it is away.

    With Envoy's own three retries at a time, all others would fail at once.
    """
    return _limits() | {"max_retries": CONNECTIONS}


def _limits() -> Message:
    return {
        "max_connections": CONNECTIONS,
        "max_pending_requests": CONNECTIONS,
        "max_requests": CONNECTIONS,
    }
