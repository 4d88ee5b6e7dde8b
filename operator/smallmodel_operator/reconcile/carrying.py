"""What follows from a file that was carried: the same as from what an agent reads and writes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.bundle import (
    BundleHead,
    PlacementBundle,
    StatusBundle,
    TakenBundle,
    TakenPlacement,
)
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    Problem,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.bundle import Unfit
from smallmodel_operator.reconcile.mirror import (
    Mirrored,
    MirrorOrders,
    MirrorSight,
    decide_mirror,
    objection,
)
from smallmodel_operator.reconcile.pace import drops_max
from smallmodel_operator.reconcile.residency import residency_problem

_NOTHING: Final = MirrorOrders()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSight:
    """What a cluster has, when a file of its hub comes."""

    namespace: str
    """Where mirrors lie."""
    mirrors: Mapping[str, ModelPlacement | None]
    """Ours, by name; None: it cannot be read."""
    foreign: frozenset[str]
    """Names of ModelPlacements there that are none of ours."""
    accepting: frozenset[str]
    """Namespaces that take models of this hub."""
    jurisdiction: str | None
    """The cluster's, by its own settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done about one placement of a file."""

    name: str
    model: str
    """Its namespace and name, for people."""
    uid: str
    """Of the hub's object."""
    ending: bool
    """The hub's object is being deleted."""
    orders: MirrorOrders = _NOTHING
    problem: Problem | None = None
    """Why it is not taken."""
    refused: Problem | None = None
    """Why it is not served here though it is taken: the agent says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What a file comes to."""

    steps: tuple[Step, ...]
    """By name of the placement."""
    orphans: tuple[str, ...]
    """Mirrors that it does not have: they are served on."""

    @property
    def deletions(self) -> tuple[Step, ...]:
        """Those whose mirrors are to go."""
        return tuple(step for step in self.steps if step.orders.delete)


def check_serial(taken: TakenBundle, head: BundleHead, digest: str, *, roll_back: bool) -> None:
    """Return where a file is newer than the last one, or the same again.

    Args:
        taken: The last one.
        head: The file's.
        digest: The file's.
        roll_back: Somebody wants an older one.

    Raises:
        Unfit: It is not.
    """
    if head.serial == taken.serial and digest != taken.digest:
        raise Unfit(
            f"it has the serial {head.serial}, which another file had that was taken; export again "
            "on the hub"
        )
    if head.serial < taken.serial and not roll_back:
        raise Unfit(
            f"it has the serial {head.serial} (of {head.exported_at}), and the last one that was "
            f"taken has {taken.serial} (of {taken.exported_at}); give the newest, or say "
            "--roll-back where the older one is meant, which deletes nothing"
        )


def decide_import(
    bundle: PlacementBundle, sight: MemberSight, now: str, *, deletes: bool
) -> Import:
    """Return what a file comes to.

    Args:
        bundle: What is in it.
        sight: What the cluster has.
        now: RFC 3339 time.
        deletes: Mirrors of what is being deleted on the hub go; False: it is an older file.
    """
    steps = [_step(manifest, sight, now, deletes=deletes) for manifest in bundle.placements]
    named = {step.name for step in steps}
    return Import(
        steps=tuple(sorted(steps, key=lambda step: step.name)),
        orphans=tuple(sorted(sight.mirrors.keys() - named)),
    )


def check_deletions(coming: Import, mirrors: int) -> None:
    """Return where a file deletes no more than may go without a word.

    Args:
        coming: What it comes to.
        mirrors: How many there are.

    Raises:
        Unfit: It does.
    """
    count, most = len(coming.deletions), drops_max(mirrors)
    if count > most:
        named = ", ".join(step.model for step in coming.deletions[:5])
        raise Unfit(
            f"it ends {count} of {mirrors} models here ({named}{', …' if count > 5 else ''}), and "
            f"more than {most} at a time are more often a mistake than a wish; where it is meant, "
            "say --allow-deletions"
        )


def taken(head: BundleHead, digest: str, before: TakenBundle, steps: Iterable[Step]) -> TakenBundle:
    """Return what is remembered of a file that is taken."""
    return TakenBundle(
        serial=head.serial,
        digest=digest,
        exported_at=head.exported_at,
        told=before.told,
        placements={
            step.name: TakenPlacement(uid=step.uid, ending=step.ending, problem=step.problem)
            for step in steps
        },
    )


def gone(known: TakenBundle, there: Collection[str]) -> tuple[str, ...]:
    """Return the hub's objects that may go: they are being deleted, and nothing is left of them.

    Args:
        known: The last file.
        there: Names of all ModelPlacements where mirrors lie, whoever's they are.
    """
    return tuple(
        sorted(
            one.uid for name, one in known.placements.items() if one.ending and name not in there
        )
    )


def decide_told(
    bundle: StatusBundle, placements: Iterable[ModelPlacement], now: str
) -> dict[str, ModelPlacementStatus]:
    """Return the statuses of the hub's placements that change by a file, by name.

    Args:
        bundle: What is in it.
        placements: The hub's, of that cluster.
        now: RFC 3339 time.
    """
    mirrors = {one["metadata"]["name"]: read_placement(one) for one in bundle.mirrors}
    told = dict[str, ModelPlacementStatus]()
    for placement in placements:
        status = _told(bundle, placement, mirrors, now)
        if status != placement.status:
            told[placement.metadata.name] = status
    return told


def read_placement(manifest: Manifest) -> ModelPlacement | None:
    """Return a ModelPlacement that another version may have written; None: it cannot be read."""
    try:
        return ModelPlacement.model_validate(manifest, extra="ignore")
    except ValidationError:
        return None


def _told(
    bundle: StatusBundle,
    placement: ModelPlacement,
    mirrors: Mapping[str, ModelPlacement | None],
    now: str,
) -> ModelPlacementStatus:
    name = placement.metadata.name
    orders = decide_mirror(
        MirrorSight(
            cluster=bundle.cluster,
            namespace=placement.metadata.namespace,
            placement=placement,
            there=Mirrored.OURS if name in mirrors else Mirrored.NOTHING,
            mirror=mirrors.get(name),
            accepted=True,
            refused=bundle.refused.get(name),
        ),
        now,
    )
    status = orders.status or placement.status
    ends = placement.metadata.deletion_timestamp and placement.metadata.uid in bundle.gone
    return status.model_copy(update={"ended": True}) if ends else status


def _step(manifest: Manifest, sight: MemberSight, now: str, *, deletes: bool) -> Step:
    metadata, model = manifest["metadata"], manifest["spec"]["model"]
    name, placement = metadata["name"], read_placement(manifest)
    step = Step(
        name=name,
        model=f"{model['namespace']}/{model['name']}",
        uid=metadata.get("uid") or "",
        ending=bool(metadata.get("deletionTimestamp")),
    )
    if placement is None:
        return replace(step, problem=_unreadable(step.model))
    seen = _mirror_sight(placement, sight)
    orders = decide_mirror(seen, now)
    if step.ending:
        return replace(step, orders=orders if deletes else _NOTHING)
    if orders.apply is None and not _is_carried(seen):
        return replace(step, problem=objection(seen, placement))
    return replace(step, orders=orders, refused=residency_problem(placement, sight.jurisdiction))


def _is_carried(seen: MirrorSight) -> bool:
    """Return whether the mirror says the same already, or is on its way out."""
    if seen.mirror is None or seen.placement is None:
        return False
    ending = seen.mirror.metadata.deletion_timestamp is not None
    return ending or seen.mirror.spec == seen.placement.spec


def _mirror_sight(placement: ModelPlacement, sight: MemberSight) -> MirrorSight:
    name = placement.metadata.name
    there = Mirrored.OURS if name in sight.mirrors else Mirrored.NOTHING
    return MirrorSight(
        cluster=placement.spec.cluster,
        namespace=sight.namespace,
        placement=placement,
        there=Mirrored.FOREIGN if name in sight.foreign else there,
        mirror=sight.mirrors.get(name),
        accepted=placement.spec.model.namespace in sight.accepting,
    )


def _unreadable(model: str) -> Problem:
    return Problem(
        reason=Reason.AGENT_TOO_OLD,
        message=f"The placement of {model} cannot be read by this version, so a newer one wrote "
        "it. What runs goes on as it is; upgrade slm and the operator here, and import it again.",
    )
