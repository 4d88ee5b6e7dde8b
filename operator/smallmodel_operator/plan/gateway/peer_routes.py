"""What the gateway of a cluster answers to gateways of others: models that are served here.

None of these routes leads to another gateway, so a request makes one hop at most.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from smallmodel_operator.plan.gateway import replies
from smallmodel_operator.plan.gateway.admission import RBAC_FILTER, RBAC_RULES
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.clusters import pool_name
from smallmodel_operator.plan.gateway.document import KEPT, Message, Written, typed, written
from smallmodel_operator.plan.gateway.matching import by_path_prefix
from smallmodel_operator.plan.gateway.peers import PEERS_HOST
from smallmodel_operator.plan.gateway.routes import Route, Target, prefix, to_path
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayModel

PEERS: Final = "gateways"
"""The name of the virtual host."""


def peer_host(
    namespaces: Sequence[NamespaceRoutes],
    identities: Sequence[str],
    settings: ClusterGatewaySettings,
) -> Message:
    """Return the virtual host of other gateways.

    Args:
        namespaces: Sorted, as their models are.
        identities: The names in the certificates of gateways that may ask.
        settings: What stays while the gateway runs.
    """
    return {
        "name": PEERS,
        "domains": [PEERS_HOST],
        "matcher": by_path_prefix(
            {
                "/": [prefix("/", replies.not_served_here())],
                **{
                    f"/{namespace.name}/": routes
                    for namespace in namespaces
                    if (routes := _of_namespace(namespace, settings))
                },
            }
        ),
        "typed_per_filter_config": {RBAC_FILTER: _only(sorted(identities))},
    }


def asked_here(routed: RoutedModel) -> Endpoint | None:
    """Return the pool that answers other gateways for a model, where there is one."""
    if routed.model.unavailable:
        return routed.leaving
    return routed.upstream or routed.leaving


def _of_namespace(namespace: NamespaceRoutes, settings: ClusterGatewaySettings) -> list[Route]:
    routes = [
        _to_pool(routed.model, pool, namespace.name, settings.connect_retries)
        for routed in namespace.models
        if (pool := asked_here(routed)) is not None
    ]
    return [*routes, prefix(f"/{namespace.name}/", replies.not_served_here())] if routes else []


@lru_cache(maxsize=KEPT)
def _to_pool(model: GatewayModel, pool: Endpoint, namespace: str, retries: int) -> Written:
    target = Target(cluster=pool_name(pool), connect_retries=retries)
    path, rewrite = f"/{namespace}/{model.name}", f"/{model.name}/v1/"
    return written([to_path(model, target, path, rewrite)])


def _only(identities: Sequence[str]) -> Message:
    """Return rules for which only these gateways may ask: a client has no certificate at all."""
    principals: list[Message] = [
        {"authenticated": {"principal_name": {"exact": identity}}} for identity in identities
    ]
    allowed: Message = {"permissions": [{"any": True}], "principals": principals}
    policies: Message = {PEERS: allowed} if principals else {}
    return typed(RBAC_RULES, {"rbac": {"rules": {"action": "ALLOW", "policies": policies}}})
