"""An observation becomes the status of a SmallModel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress, FetchWaiting
from smallmodel_operator.api.meta import Condition, ConditionStatus
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.status.observation import EngineState, Observation

MESSAGE_MAX: Final = 1024
"""Characters of a condition's message; longer ones lose their tail, never their head."""

_TRANSIENT: Final = frozenset({Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL, Reason.ENGINE_DIED})
"""Reasons that time alone can mend, so the model is not stalled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says."""

    status: ConditionStatus
    reason: Reason
    message: str


Judge = Callable[[Observation], Verdict]


def _resolved(seen: Observation) -> Verdict:
    match seen.outcome:
        case None:
            return _inspected(seen)
        case ResolveError(reason=reason, message=message):
            return Verdict("False", reason, message)
        case _:
            return Verdict("True", Reason.RESOLVED, "Card, licence, engine and sizes are known")


def _inspected(seen: Observation) -> Verdict:
    """Judge a model whose card is made from its weights, which have to be fetched first."""
    match seen.fetch:
        case FetchFailed(reason=reason, message=message):
            return Verdict("False", reason, message)
        case FetchProgress() | FetchWaiting():
            return Verdict("Unknown", Reason.FETCHING, fetch_message(seen.fetch))
        case _:
            return Verdict("Unknown", Reason.PROGRESSING, "The card is being looked up")


def _placed(seen: Observation) -> Verdict:
    match seen.outcome:
        case Placement(message=message):
            return Verdict("True", Reason.PLACED, message)
        case Unplaced(reason=reason, message=message):
            return Verdict("False", reason, message)
        case _:
            return Verdict("Unknown", Reason.WAITING, "Waits for Resolved")


def _deployed(seen: Observation) -> Verdict:
    if not isinstance(seen.outcome, Placement):
        return Verdict("Unknown", Reason.WAITING, "Waits for Placed")
    match seen.fetch:
        case FetchFailed(reason=reason, message=message):
            return Verdict("False", reason, message)
        case FetchProgress() | FetchWaiting() | None:
            return Verdict("False", Reason.FETCHING, fetch_message(seen.fetch))
        case _:
            return _deployed_by_serve(seen)


def _deployed_by_serve(seen: Observation) -> Verdict:
    deployment = seen.deployment
    if deployment is None or deployment.serving_hash != seen.serving_hash:
        return Verdict("False", Reason.PROGRESSING, "The application is being submitted")
    if deployment.failed:
        return Verdict("False", Reason.DEPLOY_FAILED, deployment.message)
    if not deployment.healthy:
        return Verdict("False", Reason.PROGRESSING, deployment.message or "A replica is starting")
    return Verdict("True", Reason.DEPLOYED, f"Serving hash {deployment.serving_hash} runs")


def _verified(seen: Observation) -> Verdict:
    probe = seen.probe
    if probe is None or probe.serving_hash != seen.serving_hash:
        return Verdict("Unknown", Reason.WAITING, "No request has verified this serving hash yet")
    return Verdict("True" if probe.passed else "False", probe.reason, probe.message)


def _available(seen: Observation) -> Verdict:
    probe, deployment = seen.probe, seen.deployment
    if probe is None or not probe.passed:
        return Verdict("False", Reason.WAITING, "No revision has been verified yet")
    if deployment is None or deployment.failed:
        message = deployment.message if deployment else "The application is not there"
        return Verdict("False", Reason.DEPLOY_FAILED, message)
    if seen.engine is EngineState.FAILED:
        return Verdict("False", Reason.LOAD_FAILED, seen.engine_message)
    if deployment.replicas == 0:
        return Verdict("True", Reason.PARKED, "No replica; the next request starts one")
    if seen.engine is EngineState.ASLEEP:
        return Verdict("True", Reason.ASLEEP, "Weights are out of memory; a request wakes it")
    return Verdict("True", Reason.AWAKE, "A verified revision answers")


_CHAIN: Final[tuple[tuple[ConditionType, Judge], ...]] = (
    (ConditionType.RESOLVED, _resolved),
    (ConditionType.PLACED, _placed),
    (ConditionType.DEPLOYED, _deployed),
    (ConditionType.VERIFIED, _verified),
    (ConditionType.AVAILABLE, _available),
)
"""In the order in which a model gets there: the first that is not True explains the rest."""


def _ready(verdicts: dict[ConditionType, Verdict]) -> Verdict:
    for kind, verdict in verdicts.items():
        if verdict.status != "True":
            return Verdict("False", verdict.reason, f"{kind}: {verdict.message}")
    return verdicts[ConditionType.AVAILABLE]


def _stalled(verdicts: dict[ConditionType, Verdict]) -> Verdict:
    for verdict in verdicts.values():
        if verdict.status == "False" and needs_a_person(verdict.reason):
            return Verdict("True", verdict.reason, verdict.message)
    return Verdict("False", Reason.NOTHING_TO_DO, "")


def _reconciling(ready: Verdict, stalled: Verdict) -> Verdict:
    if ready.status == "True" or stalled.status == "True":
        return Verdict("False", Reason.NOTHING_TO_DO, "")
    return Verdict("True", ready.reason, ready.message)


def needs_a_person(reason: Reason) -> bool:
    """Return whether nothing goes on until somebody acts."""
    waits = {Reason.PROGRESSING, Reason.WAITING, Reason.FETCHING}
    return reason not in waits and reason not in _TRANSIENT


def fetch_message(event: FetchProgress | FetchWaiting | None) -> str:
    """Return how far the weights' download is, in words."""
    match event:
        case FetchProgress(done_bytes=done, total_bytes=int(total)) if total > 0:
            share = 100 * done // total
            return f"Fetching {share} % ({human_bytes(done)} of {human_bytes(total)})"
        case FetchProgress(done_bytes=done):
            return f"Fetching ({human_bytes(done)} so far)"
        case FetchWaiting():
            return "Another process fetches the same weights"
        case _:
            return "Fetching starts"


def summarise(seen: Observation, previous: SmallModelStatus, now: str) -> SmallModelStatus:
    """Return the whole status, made anew from what was seen.

    Args:
        seen: What is known now.
        previous: The status before, whose transition times live on where nothing changed.
        now: RFC 3339 time, given to conditions that changed.

    Returns:
        The new status; equal to `previous` where no fact changed.
    """
    verdicts = {kind: judge(seen) for kind, judge in _CHAIN}
    ready = _ready(verdicts)
    stalled = _stalled(verdicts)
    everything = verdicts | {
        ConditionType.READY: ready,
        ConditionType.RECONCILING: _reconciling(ready, stalled),
        ConditionType.STALLED: stalled,
    }
    before = {condition.type: condition for condition in previous.conditions}
    placement = seen.outcome if isinstance(seen.outcome, Placement) else None
    performance = seen.probe.performance if seen.probe else None
    return SmallModelStatus(
        observed_generation=seen.generation,
        conditions=tuple(
            _condition(kind, verdict, before.get(kind), seen.generation, now)
            for kind, verdict in everything.items()
        ),
        url=seen.url,
        replicas=seen.deployment.replicas if seen.deployment else 0,
        engine=placement.option.engine if placement else None,
        variant=placement.option.variant.name if placement else None,
        serving_hash=seen.serving_hash,
        performance=performance or previous.performance,
    )


def _condition(
    kind: ConditionType, verdict: Verdict, before: Condition | None, generation: int, now: str
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
