"""Envoy's start-up file: one static listener, whose routes and clusters come from files."""

from typing import Final

from smallmodel_operator.plan.gateway.document import Message, duration, typed
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
_FILTERS: Final = "envoy.extensions.filters"
_CLIENTS: Final = 8192
"""Connections of clients, idle ones included. More would end in a lack of file handles."""

_HEADERS_KIB: Final = 96
_HEADERS_TIMEOUT: Final = 30.0


def build_bootstrap(settings: GatewaySettings) -> Message:
    """Return Envoy's bootstrap, which depends on the settings and on no model."""
    return {
        "node": {"id": "gateway", "cluster": "smallmodel"},
        "admin": {"address": _socket(settings.admin)},
        "dynamic_resources": {"cds_config": _watched(settings, CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(settings)]},
        "overload_manager": {
            "resource_monitors": [
                _extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    {"max_active_downstream_connections": _CLIENTS},
                )
            ]
        },
    }


def _listener(settings: GatewaySettings) -> Message:
    return {
        "name": STAT_PREFIX,
        "address": _socket(settings.listen),
        # With it, a second Envoy would share the port in silence.
        "enable_reuse_port": False,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(settings),
                    }
                ]
            }
        ],
    }


def _connection_manager(settings: GatewaySettings) -> Message:
    return typed(
        f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        {
            "stat_prefix": STAT_PREFIX,
            "server_name": "smallmodel",
            "rds": {
                "route_config_name": ROUTE_TABLE,
                "config_source": _watched(settings, ROUTES_FILE),
            },
            "http_filters": _filters(settings),
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


def _filters(settings: GatewaySettings) -> list[Message]:
    return [
        _extension(
            "envoy.filters.http.buffer",
            f"{_FILTERS}.http.buffer.v3.Buffer",
            {"max_request_bytes": settings.body_limit},
        ),
        _extension(
            JSON_FILTER,
            f"{_FILTERS}.http.json_to_metadata.v3.JsonToMetadata",
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
        _extension(
            "envoy.filters.http.lua",
            f"{_FILTERS}.http.lua.v3.Lua",
            {"default_source_code": {"inline_string": build_script(settings.body_limit)}},
        ),
        _extension(
            "envoy.filters.http.router",
            f"{_FILTERS}.http.router.v3.Router",
            {"suppress_envoy_headers": True},
        ),
    ]


def _extension(name: str, kind: str, config: Message) -> Message:
    return {"name": name, "typed_config": typed(kind, config)}


def _keep(key: str, value: str | None = None) -> Message:
    kept: Message = {"metadata_namespace": DYNAMIC_NAMESPACE, "key": key}
    return kept if value is None else kept | {"value": value}


def _watched(settings: GatewaySettings, file: str) -> Message:
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{settings.discovery_folder}/{file}",
            # Files are replaced by a rename, which only a watch of the folder sees.
            "watched_directory": {"path": settings.discovery_folder},
        },
    }


def _socket(endpoint: Endpoint) -> Message:
    return {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}
