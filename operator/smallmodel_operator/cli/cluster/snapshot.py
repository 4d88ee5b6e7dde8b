"""All that decisions read, from the hub and from the clusters that the caller can reach."""

import asyncio
import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ConnectionMode, ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.cli.cluster.fleet import Hub, all_clusters, find_hub
from smallmodel_operator.cli.cluster.installed import OPERATOR_LABELS, find_installed, settings_of
from smallmodel_operator.cli.cluster.observed import (
    default_settings,
    pools_of,
    read_catalog,
    read_sources,
    view_of,
)
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.cli.snapshots import SnapshotFile, recorded
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.settings import Settings
from smallmodel_operator.status.capacity import view_of as view_of_capacity

if TYPE_CHECKING:
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.credentials import Credentials
    from smallmodel_operator.clusters.ref import Resource

_SECONDS: Final = 10.0
_UNTOLD: Final = {
    ConnectionMode.PULL: "its agent has told nothing of its nodes yet",
    ConnectionMode.BUNDLE: "no file of it has been imported yet",
}
_BY_PLUGIN: Final = "its token is given by a credential plugin, which runs in the operator alone"
_Kind = TypeVar("_Kind", bound=ApiModel)


class _Unseen(Exception):
    """A cluster cannot be read; the text says why."""


async def take_snapshot(session: Session) -> SnapshotFile:
    """Return all that decisions read, and what is decided of it.

    A cluster that cannot be read is left out of the views, as the operator leaves it out.

    Raises:
        ApiError: The hub could not be read.
        CommandError: There is no operator, or an object is of another version.
    """
    from smallmodel_operator.clusters.ref import MODELCARDS, MODELPLACEMENTS, SMALLMODELS

    hub = await find_hub(session)
    operators = await find_installed(session, OPERATOR_LABELS)
    settings = settings_of(operators[0]) or default_settings()
    clusters = await all_clusters(session)
    placements = await _read(session, MODELPLACEMENTS, ModelPlacement)
    cards, _ = await session.api.list(MODELCARDS)
    seen = await asyncio.gather(*(_see(hub, one, placements, settings) for one in clusters))
    names = [one.metadata.name for one in clusters]
    return recorded(
        taken_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        hub_id=hub.hub_id,
        settings=settings,
        objects={
            ModelCluster: clusters,
            DataSource: await read_sources(session),
            ModelCard: read_catalog(cards).cards,
            SmallModel: await _read(session, SMALLMODELS, SmallModel),
            ModelPlacement: placements,
        },
        views={
            name: view
            for name, view in zip(names, seen, strict=True)
            if isinstance(view, ClusterView)
        },
        unseen={name: why for name, why in zip(names, seen, strict=True) if isinstance(why, str)},
    )


async def _read(session: Session, resource: "Resource", kind: type[_Kind]) -> tuple[_Kind, ...]:
    """Return all objects of a kind, in one order whoever asks."""
    found, _ = await session.api.list(resource)
    read: list[_Kind] = []
    for manifest in found:
        metadata = manifest["metadata"]
        try:
            read.append(kind.model_validate(manifest))
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise CommandError(
                f"{kind.__name__} {metadata.get('namespace')}/{metadata['name']} has {field}, "
                "which this version of slm does not take; correct it, or take the slm of the "
                "operator's version"
            ) from error
    return tuple(read)


async def _see(
    hub: Hub, cluster: ModelCluster, placements: tuple[ModelPlacement, ...], settings: Settings
) -> ClusterView | str:
    """Return what is seen of a cluster, or why nothing is."""
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.wire import Limits

    name, capacity = cluster.metadata.name, cluster.status.capacity
    if cluster.spec.connection.mode in _UNTOLD and capacity is not None:
        return view_of_capacity(name, capacity)
    try:
        if name == LOCAL_CLUSTER:
            return await _view(hub.session.api, hub, name, placements, settings)
        credentials = await _credentials(hub, cluster)
        async with Api.of(credentials, limits=Limits(total=_SECONDS)) as api:
            return await _view(api, hub, name, placements, settings)
    except (_Unseen, errors.ApiError) as error:
        return str(error)


async def _view(
    api: "Api",
    hub: Hub,
    name: str,
    placements: tuple[ModelPlacement, ...],
    settings: Settings,
) -> ClusterView:
    from smallmodel_operator.clusters.observe import ClusterObserver

    facts = await ClusterObserver(api, hub.hub_id).observe()
    pools = await pools_of(api, hub.hub_id)
    there = [one for one in placements if one.spec.cluster == name]
    return view_of(name, facts, pools, there, settings, hub.hub_id)


async def _credentials(hub: Hub, cluster: ModelCluster) -> "Credentials":
    """Return with what the hub calls a cluster; it is used, and never written."""
    from smallmodel_operator.clusters.credentials import read_kubeconfig
    from smallmodel_operator.clusters.ref import SECRETS

    if cluster.spec.connection.cluster_profile_ref is not None:
        raise _Unseen(_BY_PLUGIN)
    wanted = cluster.spec.connection.kubeconfig_secret_ref
    if wanted is None:
        mode = cluster.spec.connection.mode
        raise _Unseen(_UNTOLD.get(mode, "nothing connects it and the hub"))
    ref = SECRETS.ref(wanted.name, hub.namespace)
    secret = await hub.session.api.get(ref) or {}
    try:
        content = base64.b64decode((secret.get("data") or {}).get(wanted.key) or "", validate=True)
    except binascii.Error:
        content = b""
    if not content:
        raise _Unseen(f"{ref} with the key {wanted.key} is not there")
    return read_kubeconfig(content, f"The kubeconfig in {ref} ({wanted.key})")
