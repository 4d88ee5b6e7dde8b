"""A ModelPlacement's facts become its conditions, and its SmallModel's whole status."""

from typing import Any

import pytest

from builders.placements import (
    HASH,
    LATER_POOL,
    OLD_HASH,
    POOL,
    answer,
    deployment,
    model_placement,
    no_answer,
    placed_status,
    quarantine,
)
from builders.statuses import URL, message, model, said, status_of
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress
from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import Copy, Engine, SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.placed import observation_of
from smallmodel_operator.status.state import State, state
from smallmodel_operator.status.summarise import summarise


def problem(reason: Reason, words: str = "do this") -> Problem:
    return Problem(reason=reason, message=words)


def engine_does(engine: EngineState, **changes: Any) -> ModelPlacementStatus:
    """Verified, one replica, and its engine in that state."""
    seen = deployment(engine=engine, engine_message="no room", **changes)
    return placed_status(deployment=seen, probe=answer())


LOST = placed_status(
    fetch=FetchProgress(done_bytes=0, total_bytes=None),
    deployment=deployment(
        engine=EngineState.FAILED, engine_reason=Reason.WEIGHTS_MISSING, engine_message="gone"
    ),
    verified_hash=HASH,
)
PARKED = placed_status(deployment=deployment(replicas=0), probe=answer())
UP = placed_status(probe=answer())
LATER = "2026-11-24T12:05:00Z"
NO_SUCH_CARD = ResolveError(reason=Reason.UNKNOWN_MODEL, message="no such card")
FULL = Unplaced(reason=Reason.MEMORY_FIT, message="no room now", waits=True)
TOO_LARGE = Unplaced(reason=Reason.MEMORY_FIT, message="too large")
FETCHING = FetchProgress(done_bytes=2**20, total_bytes=2**22)

# What is known, the word for it, Ready's reason, whether a person must act, what the message holds.
Case = tuple[SmallModelStatus, State, Reason, bool, str]
CASES: dict[str, Case] = {
    "nothing is decided yet": (
        status_of(None),
        State.PENDING,
        Reason.PROGRESSING,
        False,
        "being looked up",
    ),
    "a source is being inspected": (
        status_of(None, fetch=FETCHING),
        State.FETCHING,
        Reason.FETCHING,
        False,
        "Fetching 25 %",
    ),
    "the card is unknown": (
        status_of(None, NO_SUCH_CARD),
        State.FAILED,
        Reason.UNKNOWN_MODEL,
        True,
        "Resolved: no such card",
    ),
    "it fits nowhere": (status_of(None, TOO_LARGE), State.FAILED, Reason.MEMORY_FIT, True, "large"),
    "there is no room now": (
        status_of(None, FULL),
        State.PENDING,
        Reason.MEMORY_FIT,
        False,
        "Placed: no room now",
    ),
    "nobody has looked at the cluster": (
        status_of(None, Unplaced(reason=Reason.CLUSTER_NOT_OBSERVED, message="not read yet")),
        State.PENDING,
        Reason.CLUSTER_NOT_OBSERVED,
        False,
        "not read yet",
    ),
    "all devices are taken": (
        status_of(None, Unplaced(reason=Reason.ACCELERATOR_CAPACITY, message="0 of 4 free")),
        State.PENDING,
        Reason.ACCELERATOR_CAPACITY,
        False,
        "0 of 4 free",
    ),
    "the serving side has not looked": (
        status_of(ModelPlacementStatus()),
        State.FETCHING,
        Reason.FETCHING,
        False,
        "Deployed: Fetching starts",
    ),
    "weights are on their way": (
        status_of(placed_status(fetch=FETCHING, deployment=None, serving_hash=None)),
        State.FETCHING,
        Reason.FETCHING,
        False,
        "Fetching 25 % (1.0 MiB of 4.0 MiB)",
    ),
    "a secret is missing": (
        status_of(
            placed_status(
                fetch=FetchFailed(reason=Reason.SECRET_MISSING, message="no Secret hf"),
                deployment=None,
            )
        ),
        State.FAILED,
        Reason.SECRET_MISSING,
        True,
        "no Secret hf",
    ),
    "KubeRay is missing": (
        status_of(ModelPlacementStatus(problem=problem(Reason.API_MISSING, "helm install"))),
        State.FAILED,
        Reason.API_MISSING,
        True,
        "helm install",
    ),
    "a foreign object has the name": (
        status_of(ModelPlacementStatus(problem=problem(Reason.NAME_CONFLICT))),
        State.FAILED,
        Reason.NAME_CONFLICT,
        True,
        "do this",
    ),
    "the namespace ends": (
        status_of(ModelPlacementStatus(problem=problem(Reason.NAMESPACE_ENDING))),
        State.STARTING,
        Reason.NAMESPACE_ENDING,
        False,
        "do this",
    ),
    "the pool starts": (
        status_of(placed_status(problem=problem(Reason.POOL_STARTING), deployment=None)),
        State.STARTING,
        Reason.POOL_STARTING,
        False,
        "do this",
    ),
    "an upgrade waits, and its application is not there yet": (
        status_of(placed_status(problem=problem(Reason.UPGRADE_WAITING), deployment=None)),
        State.STARTING,
        Reason.PROGRESSING,
        False,
        "being submitted",
    ),
    "the pool's image cannot be pulled": (
        status_of(placed_status(problem=problem(Reason.IMAGE_PULL_FAILED), deployment=None)),
        State.FAILED,
        Reason.IMAGE_PULL_FAILED,
        True,
        "do this",
    ),
    "one more worker's image cannot be pulled": (
        status_of(placed_status(problem=problem(Reason.IMAGE_PULL_FAILED), probe=answer())),
        State.READY,
        Reason.AWAKE,
        False,
        "A verified revision answers",
    ),
    "the pool may not be asked": (
        status_of(placed_status(problem=problem(Reason.FORBIDDEN), deployment=None)),
        State.FAILED,
        Reason.FORBIDDEN,
        True,
        "do this",
    ),
    "the pool may not be asked any more": (
        status_of(placed_status(problem=problem(Reason.FORBIDDEN), probe=answer())),
        State.READY,
        Reason.AWAKE,
        False,
        "A verified revision answers",
    ),
    "the pool starts while weights come": (
        status_of(placed_status(problem=problem(Reason.POOL_STARTING), fetch=FETCHING)),
        State.FETCHING,
        Reason.FETCHING,
        False,
        "Fetching 25 %",
    ),
    "it is being added": (
        status_of(placed_status(deployment=None)),
        State.STARTING,
        Reason.PROGRESSING,
        False,
        "being submitted",
    ),
    "it waits for its first answer": (
        status_of(placed_status()),
        State.VERIFYING,
        Reason.WAITING,
        False,
        "Verified: No request",
    ),
    "the first answer is tried again": (
        status_of(placed_status(probe=no_answer(Reason.START_TIMEOUT, "no replica in 60 s"))),
        State.VERIFYING,
        Reason.START_TIMEOUT,
        False,
        "no replica in 60 s",
    ),
    "it cannot load": (
        status_of(placed_status(probe=no_answer(Reason.LOAD_FAILED, "bad magic"))),
        State.FAILED,
        Reason.LOAD_FAILED,
        True,
        "bad magic",
    ),
    "it is in quarantine": (
        status_of(placed_status(deployment=None, quarantine=quarantine())),
        State.FAILED,
        Reason.QUARANTINED,
        True,
        "Tried 2 times, and out of its pool until 2026-11-24T12:05:00Z",
    ),
    "an earlier revision was in quarantine": (
        status_of(placed_status(quarantine=quarantine(serving_hash=OLD_HASH))),
        State.VERIFYING,
        Reason.WAITING,
        False,
        "Verified",
    ),
    "it answers": (status_of(UP), State.READY, Reason.AWAKE, False, ""),
    "its weights were lost, and are fetched again": (
        status_of(LOST),
        State.FETCHING,
        Reason.FETCHING,
        False,
        "so far",
    ),
    "it sleeps": (
        status_of(engine_does(EngineState.ASLEEP)),
        State.ASLEEP,
        Reason.ASLEEP,
        False,
        "wakes it",
    ),
    "it wakes": (
        status_of(engine_does(EngineState.LOADING)),
        State.READY,
        Reason.AWAKE,
        False,
        "",
    ),
    "it did not wake, and the next request tries again": (
        status_of(engine_does(EngineState.FAILED, engine_reason=Reason.MEMORY_FIT)),
        State.STARTING,
        Reason.MEMORY_FIT,
        False,
        "no room",
    ),
    "its engine failed without a word": (
        status_of(engine_does(EngineState.FAILED)),
        State.STARTING,
        Reason.LOAD_FAILED,
        False,
        "no room",
    ),
    "it sleeps, and the new spec is refused": (
        status_of(engine_does(EngineState.ASLEEP), NO_SUCH_CARD),
        State.FAILED,
        Reason.UNKNOWN_MODEL,
        True,
        "no such card",
    ),
    "it is parked": (status_of(PARKED), State.PARKED, Reason.PARKED, False, "next request"),
    "it answers, and its pool's upgrade waits": (
        status_of(placed_status(probe=answer(), problem=problem(Reason.UPGRADE_WAITING))),
        State.READY,
        Reason.AWAKE,
        False,
        "",
    ),
    "it worked once and Serve heals it": (
        status_of(
            placed_status(deployment=deployment(failed=True, message="died"), probe=answer())
        ),
        State.STARTING,
        Reason.DEPLOY_FAILED,
        False,
        "died",
    ),
}


@pytest.mark.parametrize(("status", "word", "reason", "stalled", "part"), CASES.values(), ids=CASES)
def test_a_status_says_how_far_the_model_is_and_who_has_to_act(
    status: SmallModelStatus, word: State, reason: Reason, stalled: bool, part: str
) -> None:
    assert said(status, ConditionType.READY)[1] == reason
    assert state(status) is word
    assert (said(status, ConditionType.STALLED)[0] == "True") is stalled
    assert part in message(status)


@pytest.mark.parametrize("status", [case[0] for case in CASES.values()], ids=CASES)
def test_exactly_one_of_ready_reconciling_and_stalled_is_true(status: SmallModelStatus) -> None:
    kinds = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
    assert [said(status, kind)[0] for kind in kinds].count("True") == 1


def test_the_status_shows_what_runs_where() -> None:
    status = status_of(UP)

    assert (status.engine, status.variant, status.replicas) == (Engine.LLAMA_CPP, "q4_1", 1)
    assert (status.serving_hash, status.url) == (HASH, URL)
    assert status.performance == answer().performance
    assert status.copies == (
        Copy(
            cluster="local",
            engine=Engine.LLAMA_CPP,
            variant="q4_1",
            serving_hash=HASH,
            pool=POOL,
            replicas=1,
        ),
    )
    assert message(status, ConditionType.PLACED).startswith("The variant q4_1 runs")


def test_an_upgrade_that_waits_is_told_by_deployed() -> None:
    status = status_of(placed_status(probe=answer(), problem=problem(Reason.UPGRADE_WAITING)))
    assert said(status, ConditionType.DEPLOYED) == ("True", Reason.UPGRADE_WAITING)


def test_a_cluster_that_does_not_answer_makes_nothing_false() -> None:
    unseen = placed_status(probe=answer(), problem=problem(Reason.CLUSTER_NOT_OBSERVED))
    status = status_of(unseen)
    assert said(status, ConditionType.DEPLOYED) == ("Unknown", Reason.CLUSTER_NOT_OBSERVED)
    assert said(status, ConditionType.AVAILABLE)[0] == "True"


REFUSALS = {"the card is unknown": NO_SUCH_CARD, "no room": FULL, "too large": TOO_LARGE}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_what_answered_before_goes_on_while_the_new_spec_is_refused(
    refusal: ResolveError | Unplaced,
) -> None:
    status = status_of(UP, refusal)

    assert said(status, ConditionType.AVAILABLE) == ("True", Reason.AWAKE)
    assert said(status, ConditionType.READY) == ("False", refusal.reason)
    assert said(status, ConditionType.VERIFIED)[0] == "Unknown"
    assert (status.engine, status.variant, status.serving_hash) == (Engine.LLAMA_CPP, "q4_1", HASH)
    assert status.observed_generation == 3


def test_without_any_placement_nothing_is_chosen() -> None:
    status = status_of(None, NO_SUCH_CARD)
    assert (status.engine, status.variant, status.serving_hash) == (None, None, None)
    assert status.copies == ()


MOVING = placed_status(
    pool=POOL,
    moving_to=LATER_POOL,
    deployment=deployment(serving_hash=OLD_HASH),
    probe=no_answer(Reason.START_TIMEOUT, "no replica in 60 s"),
)


def test_a_move_leaves_the_model_available_though_the_new_pool_has_not_answered() -> None:
    before = status_of(
        placed_status(
            serving_hash=OLD_HASH,
            deployment=deployment(serving_hash=OLD_HASH),
            probe=answer(serving_hash=OLD_HASH),
        )
    )
    status = status_of(MOVING, previous=before, now=LATER)

    assert said(status, ConditionType.AVAILABLE) == ("True", Reason.AWAKE)
    assert said(status, ConditionType.READY)[0] == "False"
    assert LATER_POOL in message(status, ConditionType.DEPLOYED)
    again = status_of(MOVING, previous=status, now=LATER)
    assert again == status


def test_what_answered_once_says_why_it_does_not_now_though_it_is_asked_anew() -> None:
    assert said(status_of(LOST), ConditionType.AVAILABLE) == ("False", Reason.WEIGHTS_MISSING)
    awake = LOST.model_copy(update={"deployment": deployment(engine=EngineState.AWAKE)})
    assert said(status_of(awake), ConditionType.AVAILABLE) == ("True", Reason.AWAKE)
    replaced = awake.model_copy(update={"verified_hash": OLD_HASH})
    assert said(status_of(replaced), ConditionType.AVAILABLE) == ("False", Reason.WAITING)


def test_nothing_is_called_available_that_was_never_verified() -> None:
    status = status_of(MOVING)
    assert said(status, ConditionType.AVAILABLE) == ("False", Reason.WAITING)


def test_a_revision_that_replaced_the_verified_one_in_place_is_not_taken_for_it() -> None:
    before = status_of(
        placed_status(serving_hash=OLD_HASH, deployment=deployment(serving_hash=OLD_HASH),
                      probe=answer(serving_hash=OLD_HASH))
    )  # fmt: skip
    broken = placed_status(probe=no_answer(Reason.LOAD_FAILED, "bad magic"))
    status = status_of(broken, previous=before)
    assert said(status, ConditionType.AVAILABLE)[0] == "False"


def test_an_application_that_is_gone_comes_back_by_itself() -> None:
    status = status_of(placed_status(deployment=None, probe=answer()))
    assert said(status, ConditionType.AVAILABLE) == ("False", Reason.DEPLOY_FAILED)
    assert said(status, ConditionType.STALLED)[0] == "False"


@pytest.mark.parametrize("generation", [6, 0], ids=["applied", "not yet applied"])
def test_until_the_serving_side_took_a_decision_the_status_speaks_of_the_one_before(
    generation: int,
) -> None:
    before = status_of(UP)
    changed = model(generation=4)
    seen = observation_of(changed, model_placement(UP, generation=generation), url=URL)
    status = summarise(seen, before, LATER)

    assert status.observed_generation == 3
    generations = {c.type: c.observed_generation for c in status.conditions}
    assert generations["Resolved"] == generations["Placed"] == 4
    assert generations["Ready"] == generations["Verified"] == 3
    assert said(status, ConditionType.READY)[0] == "True"


def test_a_first_decision_is_judged_though_nobody_looked_yet() -> None:
    status = status_of(ModelPlacementStatus(), generation=1)
    assert status.observed_generation == 3
