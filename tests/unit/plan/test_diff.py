from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import model_args, names, planned_model, pool
from smallmodel_operator.api.serving import LlamaCppArgs, ModelTuning
from smallmodel_operator.api.smallmodel import Accelerator, Scaling
from smallmodel_operator.plan.diff import Action, Change, diff
from smallmodel_operator.plan.pool import Pool


def single(**changed: Any) -> Pool:
    return Pool(models=(planned_model(**changed),))


@given(st.lists(names, unique=True, max_size=8))
def test_a_pool_does_not_differ_from_itself_in_any_order(models: list[str]) -> None:
    assert diff(pool(*models), pool(*reversed(models))) == ()


@given(st.sets(names, max_size=6), st.sets(names, max_size=6))
def test_what_comes_and_goes_is_told_once_and_by_name(before: set[str], after: set[str]) -> None:
    actions = diff(pool(*before), pool(*after))

    assert [action.model for action in actions] == sorted(before ^ after)
    assert {action.model for action in actions if action.change is Change.ADDED} == after - before


def test_from_nothing_every_model_is_added() -> None:
    assert diff(None, pool("chat")) == (
        Action(model="chat", change=Change.ADDED, reason="not served before"),
    )


def test_a_model_that_is_gone_is_removed() -> None:
    assert diff(pool("chat"), pool()) == (
        Action(model="chat", change=Change.REMOVED, reason="no longer wanted"),
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"args": model_args(weights="/new")}, "weights changed"),
        (
            {
                "args": model_args(
                    engine=LlamaCppArgs(context_length=1, slots=1, threads=None), memory_bytes=1
                ),
                "scaling": Scaling(max_replicas=9),
            },
            "engine, memory bytes changed",
        ),
        ({"resting_memory_bytes": 1}, "resting memory bytes changed"),
        (
            {"accelerator": Accelerator.model_validate({"class": "NVIDIA-L4"})},
            "accelerator changed",
        ),
        ({"device_percent": 7}, "device percent changed"),
    ],
)
def test_changed_arguments_and_needs_replace_the_replicas(
    changed: dict[str, Any], reason: str
) -> None:
    assert diff(single(), single(**changed)) == (
        Action(model="chat", change=Change.RESTARTED, reason=reason),
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"scaling": Scaling(max_replicas=9), "max_replicas": 9}, "max replicas changed"),
        (
            {
                "scaling": Scaling(idle_timeout="1m"),
                "tuning": ModelTuning(idle_timeout_seconds=60, start_timeout_seconds=60),
            },
            "idle timeout changed",
        ),
        ({"max_ongoing_requests": 9}, "max ongoing requests changed"),
        ({"target_ongoing_requests": 9}, "target ongoing requests changed"),
        ({"verified": True}, "verified changed"),
    ],
)
def test_changed_bounds_leave_the_replicas_alone(changed: dict[str, Any], reason: str) -> None:
    assert diff(single(), single(**changed)) == (
        Action(model="chat", change=Change.TUNED, reason=reason),
    )
