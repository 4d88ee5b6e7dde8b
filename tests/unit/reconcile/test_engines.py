"""What engines say of themselves, and weights that vanished."""

from dataclasses import replace
from typing import Any

import pytest

from builders.fake_namespace import FakeNamespace, is_verified, refusal, served_by
from builders.verification import edited, held, status, until_quarantined
from smallmodel_operator.api.modelplacement import PinnedWeights
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineReport


def report(state: Any, **changes: Any) -> EngineReport:
    return EngineReport(**{"model": "chat", "pid": 1, "state": state} | changes)


def ready_of(fake: FakeNamespace) -> tuple[str, str]:
    ready = next(each for each in status(fake).conditions if each.type == "Ready")
    return ready.status, ready.reason


def test_a_model_that_sleeps_is_told_from_one_that_is_awake() -> None:
    fake = served_by("chat")
    assert ready_of(fake) == ("True", Reason.AWAKE)

    fake.engines["chat"] = report("Asleep")
    fake.settle(passes=2)
    assert ready_of(fake) == ("True", Reason.ASLEEP)

    fake.engines.clear()
    fake.settle(passes=2)
    assert ready_of(fake) == ("True", Reason.ASLEEP), "what nobody tells of stays as it was"

    fake.serve[fake.pool]["chat"] = replace(fake.serve[fake.pool]["chat"], replicas=0)
    fake.work()
    assert ready_of(fake) == ("True", Reason.PARKED)
    fake.world()
    fake.work()
    deployment = status(fake).deployment
    assert deployment is not None
    assert deployment.engine is None, "of a replica that is gone nothing is known of the next one"


def test_what_did_not_wake_is_not_called_ready_and_stays_in_its_pool() -> None:
    fake = served_by("chat")
    fake.engines["chat"] = report("Failed", reason=Reason.MEMORY_FIT, message="nobody gave way")
    fake.settle(passes=2)

    assert ready_of(fake) == ("False", Reason.MEMORY_FIT)
    assert status(fake).quarantine is None
    assert fake.models_of(fake.pool) == {"chat"}
    assert not fake.jobs


# Weights


@pytest.mark.parametrize("teller", ["engine", "serve"])
def test_weights_of_what_once_worked_are_fetched_again_and_it_answers_anew(teller: str) -> None:
    fake = served_by("chat")
    config = fake.config(fake.pool)
    if teller == "engine":
        fake.engines["chat"] = report("Failed", reason=Reason.WEIGHTS_MISSING, message="gone")
    else:
        fake.undeployable.add("chat")
    fake.world()
    if teller == "serve":
        seen = fake.serve[fake.pool]["chat"]
        fake.serve[fake.pool]["chat"] = replace(seen, message="WeightsMissing: it is gone")

    fake.work()
    assert (status(fake).fetch, status(fake).probe) == (None, None)
    assert ready_of(fake)[0] == "False"
    assert len(fake.work().jobs) == 1
    assert status(fake).quarantine is None
    assert fake.config(fake.pool) == config, "its application goes on as it is"

    # The engine may go on to speak of the file that was missing.
    fake.undeployable.clear()
    assert passes_with_jobs(fake) == 0
    assert is_verified(fake, "chat")
    fake.engines["chat"] = report("Awake")
    fake.settle(passes=2)
    assert ready_of(fake) == ("True", Reason.AWAKE)


def passes_with_jobs(fake: FakeNamespace, passes: int = 8) -> int:
    """How many passes made a fetch Job, while the world does what it is told."""
    made = 0
    for _ in range(passes):
        made += bool(fake.work().jobs)
        assert status(fake).quarantine is None
        fake.world()
        fake.pass_time(1)
    return made


def test_what_once_worked_and_is_asked_anew_may_have_lost_its_weights_meanwhile() -> None:
    fake = served_by("chat")
    worked = status(fake).verified_hash
    edited(fake)
    fake.unloadable.add("chat")
    until_quarantined(fake)
    fake.unloadable.clear()
    fake.without_weights.add("chat")
    fake.place("chat")

    assert passes_with_jobs(fake, passes=12) == 1
    assert is_verified(fake, "chat")
    assert status(fake).verified_hash == worked


def test_weights_that_vanished_are_fetched_again_before_the_next_try() -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    wanted = fake.decide().probes[0].serving_hash
    fake.answers["chat"] = refusal(wanted, Reason.WEIGHTS_MISSING, fake.now)

    fake.work()
    assert fake.models_of(fake.pool) == set()
    assert (status(fake).fetch, status(fake).probe) == (None, None)
    orders = fake.work()
    assert len(orders.jobs) == 1
    assert held(fake).attempts == 1

    fake.world()
    fake.now = held(fake).until
    fake.settle()
    assert is_verified(fake, "chat")
    assert status(fake).quarantine is None


def test_serves_words_of_missing_weights_are_heard() -> None:
    fake = FakeNamespace(undeployable={"chat"}).place("chat")
    fake.settle(passes=2)
    seen = fake.serve[fake.pool]["chat"]
    fake.serve[fake.pool]["chat"] = replace(seen, message="WeightsMissing: /weights/x is gone")

    fake.work()

    assert held(fake).reason is Reason.WEIGHTS_MISSING
    assert status(fake).fetch is None


def test_a_model_whose_new_weights_are_fetched_goes_on_as_it_runs() -> None:
    fake = served_by("chat", "embed")
    before = fake.config(fake.pool)
    fake.place("chat", weights=_others())

    orders = fake.work()

    assert fake.config(fake.pool) == before
    assert len(orders.jobs) == 1
    assert status(fake).deployment is not None
    assert status(fake).serving_hash is None
    assert orders.again == 10.0


def _others() -> PinnedWeights:
    return PinnedWeights(uri="hf://example/tiny/q8_0.gguf")
