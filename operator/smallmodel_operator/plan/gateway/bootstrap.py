"""Envoy's start-up file: one static listener, whose routes and clusters come from files."""

from typing import Final

from smallmodel_operator.plan.gateway.document import Message, duration, typed, watched
from smallmodel_operator.plan.gateway.replies import DYNAMIC_NAMESPACE
from smallmodel_operator.plan.gateway.routes import JSON_FILTER, ROUTE_TABLE
from smallmodel_operator.plan.gateway.script import build_script
from smallmodel_operator.plan.gateway.values import (
    CLUSTERS_FILE,
    ROUTES_FILE,
    Endpoint,
    GatewaySettings,
)

STAT_PREFIX: Final = "gateway"
FILTERS: Final = "envoy.extensions.filters"
CONNECTION_MANAGER: Final = f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
_CLIENTS: Final = 8192
"""Connections of clients, idle ones included. More would end in a lack of file handles."""

_HEADERS_KIB: Final = 96
_HEADERS_TIMEOUT: Final = 30.0


def build_bootstrap(settings: GatewaySettings) -> Message:
    """Return Envoy's bootstrap, which depends on the settings and on no model."""
    manager = connection_manager(
        settings.discovery_folder, ROUTES_FILE, http_filters(settings.body_limit)
    )
    return {
        "node": {"id": "gateway", "cluster": "smallmodel"},
        "admin": {"address": socket(settings.admin)},
        "dynamic_resources": {"cds_config": watched(settings.discovery_folder, CLUSTERS_FILE)},
        "static_resources": {"listeners": [listener(STAT_PREFIX, settings.listen, manager)]},
        "overload_manager": overload_manager(),
    }


def overload_manager() -> Message:
    """Return the limit on connections of clients."""
    return {
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3"
                ".DownstreamConnectionsConfig",
                {"max_active_downstream_connections": _CLIENTS},
            )
        ]
    }


def listener(
    name: str, address: Endpoint, manager: Message, transport: Message | None = None
) -> Message:
    """Return a listener of HTTP.

    Args:
        name: For Envoy's log.
        address: Where it listens.
        manager: How HTTP is read.
        transport: What is below HTTP; None: nothing but TCP.
    """
    chain: Message = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    if transport is not None:
        chain["transport_socket"] = transport
    return {
        "name": name,
        "address": socket(address),
        # With it, a second Envoy would share the port in silence.
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }


def connection_manager(folder: str, routes_file: str, filters: list[Message]) -> Message:
    """Return how HTTP is read, and that its routes come from that file."""
    return typed(
        CONNECTION_MANAGER,
        {
            "stat_prefix": STAT_PREFIX,
            "server_name": "smallmodel",
            "rds": {
                "route_config_name": ROUTE_TABLE,
                "config_source": watched(folder, routes_file),
            },
            "http_filters": filters,
            "max_request_headers_kb": _HEADERS_KIB,
            # A path is judged as the upstream will read it: `/v1/../-/routes` leads nowhere.
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            # Together with no `internal_address_config`: every client is a stranger, and none can
            # steer Envoy by `x-envoy-` headers.
            "use_remote_address": True,
            "request_headers_timeout": duration(_HEADERS_TIMEOUT),
        },
    )


def http_filters(body_limit: int) -> list[Message]:
    """Return what each request passes: its size, its model's name, errors' form, its route."""
    return [
        extension(
            "envoy.filters.http.buffer",
            f"{FILTERS}.http.buffer.v3.Buffer",
            {"max_request_bytes": body_limit},
        ),
        extension(
            JSON_FILTER,
            f"{FILTERS}.http.json_to_metadata.v3.JsonToMetadata",
            {
                "request_rules": {
                    # `curl -d` says that JSON is a form, and others add a charset.
                    "allow_content_types_regex": {"regex": ".*"},
                    "allow_empty_content_type": True,
                    "rules": [
                        {
                            "selectors": [{"key": "model"}],
                            "on_present": _keep("model"),
                            "on_missing": _keep("problem", "missing"),
                            "on_error": _keep("problem", "invalid"),
                        }
                    ],
                }
            },
        ),
        extension(
            "envoy.filters.http.lua",
            f"{FILTERS}.http.lua.v3.Lua",
            {"default_source_code": {"inline_string": build_script(body_limit)}},
        ),
        router(),
    ]


def router() -> Message:
    """Return the filter that ends each chain."""
    return extension(
        "envoy.filters.http.router",
        f"{FILTERS}.http.router.v3.Router",
        {"suppress_envoy_headers": True},
    )


def extension(name: str, kind: str, config: Message) -> Message:
    """Return an extension of Envoy with its configuration."""
    return {"name": name, "typed_config": typed(kind, config)}


def socket(endpoint: Endpoint) -> Message:
    """Return the address as Envoy writes it."""
    return {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}


def _keep(key: str, value: str | None = None) -> Message:
    kept: Message = {"metadata_namespace": DYNAMIC_NAMESPACE, "key": key}
    return kept if value is None else kept | {"value": value}
