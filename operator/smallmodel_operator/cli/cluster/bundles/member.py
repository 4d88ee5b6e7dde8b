"""The cluster's side: what its hub decided is taken from a file, and what became of it is told."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.bundle import (
    PlacementBundle,
    StatusBundle,
    TakenBundle,
)
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import (
    Connection,
    ConnectionMode,
    ModelCluster,
    ModelClusterSpec,
    ModelClusterStatus,
)
from smallmodel_operator.api.modelplacement import ModelPlacement, Problem
from smallmodel_operator.api.names import (
    BUNDLE_MEMBER,
    LABEL_ACCEPT_FROM,
    LABEL_HUB,
    LABEL_MANAGED_BY,
    MANAGER,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.cli.cluster.bundles.keys import MemberKeys, read_member_keys
from smallmodel_operator.cli.cluster.bundles.opening import (
    check_signature,
    explained,
    now,
    written,
)
from smallmodel_operator.cli.cluster.installed import Installed, settings_of
from smallmodel_operator.cli.cluster.observed import (
    default_settings,
    find_operators,
    pools_of,
    view_of,
)
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.bundle import (
    Envelope,
    check_head,
    next_serial,
    portable,
    read_content,
)
from smallmodel_operator.reconcile.carrying import (
    Import,
    MemberSight,
    Step,
    check_deletions,
    check_serial,
    decide_import,
    gone,
    read_placement,
    taken,
)
from smallmodel_operator.reconcile.mirror import mirror_manifest
from smallmodel_operator.status.capacity import capacity_of
from smallmodel_operator.status.cluster import summarise_cluster

_STATE: Final = "taken"
_MESSAGE_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What somebody said about a file, knowing what it does."""

    roll_back: bool = False
    deletions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of a file of the hub."""

    cluster: str
    serial: int
    coming: Import
    refused: tuple[tuple[str, Problem], ...]
    """Models that are not served by it, with the reason; the others go on."""
    edits: tuple[str, ...]
    """What somebody wrote into the mirrors here, which was taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    session: Session
    agent: Installed
    keys: MemberKeys
    uid: str

    @property
    def namespace(self) -> str:
        return self.agent.namespace


async def import_placements(
    session: Session, envelope: Envelope, content: bytes, path: Path, allowed: Allowed
) -> Taken:
    """Have the cluster serve what its hub decided, as its agent would have read it.

    Raises:
        ApiError: The cluster could not be read or written; the same file may be imported again.
        CommandError: The file is not taken.
    """
    member = await _find(session)
    keys, digest = member.keys, hashlib.sha256(content).hexdigest()
    before = await _read_state(member)
    with explained(path):
        check_head(envelope.head, hub_id=keys.hub_id, cluster=keys.cluster, cluster_uid=member.uid)
        check_signature(envelope, keys.trusted)
        bundle = read_content(envelope, PlacementBundle)
        check_serial(before, bundle, digest, roll_back=allowed.roll_back)
        sight = await _see(member)
        is_older = bundle.serial < before.serial
        coming = decide_import(bundle, sight, now(), deletes=not is_older)
        if not allowed.deletions:
            check_deletions(coming, len(sight.mirrors))
    # First the serial: whatever comes of the rest, nothing older is taken afterwards.
    await _keep(member, taken(bundle, digest, before, coming.steps))
    edits = list[str]()
    steps = [await _carried_out(member, step, sight, edits) for step in coming.steps]
    await _keep(member, taken(bundle, digest, before, steps))
    problems = ((one.model, one.problem or one.refused) for one in steps)
    return Taken(
        cluster=keys.cluster,
        serial=bundle.serial,
        coming=coming,
        refused=tuple((model, problem) for model, problem in problems if problem is not None),
        edits=tuple(edits),
    )


async def export_status(session: Session) -> str:
    """Return the file with all that the cluster has to tell its hub.

    Raises:
        ApiError: The cluster could not be read or written.
        CommandError: It is no cluster of mode Bundle.
    """
    member = await _find(session)
    known, time = await _read_state(member), now()
    found = await _placements(member)
    mirrors = [one for one in found if _is_ours(one, member.keys.hub_id)]
    names = {one["metadata"]["name"] for one in found}
    serial = next_serial(known.told, time)
    orphans = [
        "/".join(one["spec"]["model"][part] for part in ("namespace", "name"))
        for one in mirrors
        if one["metadata"]["name"] not in known.placements
    ]
    bundle = StatusBundle(
        hub_id=member.keys.hub_id,
        cluster=member.keys.cluster,
        cluster_uid=member.uid,
        contract=CONTRACT,
        serial=serial,
        exported_at=time,
        applied=known.serial or None,
        status=await _status(member, mirrors, orphans, time),
        mirrors=tuple(portable(one, with_status=True) for one in mirrors),
        refused={
            name: one.problem for name, one in known.placements.items() if one.problem is not None
        },
        gone=gone(known, names),
    )
    await _keep(member, known.model_copy(update={"told": serial}))
    return written(bundle, member.keys.own)


async def _find(session: Session) -> _Member:
    from smallmodel_operator.clusters.identity import cluster_uid

    operators = await find_operators(session)
    if not operators:
        raise CommandError(
            "this cluster has no agent that would serve what a file says; `slm cluster join NAME "
            "--mode bundle` on the hub prints the command that installs it",
            ExitCode.NOT_FOUND,
        )
    agent = operators[0]
    return _Member(
        session=session,
        agent=agent,
        keys=await read_member_keys(session, agent.namespace),
        uid=await cluster_uid(session.api),
    )


async def _see(member: _Member) -> MemberSight:
    from smallmodel_operator.clusters.ref import NAMESPACES

    hub_id = member.keys.hub_id
    found = await _placements(member)
    ours = [one for one in found if _is_ours(one, hub_id)]
    accepting, _ = await member.session.api.list(NAMESPACES, labels=f"{LABEL_ACCEPT_FROM}={hub_id}")
    settings = settings_of(member.agent)
    return MemberSight(
        namespace=member.namespace,
        mirrors={one["metadata"]["name"]: read_placement(one) for one in ours},
        foreign=frozenset(one["metadata"]["name"] for one in found if not _is_ours(one, hub_id)),
        accepting=frozenset(one["metadata"]["name"] for one in accepting),
        jurisdiction=settings.cluster_jurisdiction if settings is not None else None,
    )


async def _placements(member: _Member) -> list[Manifest]:
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    return (await member.session.api.list(MODELPLACEMENTS, member.namespace))[0]


def _is_ours(manifest: Manifest, hub_id: str) -> bool:
    return (manifest["metadata"].get("labels") or {}).get(LABEL_HUB) == hub_id


async def _carried_out(member: _Member, step: Step, sight: MemberSight, edits: list[str]) -> Step:
    """Do what is to be done about one placement; what is said against it is kept for the hub."""
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.edits import describe_edits, edits_of
    from smallmodel_operator.clusters.guard import apply_owned, delete_owned
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    async def note(live: Manifest, wanted: Manifest) -> None:
        found = edits_of(live, wanted)
        if found:
            edits.append(f"{step.model}: somebody wrote {describe_edits(found)}")

    api, hub_id = member.session.api, member.keys.hub_id
    try:
        if step.orders.apply is not None:
            seen = sight.mirrors.get(step.name)
            version = seen.metadata.resource_version if seen is not None else None
            wanted = mirror_manifest(step.orders.apply)
            await apply_owned(api, wanted, hub_id, resource_version=version, overwriting=note)
        if step.orders.delete:
            await delete_owned(api, MODELPLACEMENTS.ref(step.name, member.namespace), hub_id)
    except (errors.Forbidden, errors.Invalid, errors.NameConflict) as error:
        problem = Problem(reason=Reason.REFUSED, message=str(error)[:_MESSAGE_MAX])
        return replace(step, problem=problem)
    return step


async def _status(
    member: _Member, mirrors: list[Manifest], orphans: list[str], time: str
) -> ModelClusterStatus:
    """Return what the cluster says of itself, as its agent would."""
    from smallmodel_operator.clusters.observe import ClusterObserver
    from smallmodel_operator.clusters.view import sight_of

    api, hub_id, name = member.session.api, member.keys.hub_id, member.keys.cluster
    settings = settings_of(member.agent) or default_settings()
    facts = await ClusterObserver(api, hub_id).observe()
    read = [read_placement(one) for one in mirrors]
    there: list[ModelPlacement] = [one for one in read if one is not None]
    view = view_of(name, facts, await pools_of(api, hub_id), there, settings, hub_id)
    cluster = ModelCluster(
        metadata=ObjectMeta(name=name),
        spec=ModelClusterSpec(connection=Connection(mode=ConnectionMode.BUNDLE)),
    )
    return summarise_cluster(
        cluster,
        sight_of(facts, settings.pools(hub_id)),
        time,
        orphans=orphans,
        capacity=capacity_of(view),
    )


async def _read_state(member: _Member) -> TakenBundle:
    from smallmodel_operator.clusters.ref import CONFIGMAPS

    ref = CONFIGMAPS.ref(BUNDLE_MEMBER, member.namespace)
    found = await member.session.api.get(ref)
    text = ((found or {}).get("data") or {}).get(_STATE)
    if text is None:
        return TakenBundle()
    try:
        return TakenBundle.model_validate_json(text)
    except ValidationError as error:
        raise CommandError(
            f"{ref} says which file was taken last, and cannot be read: somebody changed it, or "
            "another version wrote it; take the slm of that version, or delete it, after which any "
            "file of the hub is taken"
        ) from error


async def _keep(member: _Member, state: TakenBundle) -> None:
    labels = {LABEL_HUB: member.keys.hub_id, LABEL_MANAGED_BY: MANAGER}
    await member.session.api.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": BUNDLE_MEMBER, "namespace": member.namespace, "labels": labels},
            "data": {_STATE: state.model_dump_json(by_alias=True, exclude_none=True)},
        }
    )
