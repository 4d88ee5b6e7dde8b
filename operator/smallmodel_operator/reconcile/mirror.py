"""One pass over what the hub decided for another cluster, and its mirror there.

The hub's object says what is to be; its mirror lets the cluster serve it with the hub gone, and
tells what became of it. What could not be read is never taken for gone: a mirror is deleted only
where the hub's object was seen with a deletionTimestamp.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementSpec,
    ModelPlacementStatus,
    Problem,
)
from smallmodel_operator.api.names import (
    ANNOTATION_ORIGIN,
    FINALIZER,
    LABEL_ACCEPT_FROM,
    LABEL_CLUSTER,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.placements import is_intact, placement_manifest
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.status.placed import summarise_placement

_MESSAGE_MAX: Final = 1024


class Mirrored(StrEnum):
    """What the cluster has under a mirror's name."""

    NOTHING = "Nothing"
    """Nothing that was seen: it is looked for once more before anything follows from that."""
    OURS = "Ours"
    FOREIGN = "Foreign"
    """An object without the label of this installation, which is never touched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSight:
    """Everything that one pass knows of a placement and its mirror."""

    cluster: str
    """The ModelCluster."""
    namespace: str
    """Where its mirrors lie in the cluster."""
    placement: ModelPlacement | None
    """The hub's object; None: the hub has none that can be read."""
    unread: bool = False
    """The hub has one, and it cannot be read: another version of this program wrote it."""
    there: Mirrored
    mirror: ModelPlacement | None = None
    """Ours, where it can be read and is whole."""
    accepted: bool
    """The model's namespace is there, and takes models of this hub."""
    refused: Problem | None = None
    """What the cluster said against the mirror at the last try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOrders:
    """What is to be done, in this order."""

    status: ModelPlacementStatus | None = None
    """That of the hub's object, where it changed."""
    apply: ModelPlacement | None = None
    """The mirror that is to be."""
    delete: bool = False
    """The mirror is to go: the hub's object is being deleted."""
    release: bool = False
    """The hub's object may go, once the cluster says that it has no mirror of it."""
    orphaned: bool = False
    """The hub has no such object. That is reported and nothing else."""


def decide_mirror(sight: MirrorSight, now: str) -> MirrorOrders:
    """Return what is to be done about one placement of another cluster.

    Args:
        sight: Everything that is known of it.
        now: RFC 3339 time.
    """
    placement = sight.placement
    if placement is None:
        return MirrorOrders(orphaned=sight.there is Mirrored.OURS and not sight.unread)
    if placement.metadata.deletion_timestamp:
        return _leave(sight, placement, now)
    wanted = build_mirror(placement, sight.namespace)
    if _is_ending(sight.mirror) or (sight.mirror and _covers(sight.mirror, wanted)):
        # One that is being deleted is made again when it is gone.
        return MirrorOrders(status=_told(placement, sight.mirror, None, now))
    problem = objection(sight, placement)
    return MirrorOrders(
        status=_told(placement, sight.mirror, problem or sight.refused, now),
        apply=wanted if problem is None else None,
    )


def build_mirror(placement: ModelPlacement, namespace: str) -> ModelPlacement:
    """Return the mirror of a hub's object: the same spec, held until nothing is left of it.

    Args:
        placement: The hub's object.
        namespace: Where mirrors lie in the cluster.
    """
    metadata = placement.metadata
    return ModelPlacement(
        metadata=ObjectMeta(
            name=metadata.name,
            namespace=namespace,
            labels=metadata.labels | {LABEL_CLUSTER: placement.spec.cluster},
            # Information alone: a hub that was restored gives its objects new ones.
            annotations={ANNOTATION_ORIGIN: metadata.uid} if metadata.uid else {},
            finalizers=(FINALIZER,),
        ),
        spec=placement.spec,
    )


def mirror_manifest(mirror: ModelPlacement) -> Manifest:
    """Return a mirror as it is applied."""
    manifest = placement_manifest(mirror)
    annotations = {"annotations": mirror.metadata.annotations}
    return {**manifest, "metadata": {**manifest["metadata"], **annotations}}


def is_whole(spec: ModelPlacementSpec) -> bool:
    """Return whether this program understands all of a spec that another one may have written."""
    return spec.contract <= CONTRACT and is_intact(spec)


def _leave(sight: MirrorSight, placement: ModelPlacement, now: str) -> MirrorOrders:
    """End the mirror of an object that is being deleted, and then the object."""
    status = _told(placement, sight.mirror, None, now)
    if sight.there is Mirrored.OURS:
        return MirrorOrders(status=status, delete=not _is_ending(sight.mirror))
    if sight.there is Mirrored.FOREIGN and placement.status.pool is not None:
        # It was ours, and somebody took its label away: what it serves would never be ended.
        problem = _name_conflict(sight, placement)
        return MirrorOrders(status=_told(placement, None, problem, now))
    return MirrorOrders(release=FINALIZER in placement.metadata.finalizers)


def objection(sight: MirrorSight, placement: ModelPlacement) -> Problem | None:
    """Return why a mirror is not to be written; None: nothing speaks against it."""
    if sight.there is Mirrored.FOREIGN:
        return _name_conflict(sight, placement)
    if not is_whole(placement.spec):
        return _problem(
            Reason.AGENT_TOO_OLD,
            f"The placement has contract {placement.spec.contract} and hash "
            f"{placement.spec.spec_hash or 'none'}; this operator knows contracts up to {CONTRACT}"
            f", and what it can read has another hash: a newer operator wrote it. What runs in "
            f"cluster {sight.cluster} goes on as it is; upgrade the operator and its CRDs.",
        )
    if not sight.accepted:
        space, hub = placement.spec.model.namespace, placement.spec.hub_id
        return _problem(
            Reason.NAMESPACE_NOT_ACCEPTED,
            f"Namespace {space} of cluster {sight.cluster} is not there, or does not take models "
            f"of this hub ({hub}). An administrator of that cluster lets it: "
            f"`kubectl create namespace {space}`, then `kubectl label namespace {space} "
            f"{LABEL_ACCEPT_FROM}={hub}`; this goes on by itself.",
        )
    return None


def _name_conflict(sight: MirrorSight, placement: ModelPlacement) -> Problem:
    name, hub = placement.metadata.name, placement.spec.hub_id
    return _problem(
        Reason.NAME_CONFLICT,
        f"ModelPlacement {sight.namespace}/{name} of cluster {sight.cluster} is there already and "
        f"is not this hub's ({hub}), so it is not touched. Delete it there, or, where it was this "
        f"hub's, give it its label smallmodel.dev/hub back.",
    )


def _problem(reason: Reason, message: str) -> Problem:
    return Problem(reason=reason, message=message[:_MESSAGE_MAX])


def _is_ending(mirror: ModelPlacement | None) -> bool:
    return mirror is not None and mirror.metadata.deletion_timestamp is not None


def _covers(mirror: ModelPlacement, wanted: ModelPlacement) -> bool:
    """Return whether a mirror is as it should; what others added to it is their business."""
    live = mirror.metadata
    return (
        mirror.spec == wanted.spec
        and wanted.metadata.labels.items() <= live.labels.items()
        and wanted.metadata.annotations.items() <= live.annotations.items()
        and set(wanted.metadata.finalizers) <= set(live.finalizers)
    )


def _told(
    placement: ModelPlacement,
    mirror: ModelPlacement | None,
    problem: Problem | None,
    now: str,
) -> ModelPlacementStatus | None:
    """Return the status of the hub's object; None where it is so already."""
    seen = mirror.status if mirror is not None else placement.status
    own = problem or (mirror.status.problem if mirror is not None else None)
    status = seen.model_copy(
        update={"observed_generation": _generation(placement, mirror), "problem": own}
    )
    known = placement.model_copy(update={"status": status})
    made = summarise_placement(known, placement.status.conditions, now)
    status = status.model_copy(update={"conditions": made})
    return status if status != placement.status else None


def _generation(placement: ModelPlacement, mirror: ModelPlacement | None) -> int:
    """Return the generation of the hub's object that the cluster speaks of; mirrors have others."""
    before, generation = placement.status.observed_generation, placement.metadata.generation
    if mirror is None:
        return before
    caught_up = mirror.status.observed_generation == mirror.metadata.generation
    if caught_up and mirror.spec == placement.spec:
        return generation
    return min(before, generation - 1)
