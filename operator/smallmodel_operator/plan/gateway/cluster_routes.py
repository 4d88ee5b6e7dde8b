"""The route table of a cluster: each namespace's models below its own path.

The path's first part chooses the namespace in one look-up; a request is compared with the routes
of that namespace alone, and so can end at no other's model.
"""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.plan.gateway import replies
from smallmodel_operator.plan.gateway.admission import admission_rules
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.clusters import pool_name
from smallmodel_operator.plan.gateway.document import Message, typed
from smallmodel_operator.plan.gateway.routes import (
    Target,
    by_body,
    by_path,
    exact,
    own_answers,
    prefix,
    refusals,
    route_table,
)

_NO_POOL: Final = ""


def build_cluster_routes(
    namespaces: Sequence[NamespaceRoutes], settings: ClusterGatewaySettings
) -> Message:
    """Return the route configuration of these namespaces, sorted as their models are."""
    virtual_host: Message = {
        "name": "namespaces",
        "domains": ["*"],
        "matcher": {
            "matcher_tree": {
                "input": _path_input(),
                "prefix_match_map": {"map": _trees(namespaces, settings)},
            }
        },
    }
    rules = admission_rules(namespaces, admit_loopback=settings.admit_loopback)
    return route_table(virtual_host | rules)


def _trees(namespaces: Sequence[NamespaceRoutes], settings: ClusterGatewaySettings) -> Message:
    trees: Message = {"/": _route_list(_outside())}
    for namespace in namespaces:
        trees[f"/{namespace.name}/"] = _route_list(_of_namespace(namespace, settings))
    return trees


def _of_namespace(namespace: NamespaceRoutes, settings: ClusterGatewaySettings) -> list[Message]:
    base = f"/{namespace.name}"
    models = [routed.model for routed in namespace.models]
    targets = [_target(routed, settings) for routed in namespace.models]
    routes = own_answers(models, base)
    for model, target in zip(models, targets, strict=True):
        routes.extend(by_path(model, target, base))
    routes.extend(
        by_body(model, target, base) for model, target in zip(models, targets, strict=True)
    )
    return [*routes, *refusals(models, base)]


def _outside() -> list[Message]:
    return [
        exact("/", replies.cluster_welcome()),
        exact("/health", replies.healthy()),
        prefix("/", replies.unknown_namespace()),
    ]


def _target(routed: RoutedModel, settings: ClusterGatewaySettings) -> Target:
    cluster = pool_name(routed.upstream) if routed.upstream else _NO_POOL
    return Target(cluster=cluster, connect_retries=settings.connect_retries)


def _path_input() -> Message:
    return {
        "name": "path",
        "typed_config": typed(
            "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", {"header_name": ":path"}
        ),
    }


def _route_list(routes: list[Message]) -> Message:
    routed = typed("envoy.config.route.v3.RouteList", {"routes": routes})
    return {"action": {"name": "routes", "typed_config": routed}}
