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
from smallmodel_operator.plan.gateway.document import Message
from smallmodel_operator.plan.gateway.matching import by_path_prefix
from smallmodel_operator.plan.gateway.peer_routes import peer_host
from smallmodel_operator.plan.gateway.peers import Hop
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

CLIENTS: Final = "namespaces"
"""The name of the virtual host of clients."""


def build_cluster_routes(
    namespaces: Sequence[NamespaceRoutes],
    settings: ClusterGatewaySettings,
    identities: Sequence[str] = (),
) -> Message:
    """Return the route configuration of these namespaces, sorted as their models are.

    Args:
        namespaces: What is served here, or led to other clusters.
        settings: What stays while the gateway runs.
        identities: The names in the certificates of gateways that may ask.
    """
    clients: Message = {
        "name": CLIENTS,
        "domains": ["*"],
        "matcher": by_path_prefix(_trees(namespaces, settings)),
    }
    rules = admission_rules(namespaces, admit_loopback=settings.admit_loopback)
    return route_table(clients | rules, peer_host(namespaces, identities, settings))


def _trees(
    namespaces: Sequence[NamespaceRoutes], settings: ClusterGatewaySettings
) -> dict[str, list[Message]]:
    trees = {"/": _outside()}
    for namespace in namespaces:
        trees[f"/{namespace.name}/"] = _of_namespace(namespace, settings)
    return trees


def _of_namespace(namespace: NamespaceRoutes, settings: ClusterGatewaySettings) -> list[Message]:
    base = f"/{namespace.name}"
    models = [routed.model for routed in namespace.models]
    targets = [_target(routed, namespace.name, settings) for routed in namespace.models]
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


def _target(routed: RoutedModel, namespace: str, settings: ClusterGatewaySettings) -> Target:
    if routed.upstream is not None:
        return Target(cluster=pool_name(routed.upstream), connect_retries=settings.connect_retries)
    clusters = tuple(peer.cluster for peer in routed.elsewhere)
    return Target(hop=Hop(clusters=clusters, namespace=namespace))
