"""The whole Envoy configuration of a serving cluster."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from smallmodel_operator.plan.gateway.cluster_bootstrap import build_cluster_bootstrap
from smallmodel_operator.plan.gateway.cluster_routes import build_cluster_routes
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
)
from smallmodel_operator.plan.gateway.clusters import build_pool_clusters
from smallmodel_operator.plan.gateway.document import discovery_json, dump
from smallmodel_operator.plan.gateway.peer_routes import asked_here
from smallmodel_operator.plan.gateway.peers import build_peer_clusters
from smallmodel_operator.plan.gateway.values import GatewayConfig


def build_cluster_gateway(
    namespaces: Sequence[NamespaceRoutes],
    settings: ClusterGatewaySettings,
    identities: Sequence[str] = (),
) -> GatewayConfig:
    """Return the text of Envoy's files; the order of namespaces and models does not matter.

    Args:
        namespaces: What is served here, or led to other clusters.
        settings: What stays while the gateway runs.
        identities: The names in the certificates of other clusters' gateways, which may ask.

    Raises:
        ValueError: Two namespaces, or two models of one, have the same name, or an admitted
            address is none.
    """
    ordered = _sorted(namespaces)
    models = [routed for namespace in ordered for routed in namespace.models]
    asked = [routed for routed in models if not routed.model.unavailable]
    pools = [*(routed.upstream for routed in asked), *map(asked_here, models)]
    peers = [routed.elsewhere for routed in asked if routed.elsewhere and not routed.upstream]
    routes = build_cluster_routes(ordered, settings, identities)
    return GatewayConfig(
        bootstrap=_bootstrap(settings),
        routes=discovery_json([routes]),
        clusters=discovery_json(
            [
                *build_peer_clusters(peers, settings.certificates_folder),
                *build_pool_clusters(filter(None, pools)),
            ]
        ),
    )


@lru_cache(maxsize=4)
def _bootstrap(settings: ClusterGatewaySettings) -> str:
    """Return the text of the bootstrap, which is the same for all clusters of an installation.

    To write it as YAML takes longer than all the rest of a hundred models.
    """
    return dump(build_cluster_bootstrap(settings))


def _sorted(namespaces: Sequence[NamespaceRoutes]) -> tuple[NamespaceRoutes, ...]:
    _refuse_twice([namespace.name for namespace in namespaces], "namespace")
    for namespace in namespaces:
        _refuse_twice(
            [routed.model.name for routed in namespace.models], f"model of {namespace.name}"
        )
    return tuple(
        NamespaceRoutes(
            name=namespace.name,
            models=tuple(sorted(namespace.models, key=lambda routed: routed.model.name)),
            admitted=namespace.admitted,
        )
        for namespace in sorted(namespaces, key=lambda one: one.name)
    )


def _refuse_twice(names: Sequence[str], what: str) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"a {what} is given more than once: {', '.join(twice)}; merge them first")
