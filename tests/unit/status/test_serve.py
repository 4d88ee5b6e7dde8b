"""Serve's answer is read, judged, and its messages are cut to the part that a person reads."""

import json
from typing import Any

import pytest

from builders.plan_values import model_args
from builders.serve_answers import application, deployment, index, instance, replica, text
from smallmodel_operator.api.serving import EngineReport, EngineReports
from smallmodel_operator.status.serve import (
    ServeAnswerUnreadable,
    ServedApplication,
    ServedDeployment,
    busiest,
    clean,
    read_applications,
    read_engines,
    served_application,
    with_engines,
)

MESSAGES = {
    "a plain message stays": ("Deploying app 'chat'.", "Deploying app 'chat'."),
    "colours go": ("\x1b[36mray\x1b[39m is up", "ray is up"),
    "of a traceback the error's line stays": (
        "It failed. Error: Traceback (most recent call last):\n"
        '  File "a.py", line 1, in <module>\n    import nothing\n'
        "ModuleNotFoundError: No module named 'nothing'\n\nSystem error:\nWorker exits",
        "It failed. Error: ModuleNotFoundError: No module named 'nothing'",
    ),
    "of a remote error the last cause stays": (
        "Retrying 2 more time(s). Error: ray::ServeReplica:chat (pid=1)\n"
        '  File "b.py", line 2, in f\nRuntimeError: Traceback (most recent call last):\n'
        '  File "c.py", line 3, in g\nValueError: bad tag',
        "Retrying 2 more time(s). Error: ValueError: bad tag",
    ),
}


@pytest.mark.parametrize(("message", "expected"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_is_cleaned(message: str, expected: str) -> None:
    assert clean(message) == expected


def test_a_long_message_is_cut() -> None:
    assert clean("x" * 5000).endswith("x…")
    assert len(clean("x" * 5000)) < 1000


def only(**changes: object) -> ServedApplication:
    """What is read of one application."""
    (read,) = read_applications(text(application(**changes)))  # type: ignore[arg-type] # a builder's own fields
    return read


def test_applications_come_sorted_with_their_arguments() -> None:
    names = [each.name for each in read_applications(text(application("b"), index()))]
    assert names == ["_index", "b"]
    assert only().args == model_args("chat")
    assert only().deployed_at == 1_790_000_001.25


def test_arguments_that_are_no_models_are_left_out() -> None:
    assert only(args={}).args is None
    assert only(args={"contract": 99, "new": "field"}).args is None


def test_an_application_without_a_config_has_no_arguments() -> None:
    imperative = application() | {"deployed_app_config": None}
    (read,) = read_applications(text(imperative))
    assert read.args is None


def engine(state: Any, model: str = "chat", **changes: Any) -> EngineReport:
    return EngineReport(**{"model": model, "pid": 1, "state": state} | changes)


@pytest.mark.parametrize("states", [("Awake", "Asleep"), ("Failed", "Loading", "Awake")])
def test_of_a_models_replicas_the_busiest_speaks(states: tuple[str, ...]) -> None:
    reports = [engine(state) for state in states]
    for given in (reports, list(reversed(reports))):
        assert busiest([*given, engine("Failed", "other")]) == {
            "chat": engine("Awake"),
            "other": engine("Failed", "other"),
        }


def test_what_the_index_says_is_read_and_given_to_applications_that_have_a_replica() -> None:
    told = EngineReports(engines=(engine("Asleep"), engine("Awake", "gone")))
    engines = read_engines(told.model_dump_json())
    up, parked = only(), only(deployments={"Model": deployment()})
    assert (up.replicas, parked.replicas) == (1, 0)

    seen = with_engines({"chat": up, "parked": parked}, engines | {"parked": engine("Awake")})

    assert (seen["chat"].engine, seen["parked"].engine) == (engine("Asleep"), None)
    assert with_engines({"chat": up}, {}) == {"chat": up}


@pytest.mark.parametrize("answer", ["", "[]", '{"engines": [{"model": "a"}]}'])
def test_what_is_no_answer_of_the_index_is_refused(answer: str) -> None:
    with pytest.raises(ServeAnswerUnreadable, match="what its engines do"):
        read_engines(answer)


def test_only_replicas_that_run_are_counted_and_the_target_is_told() -> None:
    states = deployment(
        replica("STARTING"), replica("RUNNING", 2), replica("STOPPING", 3), target=2
    )
    read = only(deployments={"Model": states})
    assert (read.replicas, read.target_replicas) == (1, 2)


JUDGED = {
    "it runs": ("RUNNING", "HEALTHY", True, False),
    "it runs without replicas": ("RUNNING", "DOWNSCALING", True, False),
    "it is being changed": ("DEPLOYING", "UPDATING", False, False),
    "it was given up": ("DEPLOY_FAILED", "DEPLOY_FAILED", False, True),
    "it is ill": ("UNHEALTHY", "UNHEALTHY", False, True),
    "its deployment is ill and it is not yet called so": ("RUNNING", "UNHEALTHY", True, True),
    "it goes": ("DELETING", "UPDATING", False, False),
    "a word that a later Ray has": ("NAPPING", "NAPPING", False, False),
}


@pytest.mark.parametrize(
    ("word", "of_deployment", "healthy", "failed"), JUDGED.values(), ids=JUDGED
)
def test_serves_words_are_judged(
    word: str, of_deployment: str, healthy: bool, failed: bool
) -> None:
    read = only(status=word, deployments={"Model": deployment(status=of_deployment)})
    assert (read.status, read.healthy, read.failed) == (word, healthy, failed)


def test_messages_of_application_and_deployment_are_joined() -> None:
    read = only(message="Failed.", deployments={"Model": deployment(message="Error: ray::X\n")})
    assert read.message == "Failed. Error:"


def test_an_application_that_is_being_built_has_no_deployments() -> None:
    assert (only(deployments={}).replicas, only(deployments={}).target_replicas) == (0, 0)


def test_an_unknown_target_is_not_taken_for_none() -> None:
    seen = ServedDeployment(status="HEALTHY", message="", replicas=1)
    read = served_application(
        "chat", status="RUNNING", message="", deployed_at=0, deployments=(seen,)
    )
    assert read.target_replicas is None


def test_what_a_later_ray_adds_is_ignored() -> None:
    later = instance(application() | {"news": 1}) | {"more": {}}
    assert read_applications(json.dumps(later))[0].healthy


UNREADABLE = {
    "a page of a proxy": ("<html>Bad gateway</html>", "Invalid JSON"),
    "nothing": ("", "Invalid JSON"),
    "another object": ("{}", "applications: Field required"),
    "a list": ("[]", "the answer: Input should be an object"),
}


@pytest.mark.parametrize(("answer", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_answer_of_serve_is_refused(answer: str, said: str) -> None:
    with pytest.raises(ServeAnswerUnreadable, match="Ray's dashboard") as caught:
        read_applications(answer)
    assert said in str(caught.value)
