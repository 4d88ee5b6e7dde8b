"""All of the gateway's configuration, from the models that are served."""

from collections.abc import Iterable

from smallmodel_operator.plan.gateway.bootstrap import build_bootstrap
from smallmodel_operator.plan.gateway.clusters import build_clusters
from smallmodel_operator.plan.gateway.document import discovery, dump
from smallmodel_operator.plan.gateway.routes import build_routes
from smallmodel_operator.plan.gateway.values import (
    GatewayConfig,
    GatewayModel,
    GatewaySettings,
    by_name,
)


def build_gateway(models: Iterable[GatewayModel], settings: GatewaySettings) -> GatewayConfig:
    """Return the text of Envoy's files; the order of the models does not matter."""
    routes = build_routes(by_name(models), with_metrics=settings.metrics is not None)
    return GatewayConfig(
        bootstrap=dump(build_bootstrap(settings)),
        routes=discovery([routes]),
        clusters=discovery(build_clusters(settings)),
    )
