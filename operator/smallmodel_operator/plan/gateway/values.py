"""What the gateway is built from, and what comes out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.timeouts import request_timeout

BODY_LIMIT: Final = 32 * 2**20
"""Bytes of the largest request body: room for a few images in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Why a model that exists cannot be asked now."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayModel:
    """One model as the gateway knows it."""

    name: str
    request_timeout_seconds: float
    unavailable: Unavailable | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Endpoint:
    """An address and a port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What stays while the gateway runs."""

    listen: Endpoint
    """Where clients come in."""
    serve: Endpoint
    """The frontend of Serve's HAProxy."""
    discovery_folder: str
    """Where Envoy watches for `ROUTES_FILE` and `CLUSTERS_FILE`."""
    admin: Endpoint = Endpoint(address="127.0.0.1", port=0)
    """Envoy's admin page can stop it, so it stays on loopback. Port 0 takes a free one."""
    metrics: Endpoint | None = None
    """Ray's exporter, shown at `/metrics`; unset: none."""
    body_limit: int = BODY_LIMIT


ROUTES_FILE: Final = "routes.yaml"
CLUSTERS_FILE: Final = "clusters.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryFile:
    """A resource of Envoy's discovery, and the version that Envoy reports once it took it."""

    text: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The text of Envoy's three files."""

    bootstrap: str
    """A change of it needs another Envoy; it depends on the settings alone."""
    routes: DiscoveryFile
    clusters: DiscoveryFile


def gateway_models(
    pool: Pool, unavailable: Mapping[str, Unavailable] | None = None
) -> tuple[GatewayModel, ...]:
    """Return a pool's models, and why some of them cannot be asked now.

    A name in `unavailable` that the pool does not have is a model that could not be planned at
    all: it gets its reason and not "does not exist".
    """
    reasons = dict(unavailable or {})
    served = {
        model.name: GatewayModel(
            name=model.name,
            request_timeout_seconds=request_timeout(model),
            unavailable=reasons.get(model.name),
        )
        for model in pool.models
    }
    others = {
        name: GatewayModel(name=name, request_timeout_seconds=0, unavailable=reason)
        for name, reason in reasons.items()
    }
    return by_name((others | served).values())


def by_name(models: Iterable[GatewayModel]) -> tuple[GatewayModel, ...]:
    """Return the models sorted by name."""
    return tuple(sorted(models, key=lambda model: model.name))
