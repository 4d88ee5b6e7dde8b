"""Verifying requests, quarantine, and weights that vanished."""

from dataclasses import replace

import pytest

from builders.fake_namespace import (
    FakeNamespace,
    application,
    good_answer,
    is_verified,
    refusal,
    served_by,
)
from builders.pool_values import pool_settings
from builders.verification import OTHER_ARGS, edited, held, status, until_quarantined
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelTuning
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.reconcile.clock import after, seconds_between


def initial_replicas(fake: FakeNamespace, name: str = "chat") -> int | None:
    (deployment,) = fake.config(fake.pool)[name]["deployments"]
    found: int | None = deployment["autoscaling_config"].get("initial_replicas")
    return found


# Verification


def test_one_model_of_a_pool_is_asked_at_a_time() -> None:
    fake = FakeNamespace().place("a", "b", "c")
    fake.settle(passes=2)

    assert [order.model for order in fake.decide().probes] == ["a"]

    fake.sight["probing"] = frozenset({fake.pool})
    assert not fake.decide().probes


def test_models_of_two_pools_are_asked_together() -> None:
    fake = FakeNamespace(settings=pool_settings(models_per_pool=1)).place("a", "b")
    fake.settle(passes=2)

    assert [order.model for order in fake.decide().probes] == ["a", "b"]


def test_a_model_that_was_never_asked_comes_before_one_that_did_not_answer() -> None:
    fake = FakeNamespace().place("a", "b", "c")
    fake.settle(passes=2)
    for name, ago in (("a", 60), ("b", 40)):
        wanted = status(fake, name).serving_hash or ""
        fake.answers[name] = refusal(wanted, Reason.PROBE_FAILED, after(fake.now, -ago))
    assert [order.model for order in fake.work().probes] == ["c"]

    fake.asked.clear()
    wanted = status(fake, "c").serving_hash or ""
    fake.answers["c"] = refusal(wanted, Reason.PROBE_FAILED, fake.now)
    assert [order.model for order in fake.decide().probes] == ["a"]


def test_a_request_that_failed_for_a_passing_reason_is_sent_again_after_fifteen_seconds() -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    wanted = fake.decide().probes[0].serving_hash
    fake.answers["chat"] = refusal(wanted, Reason.PROBE_FAILED, fake.now)

    orders = fake.work()
    assert (orders.probes, orders.again) == ((), 10.0)
    assert status(fake).quarantine is None
    fake.pass_time(14)
    assert (fake.decide().probes, fake.decide().again) == ((), 1.0)
    fake.pass_time(1)
    assert [order.model for order in fake.decide().probes] == ["chat"]


@pytest.mark.parametrize("silence", ["silent", "no head", "not there", "other arguments", "sick"])
def test_nothing_is_asked_but_the_wanted_hash_that_is_deployed(silence: str) -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    assert fake.decide().probes
    name, args = fake.pool, fake.serve[fake.pool]["chat"].args
    assert args is not None

    if silence == "silent":
        fake.work()
        fake.asked.clear()
        assert fake.decide().probes
        fake.silent.add(name)
    elif silence == "not there":
        del fake.serve[name]["chat"]
    elif silence == "other arguments":
        fake.serve[name]["chat"] = application("chat", args=args.model_copy(update=OTHER_ARGS))
    elif silence == "sick":
        sick = replace(fake.serve[name]["chat"], status="DEPLOYING", healthy=False)
        fake.serve[name]["chat"] = sick
    else:
        fake.sight["pools"] = tuple(replace(pool, head=None) for pool in fake.see().pools)

    assert not fake.decide().probes


def test_one_that_serve_calls_deploying_while_others_change_goes_on() -> None:
    fake = served_by("chat")
    name = fake.pool
    fake.serve[name]["chat"] = replace(fake.serve[name]["chat"], status="DEPLOYING", healthy=False)

    assert not fake.decide().statuses


def test_arguments_that_serve_does_not_say_are_not_taken_for_an_absent_model() -> None:
    fake = served_by("chat")
    fake.serve[fake.pool]["chat"] = application("chat", args=None)

    fake.work()

    deployment = status(fake).deployment
    assert deployment is not None
    assert deployment.serving_hash == ""


def test_an_answer_verifies_at_once_and_leaves_the_replicas_to_ray() -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    assert initial_replicas(fake) == 1
    wanted = fake.decide().probes[0].serving_hash
    fake.answers["chat"] = good_answer(wanted, fake.now)

    orders = fake.work()

    assert is_verified(fake, "chat")
    assert initial_replicas(fake) is None
    assert not orders.probes


@pytest.mark.parametrize(
    "edit",
    [
        {"scaling": Scaling(max_replicas=9, min_replicas=1), "max_replicas": 9},
        {"scaling": Scaling.model_validate({"requestTimeout": "9m", "startTimeout": "9s"})},
        {"tuning": ModelTuning(idle_timeout_seconds=9, start_timeout_seconds=9)},
        {"message": "why"},
        {"max_ongoing_requests": 99, "target_ongoing_requests": 9},
    ],
)
def test_an_edit_outside_the_serving_hash_neither_unverifies_nor_wakes(
    edit: dict[str, object],
) -> None:
    fake = served_by("chat")
    name, before = fake.pool, status(fake)
    parked = replace(fake.serve[name]["chat"], replicas=0)
    fake.serve[name]["chat"] = parked
    fake.place("chat", **edit)

    orders = fake.work()

    assert not orders.probes
    assert (status(fake).probe, status(fake).serving_hash) == (before.probe, before.serving_hash)
    assert initial_replicas(fake) is None


def test_another_serving_hash_is_verified_again_and_keeps_what_was_measured_before() -> None:
    fake = served_by("chat")
    before = status(fake).probe
    edited(fake)

    fake.work()
    assert status(fake).probe == before
    assert not is_verified(fake, "chat")
    assert initial_replicas(fake) == 1

    fake.settle()
    assert is_verified(fake, "chat")


def test_a_late_refusal_does_not_unverify_what_answered() -> None:
    fake = served_by("chat")
    wanted = status(fake).serving_hash or ""
    fake.answers["chat"] = refusal(wanted, Reason.LOAD_FAILED, fake.now)

    assert not fake.decide().statuses


def test_an_answer_for_another_revision_tells_nothing() -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    fake.work()
    fake.asked.clear()
    fake.answers["chat"] = good_answer("another", fake.now)

    assert not fake.decide().statuses


# Quarantine


@pytest.mark.parametrize("kind", ["unloadable", "undeployable"])
def test_a_revision_that_never_worked_leaves_its_pool_at_once(kind: str) -> None:
    fake = served_by("embed")
    getattr(fake, kind).add("chat")
    fake.place("chat")

    found = until_quarantined(fake)

    assert fake.models_of(fake.pool) == {"embed"}
    assert found.attempts == 1
    assert found.reason is (Reason.LOAD_FAILED if kind == "unloadable" else Reason.DEPLOY_FAILED)
    assert seconds_between(fake.now, found.until) == 60


def test_it_is_tried_again_after_one_five_and_thirty_minutes() -> None:
    fake = FakeNamespace(unloadable={"chat"}).place("chat")

    for attempts, pause in ((1, 60), (2, 300), (3, 1800), (4, 1800)):
        found = until_quarantined(fake)
        assert (found.attempts, seconds_between(fake.now, found.until)) == (attempts, pause)
        fake.settle(passes=3)
        assert fake.models_of(fake.pool) == set(), "it stays out"
        assert fake.decide().again == seconds_between(fake.now, found.until)
        fake.now = found.until
        fake.work()
        assert fake.models_of(fake.pool) == {"chat"}, "it is tried again"
        assert held(fake) == found, "the new try is not judged by the old one"
        fake.world()


def test_the_next_look_is_never_at_once() -> None:
    fake = FakeNamespace(unloadable={"chat"}).place("chat")
    found = until_quarantined(fake)
    fake.now = after(found.until, -1)

    assert fake.decide().again == 1.0


def test_it_is_tried_at_once_on_another_serving_hash_and_again_on_the_first_one() -> None:
    fake = FakeNamespace(unloadable={"chat"}).place("chat")
    until_quarantined(fake)

    edited(fake)
    fake.work()
    assert fake.models_of(fake.pool) == {"chat"}
    assert status(fake).quarantine is None

    fake.place("chat")
    fake.work()
    assert fake.models_of(fake.pool) == {"chat"}
    assert status(fake).quarantine is None


def test_an_answer_from_before_the_quarantine_says_nothing_of_the_new_try() -> None:
    fake = FakeNamespace(unloadable={"chat"}).place("chat")
    found = until_quarantined(fake)
    fake.now = after(found.until, 1)
    fake.answers["chat"] = refusal(found.serving_hash, Reason.LOAD_FAILED, after(found.until, -1))

    fake.work()

    assert held(fake) == found
    assert fake.models_of(fake.pool) == {"chat"}


def test_one_that_works_at_last_is_out_of_quarantine() -> None:
    fake = FakeNamespace(unloadable={"chat"}).place("chat")
    found = until_quarantined(fake)
    fake.unloadable.clear()
    fake.now = found.until

    fake.settle()

    assert status(fake).quarantine is None
    assert is_verified(fake, "chat")


def test_what_once_worked_stays_in_the_config_when_it_fails_later() -> None:
    fake = served_by("chat")
    fake.undeployable.add("chat")
    fake.world()

    orders = fake.work()

    assert status(fake).quarantine is None
    assert fake.models_of(fake.pool) == {"chat"}
    assert orders.again == 2.0
    deployment = status(fake).deployment
    assert deployment is not None
    assert deployment.failed
    ready = next(each for each in status(fake).conditions if each.type == "Ready")
    assert (ready.status, ready.reason) == ("False", Reason.DEPLOY_FAILED)


def test_one_broken_model_keeps_no_other_from_being_verified() -> None:
    fake = FakeNamespace(unloadable={"a"}, undeployable={"b"}).place("a", "b", "c", "d")

    fake.settle(passes=16)

    assert is_verified(fake, "c")
    assert is_verified(fake, "d")
    assert fake.models_of(fake.pool) == {"c", "d"}


def test_what_worked_before_another_revision_failed_is_never_in_quarantine() -> None:
    fake = served_by("chat")
    worked = status(fake).serving_hash
    edited(fake)
    fake.unloadable.add("chat")
    until_quarantined(fake)
    fake.place("chat")
    fake.undeployable.add("chat")
    fake.settle(passes=6)

    assert status(fake).serving_hash == status(fake).verified_hash == worked
    assert status(fake).quarantine is None
    assert fake.models_of(fake.pool) == {"chat"}
    assert initial_replicas(fake) is None, "Ray decides on the replicas of what once worked"

    fake.undeployable.clear()
    fake.unloadable.clear()
    fake.settle(passes=20)
    assert is_verified(fake, "chat"), "and it is asked again, since another one was asked meanwhile"
