"""The route table of a cluster: each namespace's models below its own path.

The path's first part chooses the namespace in one look-up; a request is compared with the routes
of that namespace alone, and so can end at no other's model.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from smallmodel_operator.plan.gateway import replies
from smallmodel_operator.plan.gateway.admission import admission_rules
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.clusters import pool_name
from smallmodel_operator.plan.gateway.document import KEPT, Message, Written, written
from smallmodel_operator.plan.gateway.matching import by_path_prefix
from smallmodel_operator.plan.gateway.peer_routes import peer_host
from smallmodel_operator.plan.gateway.peers import Hop
from smallmodel_operator.plan.gateway.routes import (
    Route,
    Target,
    by_body,
    by_path,
    exact,
    own_answer,
    own_answers,
    prefix,
    refusals,
    route_table,
)
from smallmodel_operator.plan.gateway.values import GatewayModel

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
) -> dict[str, list[Route]]:
    trees = {"/": _outside()}
    for namespace in namespaces:
        trees[f"/{namespace.name}/"] = _of_namespace(namespace, settings)
    return trees


def _of_namespace(namespace: NamespaceRoutes, settings: ClusterGatewaySettings) -> list[Route]:
    base = f"/{namespace.name}"
    models = [routed.model for routed in namespace.models]
    each = [
        _of_model(routed.model, _target(routed, namespace.name, settings), base)
        for routed in namespace.models
    ]
    return [
        *own_answers(models, base, [own for own, _, _ in each]),
        *(path for _, path, _ in each),
        *(body for _, _, body in each),
        *refusals(models, base),
    ]


@lru_cache(maxsize=KEPT)
def _of_model(model: GatewayModel, target: Target, base: str) -> tuple[Written, Written, Written]:
    """Return what answers for the model itself, and its routes by path and by body."""
    paths = written(by_path(model, target, base))
    return written([own_answer(model, base)]), paths, written([by_body(model, target, base)])


def _outside() -> list[Route]:
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
