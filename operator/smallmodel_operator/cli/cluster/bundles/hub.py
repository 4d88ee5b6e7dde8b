"""The hub's side: what was decided for a cluster becomes a file, and what came back is told."""

from dataclasses import dataclass
from pathlib import Path

from smallmodel_operator.api.bundle import PlacementBundle, StatusBundle
from smallmodel_operator.api.modelcluster import (
    CarriedStatus,
    ConnectionMode,
    ModelCluster,
    ModelClusterStatus,
)
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.cli.cluster.bundles.keys import HubKeys, keep_serial, read_hub_keys
from smallmodel_operator.cli.cluster.bundles.opening import (
    check_signature,
    explained,
    now,
    written,
)
from smallmodel_operator.cli.cluster.fleet import (
    Hub,
    check_is_another,
    find_hub,
    one_cluster,
    placements_on,
)
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.reconcile.bundle import (
    Envelope,
    Unfit,
    check_head,
    next_serial,
    portable,
    read_content,
)
from smallmodel_operator.reconcile.carrying import decide_told, read_placement
from smallmodel_operator.status.carried import carried_link
from smallmodel_operator.status.cluster import summarise_carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of a cluster's file."""

    cluster: str
    exported_at: str
    applied: int | None
    changed: tuple[str, ...]
    """Placements whose status is another one now, by name."""
    count: int
    """All placements of the cluster."""


async def export_placements(session: Session, name: str) -> str:
    """Return the file with all that was decided for a cluster.

    Raises:
        ApiError: The hub could not be read or written.
        CommandError: There is no such cluster, or nothing is carried there.
    """
    from smallmodel_operator.clusters.guard import owner_of

    hub = await find_hub(session)
    cluster, keys = await _carried(hub, name)
    uid = _uid(cluster)
    if uid is None:
        raise CommandError(
            f"it is not known yet which cluster {name} is, and a file is for one cluster alone: "
            "`slm bundle export --status` there writes that down, `slm bundle import` here takes "
            "it; then export again"
        )
    found = await placements_on(session, name)
    # Who made another in that namespace would keep the cluster from taking the file at all.
    placements = [one for one in found if owner_of(one) == hub.hub_id]
    time = now()
    serial = next_serial(keys.serial, time)
    await keep_serial(hub, name, keys, serial)
    bundle = PlacementBundle(
        hub_id=hub.hub_id,
        cluster=name,
        cluster_uid=uid,
        contract=CONTRACT,
        serial=serial,
        exported_at=time,
        placements=tuple(portable(one, with_status=False) for one in placements),
    )
    return written(bundle, keys.own)


async def import_status(session: Session, envelope: Envelope, path: Path) -> Told:
    """Write what a cluster told by a file into the hub's objects.

    Raises:
        ApiError: The hub could not be read or written.
        CommandError: The file is not taken.
    """
    hub, name = await find_hub(session), envelope.head.cluster
    cluster, keys = await _carried(hub, name)
    with explained(path):
        check_head(envelope.head, hub_id=hub.hub_id, cluster=name, cluster_uid=_uid(cluster))
        check_signature(envelope, keys.member.public)
        bundle = read_content(envelope, StatusBundle)
        _check_newer(cluster, bundle)
    await check_is_another(hub, name, bundle.cluster_uid)
    found = [read_placement(one) for one in await placements_on(session, name)]
    placements = [one for one in found if one is not None]
    told = decide_told(bundle, placements, now())
    for placement in placements:
        if placement.metadata.name in told:
            await _write_placement(session, placement, told[placement.metadata.name])
    await _write_cluster(session, name, bundle)
    return Told(
        cluster=name,
        exported_at=bundle.exported_at,
        applied=bundle.applied,
        changed=tuple(sorted(told)),
        count=len(placements),
    )


async def _carried(hub: Hub, name: str) -> tuple[ModelCluster, HubKeys]:
    cluster = await one_cluster(hub.session, name)
    mode = cluster.spec.connection.mode
    keys = await read_hub_keys(hub, name) if mode is ConnectionMode.BUNDLE else None
    if keys is None:
        has = f"is of mode {mode}" if mode is not ConnectionMode.BUNDLE else "has no keys"
        raise CommandError(
            f"ModelCluster {name} {has}, and files are carried to clusters of mode Bundle that "
            f"joined: `slm cluster join {name} --mode bundle --secret-file FILE`",
            ExitCode.USAGE,
        )
    return cluster, keys


def _uid(cluster: ModelCluster) -> str | None:
    link = cluster.status.link
    return cluster.spec.connection.cluster_uid or (link.cluster_uid if link else None)


def _check_newer(cluster: ModelCluster, bundle: StatusBundle) -> None:
    known = cluster.status.bundle
    if known is not None and bundle.serial < known.serial:
        raise Unfit(
            f"it has the serial {bundle.serial} (of {bundle.exported_at}), and the last one that "
            f"was taken has {known.serial} (of {known.exported_at}); what a cluster told is not "
            "rolled back: `slm bundle export --status` there writes a newer one"
        )


async def _write_placement(
    session: Session, placement: ModelPlacement, status: ModelPlacementStatus
) -> None:
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    metadata = placement.metadata
    await session.api.patch_status(
        MODELPLACEMENTS.ref(metadata.name, metadata.namespace),
        status.model_dump(mode="json", exclude_none=True, by_alias=True),
        resource_version=metadata.resource_version,
    )


async def _write_cluster(session: Session, name: str, bundle: StatusBundle) -> None:
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    for is_last in (False, True):
        cluster = await one_cluster(session, name)
        values = _status(cluster, bundle).model_dump(mode="json", exclude_none=True, by_alias=True)
        version = cluster.metadata.resource_version
        try:
            await session.api.patch_status(
                MODELCLUSTERS.ref(name), values, resource_version=version
            )
        except errors.Conflict:
            # The operator looked at how old the last file is in this moment.
            if is_last:
                raise
        else:
            return


def _status(cluster: ModelCluster, bundle: StatusBundle) -> ModelClusterStatus:
    time = now()
    file = CarriedStatus(
        serial=bundle.serial,
        exported_at=bundle.exported_at,
        imported_at=time,
        applied=bundle.applied,
    )
    status = cluster.status.model_copy(update={"bundle": file})
    known = cluster.model_copy(update={"status": status})
    link = carried_link(known, time)
    if link is not None:
        link = link.model_copy(update={"cluster_uid": bundle.cluster_uid})
    return summarise_carried(known, bundle.status, link, time)
