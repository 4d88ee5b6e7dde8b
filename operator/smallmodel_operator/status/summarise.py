"""An observation becomes the status of a SmallModel."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from smallmodel_operator.api.conditions import (
    ClusterConditionType,
    ConditionType,
    DataConditionType,
)
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.smallmodel import Engine, SmallModelStatus
from smallmodel_operator.placement.placement import Placement
from smallmodel_operator.status.observation import Observation, Pinned
from smallmodel_operator.status.state import is_true
from smallmodel_operator.status.verdicts import (
    CHAIN,
    Verdict,
    fetch_message,
    needs_a_person,
    over_copies,
    ready,
    reconciling,
    stalled,
)

__all__ = ["MESSAGE_MAX", "conditions", "fetch_message", "needs_a_person", "summarise"]

MESSAGE_MAX: Final = 1024
"""Characters of a condition's message; longer ones lose their tail, never their head."""

_OF_THE_HUB: Final = frozenset({ConditionType.RESOLVED, ConditionType.PLACED})
"""Conditions that are decided without the serving cluster."""


def summarise(seen: Observation, previous: SmallModelStatus, now: str) -> SmallModelStatus:
    """Return the whole status, made anew from what was seen.

    While the serving cluster has not taken the last decision, the conditions that depend on it stay
    as they were, with the generation that they speak of.

    Args:
        seen: What is known now.
        previous: The status before, whose transition times live on where nothing changed.
        now: RFC 3339 time, given to conditions that changed.

    Returns:
        The new status; equal to `previous` where no fact changed.
    """
    seen = _remembering(seen, previous)
    verdicts = {kind: over_copies(kind, judge, seen) for kind, judge in CHAIN}
    is_ready = ready(verdicts)
    is_stalled = stalled(verdicts)
    everything = verdicts | {
        ConditionType.READY: is_ready,
        ConditionType.RECONCILING: reconciling(is_ready, is_stalled),
        ConditionType.STALLED: is_stalled,
    }
    made = conditions(everything, previous.conditions, seen.generation, now)
    generation = seen.generation
    if seen.behind and not seen.others:
        made = _kept(made, previous.conditions)
        generation = previous.observed_generation
    engine, variant = _chosen(seen)
    performance = seen.probe.performance if seen.probe else None
    return SmallModelStatus(
        observed_generation=generation,
        conditions=made,
        url=seen.url,
        replicas=sum(
            one.deployment.replicas for one in (seen, *seen.others) if one.deployment is not None
        ),
        engine=engine,
        variant=variant,
        serving_hash=seen.serving_hash or next((c.serving_hash for c in seen.copies), None),
        performance=performance or previous.performance,
        copies=seen.copies,
        decision=seen.decision or previous.decision,
    )


def conditions(
    verdicts: Mapping[ConditionType, Verdict]
    | Mapping[ClusterConditionType, Verdict]
    | Mapping[DataConditionType, Verdict],
    previous: Sequence[Condition],
    generation: int,
    now: str,
) -> tuple[Condition, ...]:
    """Return verdicts as conditions, whose transition times move only with their status."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        _condition(kind, verdict, before.get(kind), generation, now)
        for kind, verdict in verdicts.items()
    )


def _remembering(seen: Observation, previous: SmallModelStatus) -> Observation:
    return replace(
        seen,
        answered_before=seen.answered_before or _answered(seen, previous),
        others=tuple(_remembering(one, previous) for one in seen.others),
    )


def _answered(seen: Observation, previous: SmallModelStatus) -> bool:
    """Return whether what is deployed is what was available before.

    During a move the old pool goes on, while the last request may have been for the new one.
    """
    if seen.deployment is None or not is_true(previous, ConditionType.AVAILABLE):
        return False
    return any(copy.serving_hash == seen.deployment.serving_hash for copy in previous.copies)


def _kept(made: tuple[Condition, ...], previous: Sequence[Condition]) -> tuple[Condition, ...]:
    before = {condition.type: condition for condition in previous}
    return tuple(
        condition if condition.type in _OF_THE_HUB else before.get(condition.type, condition)
        for condition in made
    )


def _chosen(seen: Observation) -> tuple[Engine | None, str | None]:
    match seen.outcome:
        case Placement(option=option):
            return option.engine, option.variant.name
        case Pinned(engine=engine, variant=variant):
            return engine, variant
        case _:
            # What was decided before goes on to run.
            return next(((copy.engine, copy.variant) for copy in seen.copies), (None, None))


def _condition(
    kind: str, verdict: Verdict, before: Condition | None, generation: int, now: str
) -> Condition:
    unchanged = before is not None and before.status == verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before and unchanged else now,
        reason=verdict.reason,
        message=_bounded(verdict.message),
    )


def _bounded(message: str) -> str:
    return message if len(message) <= MESSAGE_MAX else message[: MESSAGE_MAX - 1] + "…"
