"""How the hub and a cluster get on, from what came of asking the cluster again and again.

Every `PERIOD_SECONDS` the hub reads and writes something small in the cluster: a canary. One bad
canary changes nothing, and one good one mends nothing:

* A cluster is lost after `IN_A_ROW` canaries in a row that failed, which is 30 s.
* It is back after as many that did not.
* It is degraded when `IN_A_ROW` of the last `WINDOW` canaries failed or took more than
  `SLOW_SECONDS`, and no longer so after `WINDOW` good ones in a row, which is a minute.

Only the first canary of a cluster is believed at once. Counting starts anew with the process, and
the state does not: a hub that was restarted goes on from what the status says.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from smallmodel_operator.api.modelcluster import ClusterLink, LinkState
from smallmodel_operator.api.reasons import Reason

PERIOD_SECONDS: Final = 10.0
SLOW_SECONDS: Final = 2.0
IN_A_ROW: Final = 3
WINDOW: Final = 6

USABLE: Final = frozenset({LinkState.CONNECTED, LinkState.DEGRADED})
"""States in which the hub works on the cluster."""
DECIDED_FOR: Final = USABLE | {LinkState.BUNDLED}
"""States in which new copies may be placed on it."""
_MESSAGE_MAX: Final = 1024
_DEGRADED: Final = (
    f"At least {IN_A_ROW} of the last {WINDOW} reads and writes failed or took more than "
    f"{SLOW_SECONDS:g} s; the hub goes on. Look at the line to the cluster and at the load of its "
    "API server"
)
_CONNECTED: Final = "The hub reads and writes there"
_BEATS_LACK: Final = (
    f"At least {IN_A_ROW} of the last {WINDOW} times the hub looked, a heartbeat of the cluster's "
    "agent was overdue; the hub goes on. Look at the line from the cluster and at the agent's log"
)
_HEARD: Final = "The cluster's agent calls the hub"


@dataclass(frozen=True, slots=True)
class Failure:
    """What kept a canary from being done."""

    state: LinkState
    """Unreachable or CredentialError: what it means when it lasts."""
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One read and one write of the cluster."""

    seconds: float = 0.0
    """How long both took together."""
    cluster_uid: str | None = None
    """Of the cluster that answered, as far as it said."""
    jurisdiction: str | None = None
    """As the cluster's own administrator wrote it on the operator's namespace there."""
    failure: Failure | None = None
    """None: they were done."""
    by_agent: bool = False
    """It is what the hub heard of the cluster's agent; it called nobody."""


class _Mark(StrEnum):
    GOOD = "good"
    SLOW = "slow"
    SILENT = "silent"
    REFUSED = "refused"


_FAILED: Final = {_Mark.SILENT: LinkState.UNREACHABLE, _Mark.REFUSED: LinkState.CREDENTIAL_ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is remembered of a cluster's canaries."""

    link: ClusterLink | None = None
    """As the status has it; None: no canary was ever sent."""
    marks: tuple[_Mark, ...] = ()
    """Of the last canaries, since the state began."""
    last_contact: str | None = None
    """When the cluster answered last."""

    @property
    def is_usable(self) -> bool:
        """Whether the hub works on the cluster."""
        return self.link is not None and self.link.state in USABLE


def recalled(link: ClusterLink | None) -> History:
    """Return what a hub that starts knows of a cluster by its status."""
    return History(link=link, last_contact=link.last_contact if link else None)


def follow(before: History, canary: Canary, now: str) -> History:
    """Return the history with one more canary in it.

    Its `link` is the same as before where nothing changed that is worth writing down.
    """
    mark = _mark(canary)
    marks = (*before.marks, mark)[-WINDOW:]
    contact = before.last_contact if mark in _FAILED else now
    state = _state(before.link.state if before.link else None, marks)
    history = replace(before, marks=marks, last_contact=contact)
    if before.link is None or state is not before.link.state:
        # What proved the new state is remembered, and nothing that spoke for the one before.
        return replace(
            history, marks=marks[-IN_A_ROW:], link=_begun(before.link, state, canary, contact, now)
        )
    return replace(history, link=_continued(before.link, canary))


def _begun(
    before: ClusterLink | None, state: LinkState, canary: Canary, contact: str | None, now: str
) -> ClusterLink:
    reason, message = _why(state, canary)
    known = before.cluster_uid if before else None
    return ClusterLink(
        state=state,
        since=now,
        last_contact=contact,
        reason=reason,
        message=message,
        cluster_uid=canary.cluster_uid or known,
    )


def _continued(link: ClusterLink, canary: Canary) -> ClusterLink:
    if canary.failure is None:
        uid = canary.cluster_uid or link.cluster_uid
        return link if uid == link.cluster_uid else link.model_copy(update={"cluster_uid": uid})
    if canary.failure.state is link.state and canary.failure.reason is not link.reason:
        # Words alone vary from one canary to the next, and are not written each time.
        reason, message = _why(link.state, canary)
        return link.model_copy(update={"reason": reason, "message": message})
    return link


def _why(state: LinkState, canary: Canary) -> tuple[Reason, str]:
    if state is LinkState.CONNECTED:
        return Reason.CONNECTED, _HEARD if canary.by_agent else _CONNECTED
    if canary.failure is None or state is LinkState.DEGRADED:
        return Reason.DEGRADED, _BEATS_LACK if canary.by_agent else _DEGRADED
    message = canary.failure.message
    bounded = message if len(message) <= _MESSAGE_MAX else f"{message[: _MESSAGE_MAX - 1]}…"
    return canary.failure.reason, bounded


def _mark(canary: Canary) -> _Mark:
    if canary.failure is not None:
        refused = canary.failure.state is LinkState.CREDENTIAL_ERROR
        return _Mark.REFUSED if refused else _Mark.SILENT
    return _Mark.SLOW if canary.seconds > SLOW_SECONDS else _Mark.GOOD


def _state(before: LinkState | None, marks: tuple[_Mark, ...]) -> LinkState:
    last = marks[-IN_A_ROW:]
    failed = _FAILED.get(last[-1])
    if before is None:
        return failed or LinkState.CONNECTED
    proved = len(last) == IN_A_ROW
    if before not in USABLE:
        if not proved:
            return before
        if not any(mark in _FAILED for mark in last):
            return LinkState.DEGRADED if set(last) == {_Mark.SLOW} else LinkState.CONNECTED
        return failed if failed is not None and len(set(last)) == 1 else before
    if proved and failed is not None and all(mark in _FAILED for mark in last):
        return failed
    bad = sum(mark is not _Mark.GOOD for mark in marks)
    if bad >= IN_A_ROW:
        return LinkState.DEGRADED
    if before is LinkState.DEGRADED and bad == 0 and len(marks) == WINDOW:
        return LinkState.CONNECTED
    return before
