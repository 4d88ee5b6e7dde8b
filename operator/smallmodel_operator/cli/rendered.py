"""The configuration of Serve and Envoy that a plan would give, with the ports of an example.

`slm up` takes free ports and folders of its own; all else is what it would write.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from smallmodel_operator.cli.plans import Planned
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import (
    CLUSTERS_FILE,
    ROUTES_FILE,
    Endpoint,
    GatewaySettings,
    Unavailable,
    gateway_models,
)
from smallmodel_operator.plan.pool import PlannedModel, Pool
from smallmodel_operator.plan.serve import ServeConfig, ServeFront, build_serve_config
from smallmodel_operator.plan.timeouts import LOCAL_DRAIN, stack_timeouts

_LOOPBACK: Final = "127.0.0.1"
_GATEWAY_PORT: Final = 8080
_SERVE_PORT: Final = 8000
_DISCOVERY_FOLDER: Final = "/run/smallmodel/discovery"


def serve_config(planned: Sequence[Planned]) -> ServeConfig:
    """Return the Serve config of the pool that these models would share."""
    pool = _pool(planned)
    front = ServeFront(
        host=_LOOPBACK,
        port=_SERVE_PORT,
        timeouts=stack_timeouts(pool.models, drain=LOCAL_DRAIN),
    )
    return build_serve_config(pool, front)


def gateway_files(planned: Sequence[Planned]) -> dict[str, str]:
    """Return the text of Envoy's files by their names, start-up file first."""
    settings = GatewaySettings(
        listen=Endpoint(address=_LOOPBACK, port=_GATEWAY_PORT),
        serve=Endpoint(address=_LOOPBACK, port=_SERVE_PORT),
        discovery_folder=_DISCOVERY_FOLDER,
    )
    unavailable = {
        one.model.metadata.name: Unavailable(reason=one.refusal.reason, message=one.refusal.message)
        for one in planned
        if one.refusal
    }
    config = build_gateway(gateway_models(_pool(planned), unavailable), settings)
    return {
        "bootstrap.yaml": config.bootstrap,
        ROUTES_FILE: config.routes.text,
        CLUSTERS_FILE: config.clusters.text,
    }


def _pool(planned: Iterable[Planned]) -> Pool:
    return Pool(models=tuple(_served(planned)))


def _served(planned: Iterable[Planned]) -> Iterable[PlannedModel]:
    return (model for one in planned if (model := one.for_pool) is not None)
