"""What each condition of a model says of an observation, one function for each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress, FetchWaiting
from smallmodel_operator.api.meta import ConditionStatus
from smallmodel_operator.api.modelplacement import Quarantine
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.status.observation import Deployment, Observation, Pinned

_TRANSIENT: Final = frozenset({Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL, Reason.ENGINE_DIED})
"""Reasons that time alone can mend, so the model is not stalled."""

_IN_PROGRESS: Final = frozenset(
    {
        Reason.PROGRESSING,
        Reason.WAITING,
        Reason.FETCHING,
        Reason.POOL_STARTING,
        Reason.UPGRADE_WAITING,
        Reason.ACCELERATOR_CAPACITY,
        Reason.CLUSTER_NOT_OBSERVED,
        Reason.NAMESPACE_ENDING,
    }
)

_NO_USE_REPEATING: Final = frozenset(
    {Reason.LOAD_FAILED, Reason.DEPLOY_FAILED, Reason.WEIGHTS_MISSING}
)
"""What a verifying request says of a revision that will not come up as it is."""

_HOLDS_NEW_ONES: Final = frozenset({Reason.IMAGE_PULL_FAILED, Reason.FORBIDDEN})
"""Problems for which what does not run yet will not, until somebody acts."""

_LETS_GO_ON: Final = _HOLDS_NEW_ONES | {Reason.POOL_STARTING, Reason.UPGRADE_WAITING}
"""Problems during which the weights are fetched, and what runs goes on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says."""

    status: ConditionStatus
    reason: Reason
    message: str
    waits: bool = False
    """True: it mends by itself, whatever its reason usually means."""

    @property
    def needs_a_person(self) -> bool:
        """Whether nothing goes on until somebody acts."""
        return self.status == "False" and not self.waits and needs_a_person(self.reason)


Judge = Callable[[Observation], Verdict]


def resolved(seen: Observation) -> Verdict:
    """Judge whether card, licence, engine and sizes are known."""
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


def placed(seen: Observation) -> Verdict:
    """Judge whether it is chosen where the model runs."""
    lacking = seen.lacking
    if lacking is not None:
        return Verdict("False", lacking.reason, lacking.message, waits=lacking.waits)
    match seen.outcome:
        case Placement(message=message) | Pinned(message=message) if seen.remark is not None:
            reason, remark = seen.remark
            return Verdict("True", reason, f"{remark} {message}")
        case Placement(message=message) | Pinned(message=message):
            return Verdict("True", Reason.PLACED, message)
        case Unplaced(reason=reason, message=message, waits=waits):
            return Verdict("False", reason, message, waits=waits)
        case _:
            return Verdict("Unknown", Reason.WAITING, "Waits for Resolved")


def deployed(seen: Observation) -> Verdict:
    """Judge whether what the spec asks for runs in its pool."""
    if not isinstance(seen.outcome, Placement | Pinned):
        return Verdict("Unknown", Reason.WAITING, "Waits for Placed")
    problem = seen.problem
    if problem is not None and problem.reason not in _LETS_GO_ON:
        unknown = problem.reason is Reason.CLUSTER_NOT_OBSERVED
        return Verdict("Unknown" if unknown else "False", problem.reason, problem.message)
    match seen.fetch:
        case FetchFailed(reason=reason, message=message):
            return Verdict("False", reason, message)
        case FetchProgress() | FetchWaiting() | None:
            return Verdict("False", Reason.FETCHING, fetch_message(seen.fetch))
        case _:
            return _deployed_in_pool(seen)


def _deployed_in_pool(seen: Observation) -> Verdict:
    quarantine, problem = seen.quarantine, seen.problem
    if quarantine is not None and quarantine.serving_hash == seen.serving_hash:
        return Verdict("False", Reason.QUARANTINED, _quarantined(quarantine))
    if problem is not None and problem.reason is Reason.POOL_STARTING:
        return Verdict("False", Reason.POOL_STARTING, problem.message)
    verdict = _deployed_by_serve(seen)
    if problem is None:
        return verdict
    if verdict.status == "True" or problem.reason in _HOLDS_NEW_ONES:
        return Verdict(verdict.status, problem.reason, problem.message)
    return verdict


def _quarantined(quarantine: Quarantine) -> str:
    times = "once" if quarantine.attempts == 1 else f"{quarantine.attempts} times"
    return (
        f"Tried {times}, and out of its pool until {quarantine.until}, when it is tried again; a "
        f"change of the spec is tried at once. {quarantine.reason}: {quarantine.message}"
    )


def _deployed_by_serve(seen: Observation) -> Verdict:
    deployment = seen.deployment
    if deployment is None or deployment.serving_hash != seen.serving_hash:
        return Verdict("False", Reason.PROGRESSING, _on_its_way(seen))
    if deployment.failed:
        return _deploy_failed(seen, deployment)
    if not deployment.healthy:
        return Verdict("False", Reason.PROGRESSING, deployment.message or "A replica is starting")
    return Verdict("True", Reason.DEPLOYED, f"Serving hash {deployment.serving_hash} runs")


def _on_its_way(seen: Observation) -> str:
    if seen.moving_to:
        return f"It is being added to the pool {seen.moving_to}; the pool before goes on meanwhile"
    return "The application is being submitted"


def _deploy_failed(seen: Observation, deployment: Deployment) -> Verdict:
    return Verdict("False", Reason.DEPLOY_FAILED, deployment.message, waits=seen.looked_after)


def verified(seen: Observation) -> Verdict:
    """Judge whether what the spec asks for has answered."""
    probe = seen.probe
    if probe is None or probe.serving_hash != seen.serving_hash:
        return Verdict("Unknown", Reason.WAITING, "No request has verified this serving hash yet")
    repeated = seen.looked_after and probe.reason not in _NO_USE_REPEATING
    status: ConditionStatus = "True" if probe.passed else "False"
    return Verdict(status, probe.reason, probe.message, waits=repeated)


def available(seen: Observation) -> Verdict:
    """Judge whether any verified revision answers now."""
    probe, deployment = seen.probe, seen.deployment
    if not seen.answered_before and (probe is None or not probe.passed):
        return Verdict("False", Reason.WAITING, "No revision has been verified yet")
    if deployment is None:
        message = "The application is not there"
        return Verdict("False", Reason.DEPLOY_FAILED, message, waits=seen.looked_after)
    if deployment.failed:
        return _deploy_failed(seen, deployment)
    if seen.engine is EngineState.FAILED:
        # What once loaded is loaded anew by the next request.
        reason = seen.engine_reason or Reason.LOAD_FAILED
        return Verdict("False", reason, seen.engine_message, waits=seen.looked_after)
    if deployment.replicas == 0:
        return Verdict("True", Reason.PARKED, "No replica; the next request starts one")
    if seen.engine is EngineState.ASLEEP:
        return Verdict("True", Reason.ASLEEP, "Weights are out of memory; a request wakes it")
    return Verdict("True", Reason.AWAKE, "A verified revision answers")


CHAIN: Final[tuple[tuple[ConditionType, Judge], ...]] = (
    (ConditionType.RESOLVED, resolved),
    (ConditionType.PLACED, placed),
    (ConditionType.DEPLOYED, deployed),
    (ConditionType.VERIFIED, verified),
    (ConditionType.AVAILABLE, available),
)
"""In the order in which a model gets there: the first that is not True explains the rest."""


def over_copies(kind: ConditionType, judge: Judge, seen: Observation) -> Verdict:
    """Judge a model by its copies: as many as it asks for have to be so, or any to be available."""
    if not seen.others or kind in (ConditionType.RESOLVED, ConditionType.PLACED):
        return judge(seen)
    copies = (seen, *seen.others)
    judged = [(one, _behind(one) or judge(one)) for one in copies]
    good = [verdict for _, verdict in judged if verdict.status == "True"]
    needed = 1 if kind is ConditionType.AVAILABLE else min(seen.asked, len(copies))
    if len(good) >= needed:
        return good[0]
    one, bad = next(pair for pair in judged if pair[1].status != "True")
    return replace(bad, message=f"{len(good)} of {needed} copies; {one.cluster}: {bad.message}")


def _behind(seen: Observation) -> Verdict | None:
    """Return what is said of one copy of several whose cluster has an older decision."""
    if not seen.behind:
        return None
    return Verdict("Unknown", Reason.WAITING, "It has not taken the last decision yet")


def ready(verdicts: dict[ConditionType, Verdict]) -> Verdict:
    """Judge by the others, which are in the order of the chain and end with Available."""
    for kind, verdict in verdicts.items():
        if verdict.status != "True":
            return Verdict("False", verdict.reason, f"{kind}: {verdict.message}")
    return verdicts[ConditionType.AVAILABLE]


def stalled(verdicts: dict[ConditionType, Verdict]) -> Verdict:
    """Judge whether a person has to act on any of the others."""
    for verdict in verdicts.values():
        if verdict.needs_a_person:
            return Verdict("True", verdict.reason, verdict.message)
    return Verdict("False", Reason.NOTHING_TO_DO, "")


def reconciling(is_ready: Verdict, is_stalled: Verdict) -> Verdict:
    """Judge whether work goes on: what is neither ready nor stalled is on its way."""
    if is_ready.status == "True" or is_stalled.status == "True":
        return Verdict("False", Reason.NOTHING_TO_DO, "")
    return Verdict("True", is_ready.reason, is_ready.message)


def needs_a_person(reason: Reason) -> bool:
    """Return whether nothing usually goes on until somebody acts."""
    return reason not in _IN_PROGRESS and reason not in _TRANSIENT


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
