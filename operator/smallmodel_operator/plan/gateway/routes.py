"""The route table: a pure function of the models that are served.

The order of the routes is their priority: what the gateway answers itself, then each model by its
path, then each model by the name in the body, then the refusals. `base` is what comes before all
of their paths: nothing on one machine, `/<namespace>` in a cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.plan.gateway import replies
from smallmodel_operator.plan.gateway.clusters import METRICS_CLUSTER, SERVE_CLUSTER
from smallmodel_operator.plan.gateway.document import Message, Written, duration, typed
from smallmodel_operator.plan.gateway.peers import HOP_HEADER, Hop, hop_route
from smallmodel_operator.plan.gateway.values import GatewayModel
from smallmodel_operator.plan.timeouts import gateway_idle_timeout

ROUTE_TABLE: Final = "models"

JSON_FILTER: Final = "envoy.filters.http.json_to_metadata"

_REPLY_LIMIT: Final = 2**22
"""Bytes of the largest own answer. Envoy's default of 4096 ends at a list of 40 models."""

_FIRST_RETRY: Final = 0.25
_LAST_RETRY: Final = 2.0
"""Seconds between two tries to connect, at most; Envoy waits for half of it on average."""

_NO_ROUTE_YET: Final[Message] = {"name": "content-type", "string_match": {"exact": "text/plain"}}
"""What only HAProxy says, on the 404 of a head that was not told its models yet: a model answers in
JSON or with events. https://github.com/ray-project/ray: serve/_private/haproxy_templates.py."""

_TIMEOUT_HEADER: Final = "x-request-timeout-seconds"
_TRUSTED_BY_SERVE: Final = ("serve_multiplexed_model_id", "x-request-disconnect-disabled")
"""Headers that Serve obeys: with the second one a client's leaving would not be noticed."""


Route = Message | Written
"""One route, or some that are written already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the requests to a model go."""

    cluster: str = ""
    """Envoy's name of the pool that answers."""
    hop: Hop | None = None
    """The gateways of other clusters that are asked instead."""
    connect_retries: int = 0
    """How often a request is tried again that reached no model: its connection was refused, or
    Ray's HAProxy had no route for it yet. What a model got is never sent again."""


_SERVE: Final = Target(cluster=SERVE_CLUSTER)


def build_routes(models: Sequence[GatewayModel], *, with_metrics: bool) -> Message:
    """Return the route configuration of these models, which are sorted by name."""
    routes: list[Route] = [exact("/", replies.welcome(models)), *own_answers(models)]
    if with_metrics:
        routes.append(exact("/metrics", {"route": {"cluster": METRICS_CLUSTER}}))
    for model in models:
        routes.extend(by_path(model, _SERVE))
    routes.extend(by_body(model, _SERVE) for model in models)
    routes.extend(refusals(models))
    return route_table({"name": "models", "domains": ["*"], "routes": routes})


def route_table(*virtual_hosts: Message) -> Message:
    """Return the one route configuration."""
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        {
            "name": ROUTE_TABLE,
            "max_direct_response_body_size_bytes": _REPLY_LIMIT,
            "request_headers_to_remove": list(_TRUSTED_BY_SERVE),
            "virtual_hosts": list(virtual_hosts),
        },
    )


def own_answers(
    models: Sequence[GatewayModel], base: str = "", of_each: Sequence[Route] | None = None
) -> list[Route]:
    """Return the routes that need no model.

    Args:
        models: Sorted by name.
        base: What comes before all paths.
        of_each: What `own_answer` gives of each model, where that is written already.
    """
    return [
        exact(f"{base}/health", replies.healthy()),
        exact(f"{base}/v1/health", replies.healthy()),
        exact(f"{base}/v1/models", replies.model_list(models)),
        *([own_answer(model, base) for model in models] if of_each is None else of_each),
        prefix(f"{base}/v1/models/", replies.unknown_model_id(models, base)),
    ]


def own_answer(model: GatewayModel, base: str = "") -> Message:
    """Return the route of `/v1/models/<model>`."""
    return exact(f"{base}/v1/models/{model.name}", replies.one_model(model.name))


def by_path(model: GatewayModel, target: Target, base: str = "") -> list[Message]:
    """Return the routes of `/<model>/v1`, for who wants no choice by body."""
    health = (
        replies.unavailable(model.name, model.unavailable)
        if model.unavailable
        else replies.healthy()
    )
    path = f"{base}/{model.name}"
    # Below a base, what Serve knows has to be put in its place.
    rewrite = f"/{model.name}/v1/" if base else None
    return [
        exact(f"{path}/health", health),
        exact(f"{path}/v1/health", health),
        exact(f"{path}/v1/models", replies.model_list([model])),
        exact(f"{path}/v1/models/{model.name}", replies.one_model(model.name)),
        prefix(f"{path}/v1/models/", replies.unknown_model_id([model], base)),
        to_path(model, target, path, rewrite),
    ]


def to_path(model: GatewayModel, target: Target, path: str, rewrite: str | None) -> Message:
    """Return the route of requests whose path names the model."""
    to_model = prefix(f"{path}/v1/", _to_model(model, target, rewrite))
    # The path says it all: this spares parsing the body.
    to_model["typed_per_filter_config"] = {
        JSON_FILTER: typed("envoy.config.route.v3.FilterConfig", {"disabled": True})
    }
    return to_model


def by_body(model: GatewayModel, target: Target, base: str = "") -> Message:
    """Return the route of requests whose body names the model."""
    return prefix(
        f"{base}/v1/",
        _to_model(model, target, f"/{model.name}/v1/"),
        dynamic_metadata=[_metadata("name", {"string_match": {"exact": model.name}})],
    )


def refusals(models: Sequence[GatewayModel], base: str = "") -> list[Message]:
    """Return what is answered where no model was found."""
    post: list[Message] = [{"name": ":method", "string_match": {"exact": "POST"}}]
    invalid = _metadata("problem", {"string_match": {"exact": "invalid"}})
    named = _metadata("name", {"present_match": True})
    unknown = replies.unknown_model(models, base)
    return [
        prefix(f"{base}/v1/", replies.invalid_json(), headers=post, dynamic_metadata=[invalid]),
        prefix(f"{base}/v1/", unknown, headers=post, dynamic_metadata=[named]),
        prefix(f"{base}/v1/", replies.missing_model(models, base), headers=post),
        prefix(f"{base}/", replies.unknown_path(base)),
    ]


def exact(path: str, action: Message) -> Message:
    """Return a route of one path."""
    return {"match": {"path": path}} | action


def prefix(
    path: str,
    action: Message,
    *,
    headers: list[Message] | None = None,
    dynamic_metadata: list[Message] | None = None,
) -> Message:
    """Return a route of all paths that begin so, where headers and metadata match too."""
    match: Message = {"prefix": path}
    if headers:
        match["headers"] = headers
    if dynamic_metadata:
        match["dynamic_metadata"] = dynamic_metadata
    return {"match": match} | action


def _to_model(model: GatewayModel, target: Target, rewrite: str | None) -> Message:
    if model.unavailable:
        return replies.unavailable(model.name, model.unavailable)
    if target.hop is not None:
        return _to_gateways(model, target.hop)
    route: Message = {"cluster": target.cluster} | _limits(model)
    if rewrite:
        route["prefix_rewrite"] = rewrite
    if target.connect_retries:
        route["retry_policy"] = {
            "retry_on": "connect-failure,retriable-headers",
            "retriable_headers": [_NO_ROUTE_YET],
            "num_retries": target.connect_retries,
            "retry_back_off": {
                "base_interval": duration(_FIRST_RETRY),
                "max_interval": duration(_LAST_RETRY),
            },
        }
    return {"route": route, "request_headers_to_add": [_timeout_header(model)]}


def _to_gateways(model: GatewayModel, hop: Hop) -> Message:
    clusters = replies.header(HOP_HEADER, ", ".join(hop.clusters))
    return {
        "route": hop_route(hop, model.name) | _limits(model),
        "request_headers_to_add": [_timeout_header(model), clusters],
        "response_headers_to_remove": [replies.NOT_HERE_HEADER],
    }


def _limits(model: GatewayModel) -> Message:
    return {
        # A stream may last as long as the model's own limit, which Serve enforces.
        "timeout": "0s",
        "idle_timeout": duration(gateway_idle_timeout(model.request_timeout_seconds)),
    }


def _timeout_header(model: GatewayModel) -> Message:
    seconds = duration(model.request_timeout_seconds).removesuffix("s")
    return replies.header(_TIMEOUT_HEADER, seconds)


def _metadata(key: str, value: Message) -> Message:
    return {"filter": replies.DYNAMIC_NAMESPACE, "path": [{"key": key}], "value": value}
