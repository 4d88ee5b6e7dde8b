"""One word for people: where a model is on its way, read from its conditions."""

from enum import StrEnum
from typing import Final

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelStatus


class State(StrEnum):
    """The state column of `slm get`."""

    PENDING = "Pending"
    FETCHING = "Fetching"
    STARTING = "Starting"
    VERIFYING = "Verifying"
    READY = "Ready"
    ASLEEP = "Asleep"
    PARKED = "Parked"
    FAILED = "Failed"


_RESTING: Final = {Reason.ASLEEP: State.ASLEEP, Reason.PARKED: State.PARKED}


def find(status: SmallModelStatus, kind: ConditionType) -> Condition | None:
    """Return the condition of that type, or None before it was first judged."""
    return next((c for c in status.conditions if c.type == kind), None)


def is_true(status: SmallModelStatus, kind: ConditionType) -> bool:
    """Return whether the condition is known and True."""
    condition = find(status, kind)
    return condition is not None and condition.status == "True"


def state(status: SmallModelStatus) -> State:
    """Return the word for this status.

    Asleep and Parked models are ready too: a request to them is answered.
    """
    ready = find(status, ConditionType.READY)
    if ready is None:
        return State.PENDING
    reason = Reason(ready.reason)
    if ready.status == "True":
        return _RESTING.get(reason, State.READY)
    if is_true(status, ConditionType.STALLED):
        return State.FAILED
    if reason is Reason.FETCHING:
        return State.FETCHING
    if is_true(status, ConditionType.DEPLOYED) and not is_true(status, ConditionType.VERIFIED):
        return State.VERIFYING
    return State.STARTING if is_true(status, ConditionType.PLACED) else State.PENDING
