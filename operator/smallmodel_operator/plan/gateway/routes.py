"""The route table: a pure function of the models that are served.

The order of the routes is their priority: what the gateway answers itself, then each model by its
path, then each model by the name in the body, then the refusals.
"""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.plan.gateway import replies
from smallmodel_operator.plan.gateway.clusters import METRICS_CLUSTER, SERVE_CLUSTER
from smallmodel_operator.plan.gateway.document import Message, duration, typed
from smallmodel_operator.plan.gateway.values import GatewayModel
from smallmodel_operator.plan.timeouts import gateway_idle_timeout

ROUTE_TABLE: Final = "models"

JSON_FILTER: Final = "envoy.filters.http.json_to_metadata"

_REPLY_LIMIT: Final = 2**22
"""Bytes of the largest own answer. Envoy's default of 4096 ends at a list of 40 models."""

_TIMEOUT_HEADER: Final = "x-request-timeout-seconds"
_TRUSTED_BY_SERVE: Final = ("serve_multiplexed_model_id", "x-request-disconnect-disabled")
"""Headers that Serve obeys: with the second one a client's leaving would not be noticed."""


def build_routes(models: Sequence[GatewayModel], *, with_metrics: bool) -> Message:
    """Return the route configuration of these models, which are sorted by name."""
    routes: list[Message] = [
        _exact("/", replies.welcome(models)),
        _exact("/health", replies.healthy()),
        _exact("/v1/health", replies.healthy()),
        _exact("/v1/models", replies.model_list(models)),
        *(_exact(f"/v1/models/{model.name}", replies.one_model(model.name)) for model in models),
        _prefix("/v1/models/", replies.unknown_model_id(models)),
    ]
    if with_metrics:
        routes.append(_exact("/metrics", {"route": {"cluster": METRICS_CLUSTER}}))
    for model in models:
        routes.extend(_by_path(model))
    routes.extend(_by_body(model) for model in models)
    routes.extend(_refusals(models))
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        {
            "name": ROUTE_TABLE,
            "max_direct_response_body_size_bytes": _REPLY_LIMIT,
            "request_headers_to_remove": list(_TRUSTED_BY_SERVE),
            "virtual_hosts": [{"name": "models", "domains": ["*"], "routes": routes}],
        },
    )


def _by_path(model: GatewayModel) -> list[Message]:
    """Return the routes of `/<model>/v1`, for who wants no choice by body."""
    health = (
        replies.unavailable(model.name, model.unavailable)
        if model.unavailable
        else replies.healthy()
    )
    to_model = _prefix(f"/{model.name}/v1/", _to_model(model))
    # The path says it all: this spares parsing the body.
    to_model["typed_per_filter_config"] = {
        JSON_FILTER: typed("envoy.config.route.v3.FilterConfig", {"disabled": True})
    }
    return [
        _exact(f"/{model.name}/health", health),
        _exact(f"/{model.name}/v1/health", health),
        _exact(f"/{model.name}/v1/models", replies.model_list([model])),
        _exact(f"/{model.name}/v1/models/{model.name}", replies.one_model(model.name)),
        _prefix(f"/{model.name}/v1/models/", replies.unknown_model_id([model])),
        to_model,
    ]


def _by_body(model: GatewayModel) -> Message:
    return _prefix(
        "/v1/",
        _to_model(model, rewrite=f"/{model.name}/v1/"),
        dynamic_metadata=[_metadata("name", {"string_match": {"exact": model.name}})],
    )


def _to_model(model: GatewayModel, rewrite: str | None = None) -> Message:
    if model.unavailable:
        return replies.unavailable(model.name, model.unavailable)
    route: Message = {
        "cluster": SERVE_CLUSTER,
        # A stream may last as long as the model's own limit, which Serve enforces.
        "timeout": "0s",
        "idle_timeout": duration(gateway_idle_timeout(model.request_timeout_seconds)),
    }
    if rewrite:
        route["prefix_rewrite"] = rewrite
    seconds = duration(model.request_timeout_seconds).removesuffix("s")
    return {
        "route": route,
        "request_headers_to_add": [replies.header(_TIMEOUT_HEADER, seconds)],
    }


def _refusals(models: Sequence[GatewayModel]) -> list[Message]:
    post: list[Message] = [{"name": ":method", "string_match": {"exact": "POST"}}]
    invalid = _metadata("problem", {"string_match": {"exact": "invalid"}})
    named = _metadata("name", {"present_match": True})
    return [
        _prefix("/v1/", replies.invalid_json(), headers=post, dynamic_metadata=[invalid]),
        _prefix("/v1/", replies.unknown_model(models), headers=post, dynamic_metadata=[named]),
        _prefix("/v1/", replies.missing_model(models), headers=post),
        _prefix("/", replies.unknown_path()),
    ]


def _exact(path: str, action: Message) -> Message:
    return {"match": {"path": path}} | action


def _prefix(
    prefix: str,
    action: Message,
    *,
    headers: list[Message] | None = None,
    dynamic_metadata: list[Message] | None = None,
) -> Message:
    match: Message = {"prefix": prefix}
    if headers:
        match["headers"] = headers
    if dynamic_metadata:
        match["dynamic_metadata"] = dynamic_metadata
    return {"match": match} | action


def _metadata(key: str, value: Message) -> Message:
    return {"filter": replies.DYNAMIC_NAMESPACE, "path": [{"key": key}], "value": value}
