"""What a hub tells the agents of clusters that it cannot call of gateways and of models elsewhere.

One text for all agents: which gateways there are, and where each model answers. It has no secret in
it. Each agent decides by it as the hub does for clusters that it calls (`plan/gateway/leading.py`).
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import Name
from smallmodel_operator.plan.gateway.leading import Copy, Neighbour, answering, neighbour

TOLD_NAME: Final = "smallmodel-neighbours"
"""The ConfigMap: on the hub in the namespace of each cluster, and a copy of it in the cluster."""
TOLD_ENTRY: Final = "neighbours.json.gz"

_FORMAT: Final = 1


class InvalidTold(ValueError):
    """What should say where models answer is cut, damaged, or of a newer hub."""


class ToldCluster(ApiModel):
    """A cluster, and where its gateway is."""

    name: Name
    gateway: Annotated[str, Field(pattern=patterns.GATEWAY_ADDRESS, max_length=253)] | None = None
    """Unset: no other one can ask it."""
    jurisdiction: str | None = None


class ToldModel(ApiModel):
    """A model that is placed somewhere."""

    namespace: Name
    name: Name
    request_timeout: Duration
    copies: tuple[Copy, ...] = ()
    """Those that answered."""

    @property
    def key(self) -> tuple[str, str]:
        """Its namespace and name."""
        return self.namespace, self.name


class Told(ApiModel):
    """All of it."""

    format: Literal[1] = _FORMAT
    clusters: tuple[ToldCluster, ...] = ()
    """Those whose gateways may ask each other."""
    models: tuple[ToldModel, ...] = ()


def told(clusters: Iterable[ModelCluster], placements: Iterable[ModelPlacement]) -> Told:
    """Return what agents are told, in one order."""
    models: dict[tuple[str, str], list[ModelPlacement]] = {}
    for placement in placements:
        if not placement.metadata.deletion_timestamp:
            model = placement.spec.model
            models.setdefault((model.namespace, model.name), []).append(placement)
    return Told(
        clusters=tuple(
            ToldCluster(
                name=cluster.metadata.name,
                gateway=cluster.spec.gateway.address if cluster.spec.gateway else None,
                jurisdiction=cluster.spec.jurisdiction,
            )
            for cluster in sorted(clusters, key=lambda one: one.metadata.name)
        ),
        models=tuple(_model(key, placed) for key, placed in sorted(models.items())),
    )


def _model(key: tuple[str, str], placed: list[ModelPlacement]) -> ToldModel:
    placed.sort(key=lambda one: one.spec.cluster)
    return ToldModel(
        namespace=key[0],
        name=key[1],
        request_timeout=placed[0].spec.scaling.request_timeout,
        copies=tuple(copy for one in placed if (copy := answering(one)) is not None),
    )


def told_neighbours(said: Told, own: str, hub_id: str) -> dict[str, Neighbour]:
    """Return all clusters but `own`, by name."""
    return {
        one.name: neighbour(one.name, one.gateway, one.jurisdiction, hub_id)
        for one in said.clusters
        if one.name != own
    }


def told_entry(said: Told) -> bytes:
    """Return it as an entry of a ConfigMap: the same bytes for the same facts."""
    values = said.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(values | {"format": said.format}, sort_keys=True, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def read_told(entries: Mapping[str, bytes]) -> Told | None:
    """Return what a ConfigMap says; None: nothing was said yet.

    Raises:
        InvalidTold: It cannot be read.
    """
    entry = entries.get(TOLD_ENTRY)
    if entry is None:
        return None
    try:
        values: Any = json.loads(gzip.decompress(entry))
        # A hub may be newer, and say more.
        return Told.model_validate(values, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidTold(f"{TOLD_ENTRY} cannot be read: {where}: {first['msg']}") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InvalidTold(f"{TOLD_ENTRY} cannot be read: {error}") from error
