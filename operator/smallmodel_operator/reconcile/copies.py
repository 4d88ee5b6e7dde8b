"""The copies of one model, each on a cluster of its own: which answered, which are late."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import (
    ANNOTATION_DECIDED_AT,
    ANNOTATION_RE_RESOLVE,
    ANNOTATION_STANDS_IN_FOR,
)
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.api.where import Challenge, FailedCluster
from smallmodel_operator.placement.among import Past, Running
from smallmodel_operator.placement.choice.wish import Failure, Streak
from smallmodel_operator.reconcile.clock import after, seconds_between
from smallmodel_operator.status.placed import answers

EVALUATE_SECONDS: Final = 60.0
"""How often it is looked again whether a model should be elsewhere."""
_FIRST_PAUSE: Final = 600.0
_LONGEST_PAUSE: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The placements of one model, by cluster."""

    living: tuple[ModelPlacement, ...] = ()
    going: tuple[ModelPlacement, ...] = ()
    """Those that are being deleted."""

    @property
    def clusters(self) -> frozenset[str]:
        """Where copies live."""
        return frozenset(one.spec.cluster for one in self.living)

    @property
    def leaving(self) -> frozenset[str]:
        """Where copies are being taken down."""
        return frozenset(one.spec.cluster for one in self.going)


def copies_of(placements: Iterable[ModelPlacement]) -> Copies:
    """Return the placements of one model, told apart."""
    by_cluster = sorted(placements, key=lambda one: one.spec.cluster)
    return Copies(
        living=tuple(one for one in by_cluster if not one.metadata.deletion_timestamp),
        going=tuple(one for one in by_cluster if one.metadata.deletion_timestamp),
    )


def is_decided(placement: ModelPlacement, model: SmallModel) -> bool:
    """Return whether the decision was taken for this generation already.

    A changed card or another operator never changes it: only a new generation does, or another
    value of the annotation.
    """
    return (
        placement.spec.model.generation == model.metadata.generation
        and placement.spec.re_resolve == model.metadata.annotations.get(ANNOTATION_RE_RESOLVE)
    )


def ever_answered(placement: ModelPlacement) -> bool:
    """Return whether a copy answered in any revision, so that somebody may be using it."""
    return placement.status.verified_hash is not None or answers(placement)


def running_of(copies: Copies, model: SmallModel, now: str) -> tuple[Running, ...]:
    """Return the living copies as placing takes them."""
    wish = model.metadata.annotations.get(ANNOTATION_RE_RESOLVE)
    return tuple(
        Running(
            pinned=one.spec,
            seconds=_seconds_since(one.metadata.creation_timestamp, now),
            stands_in_for=one.metadata.annotations.get(ANNOTATION_STANDS_IN_FOR),
            settled=is_decided(one, model),
            renewed=one.spec.re_resolve != wish,
        )
        for one in copies.living
    )


def past_of(copies: Copies, model: SmallModel, failures: Sequence[FailedCluster], now: str) -> Past:
    """Return what the decisions before left, as the status has it and the copies show it."""
    before = model.status.decision
    challenge = before.challenge if before else None
    return Past(
        leaving=copies.leaving - copies.clusters,
        failures=tuple(
            Failure(cluster=one.cluster, attempts=one.attempts, until=one.until) for one in failures
        ),
        streak=Streak(
            incumbent=challenge.cluster, challenger=challenge.challenger, count=challenge.count
        )
        if challenge
        else None,
        counts=challenge is None or seconds_between(challenge.at, now) >= EVALUATE_SECONDS,
    )


def challenge_of(streak: Streak | None, before: Challenge | None, now: str) -> Challenge | None:
    """Return a streak as the status keeps it, with the time of the last decision that counted."""
    if streak is None:
        return None
    known = (streak.incumbent, streak.challenger, streak.count)
    if before is not None and (before.cluster, before.challenger, before.count) == known:
        return before
    return Challenge(
        cluster=streak.incumbent, challenger=streak.challenger, count=streak.count, at=now
    )


def failures_of(
    copies: Copies, model: SmallModel, carried: Collection[str], now: str
) -> tuple[FailedCluster, ...]:
    """Return where a copy was not verified in time, and is not tried for now.

    A change of the spec is tried everywhere at once.

    Args:
        copies: The placements.
        model: The model.
        carried: Clusters that are heard of by files alone: nothing is late there.
        now: RFC 3339 time.
    """
    if any(not is_decided(one, model) for one in copies.living):
        return ()
    before, generation = model.status.decision, model.metadata.generation
    known = {
        one.cluster: one
        for one in (before.failures if before else None) or ()
        if one.generation == generation
    }
    late = {one.spec.cluster for one in copies.living if _is_late(one, model, now)} - {*carried}
    for name in sorted(late):
        last = known.get(name)
        if last is None or seconds_between(last.until, now) >= 0:
            attempts = last.attempts + 1 if last else 1
            pause = min(_FIRST_PAUSE * 2.0 ** (attempts - 1), _LONGEST_PAUSE)
            known[name] = FailedCluster(
                cluster=name, generation=generation, attempts=attempts, until=after(now, pause)
            )
    answered = {one.spec.cluster for one in copies.living if answers(one)}
    return tuple(
        known[name]
        for name in sorted(known.keys() - answered)
        if name in late or seconds_between(known[name].until, now) < 0
    )


def _is_late(placement: ModelPlacement, model: SmallModel, now: str) -> bool:
    if ever_answered(placement):
        return False
    since = placement.metadata.annotations.get(ANNOTATION_DECIDED_AT)
    return _seconds_since(since, now) >= seconds(model.spec.placement.progress_deadline)


def _seconds_since(time: str | None, now: str) -> float:
    return seconds_between(time, now) if time is not None else 0.0
