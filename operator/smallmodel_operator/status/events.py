"""What changed between two statuses of a SmallModel, as Kubernetes events."""

from dataclasses import dataclass
from typing import Final, Literal

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.status.state import find

_TOLD: Final = (
    ConditionType.RESOLVED,
    ConditionType.PLACED,
    ConditionType.DEPLOYED,
    ConditionType.VERIFIED,
    ConditionType.AVAILABLE,
)
"""The others repeat what these say."""

_QUIET: Final = frozenset(
    {
        Reason.WAITING,
        Reason.PROGRESSING,
        Reason.RESOLVED,
        Reason.AWAKE,
        Reason.ASLEEP,
        Reason.PARKED,
    }
)
"""Steps that every model takes, and the daily coming and going of replicas."""

_ON_ITS_WAY: Final = frozenset({Reason.FETCHING, Reason.POOL_STARTING, Reason.NAMESPACE_ENDING})
"""Not so yet, and nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event to record on a SmallModel."""

    type: Literal["Normal", "Warning"]
    reason: Reason
    message: str


def diff_events(before: SmallModelStatus, after: SmallModelStatus) -> tuple[Event, ...]:
    """Return an event for each condition that says something new, in the order of the chain.

    A message that changes alone, as while weights are fetched, is no event. One reason is told
    once, though several conditions may carry it.
    """
    told: dict[Reason, Event] = {}
    for kind in _TOLD:
        was, now = find(before, kind), find(after, kind)
        if now is None or not _is_news(was, now):
            continue
        event = _event(now)
        told.setdefault(event.reason, event)
    return tuple(told.values())


def _is_news(was: Condition | None, now: Condition) -> bool:
    if was is not None and (was.status, was.reason) == (now.status, now.reason):
        return False
    return Reason(now.reason) not in _QUIET


def _event(condition: Condition) -> Event:
    reason = Reason(condition.reason)
    is_bad = condition.status == "False" and reason not in _ON_ITS_WAY
    return Event(type="Warning" if is_bad else "Normal", reason=reason, message=condition.message)
