"""The start-up file of a cluster's Envoy."""

from typing import Final

from smallmodel_operator.plan.gateway.admission import admission_filter, forbidden_reply
from smallmodel_operator.plan.gateway.bootstrap import (
    CONNECTION_MANAGER,
    STAT_PREFIX,
    connection_manager,
    extension,
    http_filters,
    listener,
    overload_manager,
    router,
    socket,
)
from smallmodel_operator.plan.gateway.cluster_values import (
    CLUSTER_CLUSTERS_FILE,
    CLUSTER_ROUTES_FILE,
    CLUSTERS_FOLDER,
    ROUTES_FOLDER,
    ClusterGatewaySettings,
)
from smallmodel_operator.plan.gateway.document import Message, duration, typed, watched
from smallmodel_operator.plan.gateway.peer_admission import (
    only_peers,
    stranger_reply,
    unreachable_reply,
)
from smallmodel_operator.plan.gateway.peers import server_side
from smallmodel_operator.plan.gateway.values import Endpoint

CONTRACT: Final = 2
"""Raised when routes need a bootstrap that an older operator did not write (or the reverse)."""

PEERS_STAT_PREFIX: Final = "gateways"

_DNS_SECONDS: Final = 1
_DNS_TRIES: Final = 2
"""Envoy listens once each pool was looked up, or could not be. With its own limits and a silent
name server that took more than a minute (seen), in which the pod's liveness probe would end it."""

_ADMIN_CLUSTER: Final = "admin"
_ADMIN_TIMEOUT: Final = 10.0

_STATS_KEPT: Final = (
    rf"http\.({STAT_PREFIX}|{PEERS_STAT_PREFIX})\.(downstream_(cx|rq)_active|downstream_rq_(completed|time|total|[1-5]xx))",
    rf"http\.({STAT_PREFIX}|{PEERS_STAT_PREFIX})\.(rbac|rds)\..*",
    r"cluster\.[^.]+\.(membership_healthy|upstream_cx_(active|connect_fail))",
    r"cluster\.[^.]+\.upstream_rq_([245]xx|active|pending_overflow|rx_reset)",
    r"(cluster_manager|server)\..*",
)
"""Expressions of the names of kept metrics: ten of each pool, where Envoy would keep a hundred,
histograms among them."""


def build_cluster_bootstrap(settings: ClusterGatewaySettings) -> Message:
    """Return Envoy's bootstrap, which depends on the settings and on no model."""
    folder = settings.discovery_folder
    filters = [admission_filter(), *http_filters(settings.body_limit)]
    manager = connection_manager(f"{folder}/{ROUTES_FOLDER}", CLUSTER_ROUTES_FILE, filters)
    manager["local_reply_config"] = {"mappers": [forbidden_reply(), unreachable_reply()]}
    clients = listener(STAT_PREFIX, settings.listen, manager)
    clients["address"] = _dual(settings.listen)
    tls = server_side(settings.certificates_folder)
    peers = listener(PEERS_STAT_PREFIX, settings.peers, _peers_manager(settings), tls)
    peers["address"] = _dual(settings.peers)
    metrics = listener("metrics", settings.metrics, _metrics_manager())
    metrics["address"] = _dual(settings.metrics)
    return {
        "node": {"id": "gateway", "cluster": "smallmodel", "metadata": {"contract": CONTRACT}},
        "admin": {"address": socket(settings.admin)},
        "dynamic_resources": {
            "cds_config": watched(f"{folder}/{CLUSTERS_FOLDER}", CLUSTER_CLUSTERS_FILE)
        },
        "static_resources": {
            "listeners": [clients, peers, metrics],
            "clusters": [_admin_cluster(settings.admin)],
        },
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _kept_stats()}}},
        "overload_manager": overload_manager(),
        "typed_dns_resolver_config": extension(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            {"query_timeout_seconds": _DNS_SECONDS, "query_tries": _DNS_TRIES},
        ),
    }


def _peers_manager(settings: ClusterGatewaySettings) -> Message:
    """Return how requests of other gateways are read: by the same routes, under their own host."""
    filters = [only_peers(), admission_filter(), *http_filters(settings.body_limit)]
    routes = f"{settings.discovery_folder}/{ROUTES_FOLDER}"
    manager = connection_manager(routes, CLUSTER_ROUTES_FILE, filters)
    manager["stat_prefix"] = PEERS_STAT_PREFIX
    manager["local_reply_config"] = {"mappers": [stranger_reply()]}
    return manager


def _dual(endpoint: Endpoint) -> Message:
    address: Message = {"address": endpoint.address, "port_value": endpoint.port}
    if endpoint.address == "::":
        address["ipv4_compat"] = True
    return {"socket_address": address}


def _kept_stats() -> list[Message]:
    return [{"safe_regex": {"regex": f"^{names}$"}} for names in _STATS_KEPT]


def _metrics_manager() -> Message:
    """Return a manager that shows one page of the admin's, which can do far more."""
    shown: Message = {
        "match": {
            "path": "/metrics",
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        "route": {
            "cluster": _ADMIN_CLUSTER,
            "timeout": duration(_ADMIN_TIMEOUT),
            "regex_rewrite": {
                "pattern": {"regex": "^.*$"},
                "substitution": "/stats/prometheus?usedonly",
            },
        },
    }
    return typed(
        CONNECTION_MANAGER,
        {
            "stat_prefix": "metrics",
            "route_config": {
                "name": "metrics",
                "virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [shown]}],
            },
            "http_filters": [router()],
        },
    )


def _admin_cluster(admin: Endpoint) -> Message:
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": _ADMIN_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(admin)}}]}],
        },
    }
