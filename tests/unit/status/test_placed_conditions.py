"""The conditions of a ModelPlacement itself."""

import pytest

from builders.placements import NOW, answer, deployment, model_placement, placed_status
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.modelplacement import ModelPlacementStatus
from smallmodel_operator.status.placed import summarise_placement

LATER = "2026-11-24T12:05:00Z"
UP = placed_status(probe=answer())
DIED = placed_status(deployment=deployment(failed=True, message="died"), probe=answer())


def conditions_of(
    status: ModelPlacementStatus, previous: tuple[Condition, ...] = (), now: str = NOW
) -> tuple[Condition, ...]:
    return summarise_placement(model_placement(status), previous, now)


def short(conditions: tuple[Condition, ...]) -> list[tuple[str, str, str]]:
    return [(each.type, each.status, each.reason) for each in conditions]


OWN: dict[str, tuple[ModelPlacementStatus, list[tuple[str, str, str]]]] = {
    "it answers": (
        UP,
        [
            ("Deployed", "True", "Deployed"),
            ("Verified", "True", "Verified"),
            ("Ready", "True", "Awake"),
        ],
    ),
    "it is being fetched": (
        placed_status(fetch=None, deployment=None),
        [
            ("Deployed", "False", "Fetching"),
            ("Verified", "Unknown", "Waiting"),
            ("Ready", "False", "Fetching"),
        ],
    ),
    "it worked once": (
        DIED,
        [
            ("Deployed", "False", "DeployFailed"),
            ("Verified", "True", "Verified"),
            ("Ready", "False", "DeployFailed"),
        ],
    ),
}


@pytest.mark.parametrize(("status", "expected"), OWN.values(), ids=OWN)
def test_a_placement_has_three_conditions_of_its_own(
    status: ModelPlacementStatus, expected: list[tuple[str, str, str]]
) -> None:
    made = conditions_of(status)
    assert short(made) == expected
    assert {each.observed_generation for each in made} == {5}


def test_a_placement_that_did_not_change_keeps_its_conditions() -> None:
    first = conditions_of(UP)
    assert conditions_of(UP, first, LATER) == first


def test_transition_times_of_a_placement_move_with_their_condition_alone() -> None:
    times = [each.last_transition_time for each in conditions_of(DIED, conditions_of(UP), LATER)]
    assert times == [LATER, NOW, LATER]
