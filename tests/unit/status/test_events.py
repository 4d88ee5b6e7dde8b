"""Each change is told once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.placements import HASH, answer, deployment, no_answer, placed_status, quarantine
from builders.statuses import status_of
from smallmodel_operator.api.fetch import FetchProgress
from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.events import diff_events

NOTHING = SmallModelStatus()
UNKNOWN = status_of(None, ResolveError(reason=Reason.UNKNOWN_MODEL, message="no such card"))
NO_ROOM = status_of(None, Unplaced(reason=Reason.MEMORY_FIT, message="full", waits=True))
FETCH_1 = status_of(
    placed_status(fetch=FetchProgress(done_bytes=1, total_bytes=9), deployment=None)
)
FETCH_2 = status_of(
    placed_status(fetch=FetchProgress(done_bytes=8, total_bytes=9), deployment=None)
)
DEPLOYED = status_of(placed_status())
READY = status_of(placed_status(probe=answer()))
PARKED = status_of(placed_status(deployment=deployment(replicas=0), probe=answer()))
BROKEN = status_of(placed_status(probe=no_answer(Reason.LOAD_FAILED, "bad magic")))
HELD = status_of(placed_status(deployment=None, quarantine=quarantine()))
DIED = status_of(placed_status(deployment=deployment(failed=True, message="died"), probe=answer()))
LOST = status_of(
    placed_status(
        fetch=FetchProgress(done_bytes=0, total_bytes=9),
        deployment=deployment(engine=EngineState.FAILED, engine_reason=Reason.WEIGHTS_MISSING),
        verified_hash=HASH,
    )
)
NO_KUBERAY = status_of(
    ModelPlacementStatus(problem=Problem(reason=Reason.API_MISSING, message="helm install"))
)

Told = list[tuple[str, str]]
CHANGES: dict[str, tuple[SmallModelStatus, SmallModelStatus, Told]] = {
    "the card is unknown": (NOTHING, UNKNOWN, [("Warning", "UnknownModel")]),
    "there is no room": (NOTHING, NO_ROOM, [("Warning", "MemoryFit")]),
    "weights are fetched": (NOTHING, FETCH_1, [("Normal", "Placed"), ("Normal", "Fetching")]),
    "more of them are there": (FETCH_1, FETCH_2, []),
    "it runs": (FETCH_2, DEPLOYED, [("Normal", "Deployed")]),
    "it answers": (DEPLOYED, READY, [("Normal", "Verified")]),
    "it is parked": (READY, PARKED, []),
    "it wakes": (PARKED, READY, []),
    "it cannot load": (DEPLOYED, BROKEN, [("Warning", "LoadFailed")]),
    "it is put away": (BROKEN, HELD, [("Warning", "Quarantined")]),
    "it dies": (READY, DIED, [("Warning", "DeployFailed")]),
    "it comes back": (DIED, READY, [("Normal", "Deployed")]),
    "its weights are lost, and fetched again": (
        READY,
        LOST,
        [("Normal", "Fetching"), ("Warning", "WeightsMissing")],
    ),
    "KubeRay is missing": (
        NOTHING,
        NO_KUBERAY,
        [("Normal", "Placed"), ("Warning", "ApiMissing")],
    ),
    "nothing happens": (READY, READY, []),
    "nothing is known": (NOTHING, NOTHING, []),
}


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_once(
    before: SmallModelStatus, after: SmallModelStatus, expected: Told
) -> None:
    told = [(event.type, event.reason.value) for event in diff_events(before, after)]
    assert told == expected


def test_an_event_says_what_its_condition_says() -> None:
    (event,) = diff_events(DEPLOYED, BROKEN)
    assert event.message == "bad magic"


STATUSES = [status for change in CHANGES.values() for status in change[:2]]


@given(st.sampled_from(STATUSES), st.sampled_from(STATUSES))
def test_a_reason_is_told_once_and_telling_again_tells_nothing(
    before: SmallModelStatus, after: SmallModelStatus
) -> None:
    reasons = [event.reason for event in diff_events(before, after)]
    assert len(set(reasons)) == len(reasons)
    assert diff_events(after, after) == ()
