"""Observations become conditions that never say more than was seen."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.observations import observation, placed
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress, FetchWaiting
from smallmodel_operator.api.reasons import EXPLANATIONS, Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import Performance, SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.observation import Deployment, Observation, Probe
from smallmodel_operator.status.state import State, find, is_true, state
from smallmodel_operator.status.summarise import MESSAGE_MAX, fetch_message, summarise

NOW = "2026-11-24T12:00:00Z"
LATER = "2026-11-24T12:05:00Z"


def deployed(**changes: Any) -> Deployment:
    known: dict[str, Any] = {"serving_hash": "aaa", "healthy": True, "failed": False, "replicas": 1}
    return Deployment(**(known | changes))


def probed(**changes: Any) -> Probe:
    known: dict[str, Any] = {
        "serving_hash": "aaa",
        "passed": True,
        "reason": Reason.VERIFIED,
        "message": "ok",
    }
    return Probe(**(known | changes))


def up(**changes: Any) -> Observation:
    """A model that is served and verified."""
    ready = observation(deployment=deployed(), probe=probed(), engine=EngineState.AWAKE)
    return dataclasses.replace(ready, **changes)


CASES = {
    "nothing is known yet": (observation(outcome=None), State.PENDING, Reason.PROGRESSING),
    "the weights of a source are on their way": (
        observation(outcome=None, fetch=FetchProgress(done_bytes=1, total_bytes=4)),
        State.FETCHING,
        Reason.FETCHING,
    ),
    "the weights of a source are not to be had": (
        observation(outcome=None, fetch=FetchFailed(reason=Reason.DIGEST_MISMATCH, message="x")),
        State.FAILED,
        Reason.DIGEST_MISMATCH,
    ),
    "the card is unknown": (
        observation(outcome=ResolveError(reason=Reason.UNKNOWN_MODEL, message="no such card")),
        State.FAILED,
        Reason.UNKNOWN_MODEL,
    ),
    "it fits nowhere": (
        observation(outcome=Unplaced(reason=Reason.MEMORY_FIT, message="too large")),
        State.FAILED,
        Reason.MEMORY_FIT,
    ),
    "another process fetches the same weights": (
        observation(fetch=FetchWaiting()),
        State.FETCHING,
        Reason.FETCHING,
    ),
    "the download was refused for good": (
        observation(fetch=FetchFailed(reason=Reason.SECRET_MISSING, message="401")),
        State.FAILED,
        Reason.SECRET_MISSING,
    ),
    "the source is away, which time may mend": (
        observation(fetch=FetchFailed(reason=Reason.SOURCE_UNREACHABLE, message="refused")),
        State.STARTING,
        Reason.SOURCE_UNREACHABLE,
    ),
    "Serve has not been told": (observation(), State.STARTING, Reason.PROGRESSING),
    "Serve was told something older": (
        observation(deployment=deployed(serving_hash="old")),
        State.STARTING,
        Reason.PROGRESSING,
    ),
    "a replica starts": (
        observation(deployment=deployed(healthy=False, replicas=0)),
        State.STARTING,
        Reason.PROGRESSING,
    ),
    "Serve gave up": (
        observation(deployment=deployed(healthy=False, failed=True, message="ImportError")),
        State.FAILED,
        Reason.DEPLOY_FAILED,
    ),
    "no request has been sent": (
        observation(deployment=deployed()),
        State.VERIFYING,
        Reason.WAITING,
    ),
    "the request was refused": (
        up(probe=probed(passed=False, reason=Reason.LOAD_FAILED, message="bad magic")),
        State.FAILED,
        Reason.LOAD_FAILED,
    ),
    "an older revision answered, this one not yet": (
        up(probe=probed(serving_hash="old")),
        State.VERIFYING,
        Reason.WAITING,
    ),
    "it answered and is awake": (up(), State.READY, Reason.AWAKE),
    "it answered and fell asleep": (
        up(engine=EngineState.ASLEEP),
        State.ASLEEP,
        Reason.ASLEEP,
    ),
    "it answered and has no replica": (
        up(deployment=deployed(replicas=0), engine=None),
        State.PARKED,
        Reason.PARKED,
    ),
    "it answered once, and cannot load any more": (
        up(engine=EngineState.FAILED, engine_message="WeightsMissing"),
        State.FAILED,
        Reason.LOAD_FAILED,
    ),
    "it answered once, and Serve gave up since": (
        up(deployment=deployed(failed=True, message="died")),
        State.FAILED,
        Reason.DEPLOY_FAILED,
    ),
}


@pytest.mark.parametrize(("seen", "word", "reason"), CASES.values(), ids=CASES.keys())
def test_a_status_gives_one_word_and_one_reason(
    seen: Observation, word: State, reason: Reason
) -> None:
    status = summarise(seen, SmallModelStatus(), NOW)
    ready = find(status, ConditionType.READY)
    assert ready is not None
    assert (state(status), Reason(ready.reason)) == (word, reason)


@pytest.mark.parametrize("seen", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_kstatus_rules_hold_in_every_state(seen: Observation) -> None:
    status = summarise(seen, SmallModelStatus(), NOW)
    ready, reconciling, stalled = (
        is_true(status, kind)
        for kind in (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
    )
    assert [ready, reconciling, stalled].count(True) == 1
    assert {condition.observed_generation for condition in status.conditions} == {seen.generation}
    assert {Reason(condition.reason) for condition in status.conditions} <= set(EXPLANATIONS)


def test_a_revision_that_is_not_verified_leaves_the_one_before_available() -> None:
    status = summarise(up(probe=probed(serving_hash="old")), SmallModelStatus(), NOW)
    assert is_true(status, ConditionType.AVAILABLE)
    assert not is_true(status, ConditionType.READY)


def test_a_model_whose_application_vanished_is_not_available() -> None:
    status = summarise(up(deployment=None), SmallModelStatus(), NOW)
    available = find(status, ConditionType.AVAILABLE)
    assert available is not None
    assert available.message == "The application is not there"


def test_transition_times_move_only_when_a_status_changes() -> None:
    first = summarise(observation(deployment=deployed()), SmallModelStatus(), NOW)
    second = summarise(up(), first, LATER)
    times = {condition.type: condition.last_transition_time for condition in second.conditions}
    assert times[ConditionType.DEPLOYED] == NOW
    assert times[ConditionType.READY] == LATER


@given(st.sampled_from([case[0] for case in CASES.values()]))
def test_looking_twice_at_the_same_world_changes_nothing(seen: Observation) -> None:
    first = summarise(seen, SmallModelStatus(), NOW)
    assert summarise(seen, first, LATER) == first


def test_performance_outlives_a_probe_that_failed() -> None:
    performance = Performance(time_to_first_token_seconds=0.1, tokens_per_second=90.0)
    first = summarise(up(probe=probed(performance=performance)), SmallModelStatus(), NOW)
    second = summarise(up(probe=probed(passed=False)), first, LATER)
    assert second.performance == performance


def test_a_long_message_loses_its_tail() -> None:
    error = ResolveError(reason=Reason.UNKNOWN_MODEL, message="head " + "x" * 5000)
    resolved = find(
        summarise(observation(outcome=error), SmallModelStatus(), NOW), ConditionType.RESOLVED
    )
    assert resolved is not None
    assert resolved.message.startswith("head ")
    assert len(resolved.message) == MESSAGE_MAX


FETCHES = {
    "Fetching starts": None,
    "Another process fetches the same weights": FetchWaiting(),
    "Fetching (1.0 MiB so far)": FetchProgress(done_bytes=2**20, total_bytes=None),
    "Fetching 25 % (1.0 MiB of 4.0 MiB)": FetchProgress(done_bytes=2**20, total_bytes=2**22),
}


@pytest.mark.parametrize(("words", "event"), FETCHES.items())
def test_a_download_says_how_far_it_is(
    words: str, event: FetchProgress | FetchWaiting | None
) -> None:
    assert fetch_message(event) == words


def test_the_status_names_what_was_chosen() -> None:
    status = summarise(up(), SmallModelStatus(), NOW)
    option = placed().option
    assert (status.engine, status.variant) == (option.engine, option.variant.name)
    assert state(SmallModelStatus()) is State.PENDING
