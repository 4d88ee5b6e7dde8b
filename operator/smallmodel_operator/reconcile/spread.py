"""From a decision among clusters to what is made and what is taken down.

A copy moves by being made where it is to be, and taken down where it was once enough others answer:
between the two both are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import (
    ANNOTATION_DECIDED_AT,
    ANNOTATION_STANDS_IN_FOR,
)
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.placement.among import outlawed
from smallmodel_operator.placement.choice.case import Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.cluster import ClusterPlacement
from smallmodel_operator.placement.declared import Around, laws_of
from smallmodel_operator.plan.placements import build_placement, with_laws
from smallmodel_operator.reconcile.clock import seconds_between
from smallmodel_operator.reconcile.copies import Copies, ever_answered
from smallmodel_operator.status.placed import answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Which copies the law of the data forbids where they are."""

    ended: tuple[ModelPlacement, ...] = ()
    """They go at once, with or without another."""
    since: tuple[tuple[str, str], ...] = ()
    """By cluster: since when the others go on, until another answers or their time is over."""
    seconds_left: tuple[tuple[str, float], ...] = ()
    """By cluster: how long these may go on yet."""
    against: tuple[tuple[str, Rejection], ...] = ()
    """By cluster, those included that are being taken down: what forbids it."""

    @property
    def message(self) -> str:
        """What forbids those that are ended."""
        names = {one.spec.cluster for one in self.ended}
        return " ".join(said.message for name, said in self.against if name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is made and what is taken down."""

    made: tuple[ModelPlacement, ...] = ()
    dropped: tuple[ModelPlacement, ...] = ()
    moves: int = 0
    """Copies of these that follow others, which go on meanwhile."""


NO_LAW: Final = Law()
NO_STEPS: Final = Steps()


def law_of(model: SmallModel, copies: Copies, around: Around | None, now: str) -> Law:
    """Return what the law of the data says of the copies that are there."""
    if around is None:
        return NO_LAW
    found = outlawed(model.spec, around, copies.clusters | copies.leaving)
    before = {one.cluster: one.forbidden_since for one in model.status.copies}
    ended: list[ModelPlacement] = []
    since: list[tuple[str, str]] = []
    left: list[tuple[str, float]] = []
    for one in copies.living:
        name = one.spec.cluster
        if name not in found:
            continue
        first = before.get(name) or now
        seconds = found[name][1] - seconds_between(first, now)
        if seconds <= 0:
            ended.append(one)
        else:
            since.append((name, first))
            left.append((name, seconds))
    return Law(
        ended=tuple(ended),
        since=tuple(since),
        seconds_left=tuple(left),
        against=tuple(sorted((name, said) for name, (said, _) in found.items())),
    )


def lawful_of(
    model: SmallModel, placement: ModelPlacement, around: Around | None
) -> ModelPlacement | None:
    """Return a placement that says today's laws; None where it does, or where they forbid it."""
    if around is None or around.unread_sources:
        # What a law says that cannot be read now is what the placement says.
        return None
    there = next((one for one in around.clusters if one.name == placement.spec.cluster), None)
    laws = laws_of(model.spec, around.sources)
    return with_laws(placement, laws, there.jurisdiction if there else None)


def steps_of(
    model: SmallModel,
    copies: Copies,
    resolved: ResolvedModel,
    made: Sequence[ClusterPlacement],
    decision: Decision,
    around: Around,
    *,
    hub_id: str,
    now: str,
) -> Steps:
    """Return what follows from a decision.

    Args:
        model: What the user asks for.
        copies: Those that are there.
        resolved: The card and options of it.
        made: How chosen copies run of which that was decided now.
        decision: What was decided.
        around: The clusters.
        hub_id: Names this installation.
        now: RFC 3339 time.
    """
    stands_in = _stand_ins(decision, copies)
    laws = laws_of(model.spec, around.sources)
    written = []
    for found in made:
        cluster = found.placement.machine
        one = build_placement(model, resolved, found, hub_id=hub_id, cluster=cluster, laws=laws)
        annotations = {ANNOTATION_DECIDED_AT: now} if len(around.clusters) > 1 else {}
        if cluster in stands_in:
            annotations[ANNOTATION_STANDS_IN_FOR] = stands_in[cluster]
        written.append(_annotated(one, annotations))
    new = [one for one in written if one.spec.cluster not in copies.clusters]
    lawful = [one for one in copies.living if one.spec.cluster not in decision.forbidden]
    missing = max(0, model.spec.placement.copies - len(lawful))
    return Steps(
        made=tuple(written),
        dropped=_unwanted(decision, copies, model.spec.placement.copies),
        moves=max(0, len(new) - missing),
    )


def _unwanted(decision: Decision, copies: Copies, asked: int) -> tuple[ModelPlacement, ...]:
    """Return the copies that may be taken down: nobody lacks them."""
    wanted = frozenset(decision.clusters)
    begun = bool(wanted) and wanted <= copies.clusters
    enough = sum(answers(one) for one in copies.living if one.spec.cluster in wanted) >= asked
    return tuple(
        one
        for one in copies.living
        if one.spec.cluster not in wanted and (enough or (begun and not ever_answered(one)))
    )


def _stand_ins(decision: Decision, copies: Copies) -> dict[str, str]:
    """Return by cluster for which other cluster each copy stands in."""
    there = {
        one.spec.cluster: one.metadata.annotations.get(ANNOTATION_STANDS_IN_FOR)
        for one in copies.living
    }
    beside = [one.cluster for one in decision.chosen if one.code is Code.STANDS_IN]
    known = {name: other for name in beside if (other := there.get(name)) is not None}
    cut_off = [
        one.cluster
        for one in decision.verdicts
        if one.selected and one.against is Code.UNREACHABLE and one.cluster not in known.values()
    ]
    new = [name for name in beside if name not in known]
    return known | dict(zip(new, cut_off, strict=False))


def _annotated(placement: ModelPlacement, annotations: dict[str, str]) -> ModelPlacement:
    if not annotations:
        return placement
    metadata = placement.metadata.model_copy(update={"annotations": annotations})
    return placement.model_copy(update={"metadata": metadata})
