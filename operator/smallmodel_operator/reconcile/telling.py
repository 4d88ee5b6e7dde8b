"""What is told of a model among several clusters, beside its conditions."""

from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.where import Decision as ShownDecision
from smallmodel_operator.api.where import FailedCluster
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.reconcile.copies import EVALUATE_SECONDS, Copies, challenge_of
from smallmodel_operator.reconcile.model_values import ModelSight
from smallmodel_operator.reconcile.spread import Law, Steps
from smallmodel_operator.status.decision import summarise_decision
from smallmodel_operator.status.placed import SeenCopy

_ALLOW_DROPS: Final = "smallmodel.dev/drops-until=<RFC 3339 time> --overwrite"


def told_decision(
    sight: ModelSight,
    decision: Decision | None,
    failures: tuple[FailedCluster, ...],
    now: str,
) -> ShownDecision | None:
    """Return a decision as the status has it, with what the next one has to know."""
    if decision is None or sight.around is None:
        return None
    shown = summarise_decision(decision, sight.around.policy.currency)
    before = sight.model.status.decision
    challenge = challenge_of(decision.streak, before.challenge if before else None, now)
    return shown.model_copy(update={"challenge": challenge, "failures": failures or None})


def seen_copies(sight: ModelSight, copies: Copies, law: Law) -> tuple[SeenCopy, ...]:
    """Return the copies with what is known of their clusters."""
    since, against = dict(law.since), dict(law.against)
    return tuple(
        SeenCopy(
            placement=one,
            reachable=is_reachable(sight, one),
            forbidden=one.spec.cluster in against,
            forbidden_since=since.get(one.spec.cluster),
        )
        for one in (*copies.living, *copies.going)
    )


def is_reachable(sight: ModelSight, placement: ModelPlacement) -> bool:
    """Return whether the hub can see what becomes of a copy; of what is not declared it cannot."""
    if sight.around is None:
        return True
    return any(
        one.name == placement.spec.cluster and one.link.is_healthy for one in sight.around.clusters
    )


def remark_of(
    sight: ModelSight, copies: Copies, law: Law, steps: Steps
) -> tuple[Reason, str] | None:
    """Return what people have to know of where a model is, though nothing lacks."""
    against = dict(law.against)
    unknown = [
        one.spec.cluster
        for one in copies.going
        if one.spec.cluster in against and not is_reachable(sight, one)
    ]
    if unknown:
        return Reason.RESIDENCY_UNKNOWN, (
            f"A law ended the copy on {', '.join(unknown)}, which cannot be reached, so it may run "
            f"on there until its cluster learns of it. {against[unknown[0]].message}"
        )
    if sight.drops_held and steps.dropped:
        names = " ".join(one.spec.cluster for one in steps.dropped)
        return Reason.DROPS_HELD, (
            f"The copy on {names} is not wanted any more and stays: with those of other models, "
            "too many would be taken down within a minute. If that is meant: kubectl annotate "
            f"modelcluster {names} {_ALLOW_DROPS}"
        )
    return None


def next_look(sight: ModelSight, law: Law) -> float | None:
    """Return after how many seconds it is time to look again, whatever happens."""
    if sight.around is None or len(sight.around.clusters) < 2:
        return None
    return min((EVALUATE_SECONDS, *(left for _, left in law.seconds_left)))
