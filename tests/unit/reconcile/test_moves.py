"""Moves: add there, verify, switch, drain, leave; one model at a time."""

from dataclasses import replace

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from builders.plan_values import model_args
from builders.pool_values import gpu_class, pool_settings, worker_class
from smallmodel_operator.api.modelplacement import ModelPlacementStatus
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Isolation
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.reconcile.clock import after

NEWER = "registry.example/serving-cpu:2"


def status(fake: FakeNamespace, name: str) -> ModelPlacementStatus:
    return fake.placements[name].status


def upgraded(fake: FakeNamespace) -> str:
    """The installation has another image from now on; the old pool's name is returned."""
    old = fake.pool
    fake.settings = replace(fake.settings, cpu_image=NEWER)
    return old


def new_pool(fake: FakeNamespace, old: str) -> str:
    (name,) = fake.services.keys() - {old}
    return name


def test_a_move_goes_step_by_step() -> None:
    fake = served_by("chat")
    old = upgraded(fake)

    fake.work()
    new = new_pool(fake, old)
    assert fake.models_of(new) == set(), "made without models"
    assert (status(fake, "chat").pool, status(fake, "chat").moving_to) == (old, new)

    fake.world()
    fake.work()
    assert fake.models_of(new) == {"chat"}, "added there"
    assert status(fake, "chat").pool == old, "the old pool answers until it is verified"

    fake.world()
    fake.settle(passes=2, seconds=0)
    moved = status(fake, "chat")
    assert (moved.pool, moved.moving_to, moved.leaving) == (new, None, old), "switched"
    assert moved.left_at is not None
    assert fake.models_of(old) == {"chat"}, "its requests are done there"

    fake.now = after(moved.left_at, CLUSTER_DRAIN - 1)
    assert not fake.decide().delete
    assert fake.decide().again == 2.0
    fake.now = after(moved.left_at, CLUSTER_DRAIN)
    fake.work()
    assert set(fake.services) == {new}, "left"
    assert (status(fake, "chat").leaving, status(fake, "chat").left_at) == (None, None)


def test_during_a_move_the_old_pool_is_left_byte_for_byte_as_it_is() -> None:
    fake = served_by("a", "b", "c")
    old = upgraded(fake)
    before = fake.services[old]["spec"]["serveConfigV2"]

    for _ in range(4):
        fake.work()
        fake.world()
        assert fake.services[old]["spec"]["serveConfigV2"] == before


def test_models_move_one_at_a_time_and_those_that_wait_say_so_and_stay_ready() -> None:
    fake = served_by("a", "b", "c")
    old = upgraded(fake)
    for _ in range(8):
        fake.work()
        moving = [name for name in "abc" if status(fake, name).moving_to]
        assert len(moving) <= 1
        fake.world()
        for name in "abc":
            if status(fake, name).pool == old and name not in moving:
                ready = next(c for c in status(fake, name).conditions if c.type == "Ready")
                problem = status(fake, name).problem
                assert ready.status == "True"
                assert problem is not None
                assert problem.reason is Reason.UPGRADE_WAITING

    fake.settle(passes=40, seconds=2)
    assert fake.models_of(new_pool(fake, old)) == {"a", "b", "c"}
    assert old not in fake.services
    assert all(status(fake, name).problem is None for name in "abc")


def test_a_broken_model_stays_where_it_works_and_never_keeps_others_from_moving() -> None:
    fake = served_by("a", "b", "c")
    old = upgraded(fake)
    fake.unloadable.add("a")

    fake.settle(passes=40, seconds=2)

    assert fake.models_of(old) == {"a"}
    assert status(fake, "a").pool == old
    assert {"b", "c"} <= fake.models_of(new_pool(fake, old))
    deployment = status(fake, "a").deployment
    assert deployment is not None
    assert deployment.healthy


def test_a_model_that_never_worked_does_not_keep_the_old_pool() -> None:
    fake = served_by("a", "b")
    fake.unloadable.add("c")
    fake.place("c").settle(passes=6)
    assert status(fake, "c").quarantine is not None
    old = upgraded(fake)

    fake.settle(passes=40, seconds=2)

    assert old not in fake.services
    (new,) = fake.services
    assert {"a", "b"} <= fake.models_of(new)
    assert (status(fake, "c").pool, status(fake, "c").moving_to) == (new, None)
    assert status(fake, "c").quarantine is not None

    fake.unloadable.clear()
    fake.settle(passes=20, seconds=30)
    assert fake.models_of(new) == {"a", "b", "c"}, "it is tried again where it is now"


def test_a_model_is_not_taken_for_gone_while_the_old_pools_serve_is_silent() -> None:
    fake = served_by("a")
    fake.unloadable.add("b")
    fake.place("b").settle(passes=6)
    old = upgraded(fake)
    fake.silent.add(old)

    fake.settle(passes=40, seconds=2)

    assert status(fake, "b").pool == old
    fake.silent.clear()
    fake.settle(passes=20, seconds=2)
    assert old not in fake.services


def test_a_move_does_not_switch_while_the_new_pools_serve_is_silent() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    fake.settle(passes=2)
    new = new_pool(fake, old)
    fake.silent.add(new)

    fake.settle(passes=3)

    assert status(fake, "chat").pool == old
    assert fake.models_of(new) == {"chat"}


def test_while_the_old_pools_serve_is_silent_what_was_known_of_it_stays_known() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    before = status(fake, "chat").deployment
    fake.silent.add(old)

    fake.work()
    fake.work()

    assert status(fake, "chat").deployment == before


def test_a_model_that_the_old_pool_lost_is_said_to_be_absent() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    fake.serve[old].clear()

    fake.work()

    assert status(fake, "chat").deployment is None


def test_an_old_pool_that_is_gone_is_not_waited_for() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    fake.settle(passes=2)
    new = new_pool(fake, old)
    del fake.services[old]

    fake.settle()

    assert (status(fake, "chat").pool, status(fake, "chat").moving_to) == (new, None)
    assert is_verified(fake, "chat")


def test_a_second_switch_waits_until_the_first_pool_is_left() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    fake.settle(passes=5, seconds=0)
    second = status(fake, "chat").pool
    assert status(fake, "chat").leaving == old

    fake.settings = pool_settings(cpu_image="registry.example/serving-cpu:3")
    fake.settle(passes=6, seconds=0)
    assert status(fake, "chat").pool == second
    assert status(fake, "chat").leaving == old
    assert fake.models_of(old) == {"chat"}

    fake.settle(passes=40, seconds=2)
    assert fake.pool not in (old, second)


def test_a_model_that_was_verified_elsewhere_moves_only_once_it_answered_in_its_new_pool() -> None:
    fake = served_by("chat", "embed")
    old = fake.pool
    before = status(fake, "chat").serving_hash
    fake.place("chat", isolation=Isolation.DEDICATED)

    fake.work()
    fake.world()
    fake.work()
    assert status(fake, "chat").serving_hash == before
    assert is_verified(fake, "chat"), "the template is the same, and so is what is served"
    assert status(fake, "chat").pool == old

    fake.world()
    fake.work()
    assert [(order.model, order.pool != old) for order in fake.asked] == [("chat", True)]
    assert status(fake, "chat").pool == old

    fake.world()
    fake.work()
    assert status(fake, "chat").leaving == old


def test_the_seat_of_a_move_is_not_given_to_a_new_model_in_the_same_pass() -> None:
    fake = served_by("a", models_per_pool=2)
    old = upgraded(fake)
    fake.place("b", "c")

    fake.settle(passes=3)

    sizes = [len(fake.models_of(name)) for name in fake.services if name != old]
    assert sorted(sizes) == [1, 2]


def test_a_model_whose_worker_class_changes_moves_too() -> None:
    fake = served_by("chat", "embed")
    old = fake.pool
    fake.place("chat", worker=worker_class("cpu-8gi", memory="8Gi"))
    before = fake.config(old)["chat"]

    fake.work()
    assert fake.config(old)["chat"] == before
    assert status(fake, "chat").moving_to is not None

    fake.settle(passes=30, seconds=2)
    assert fake.models_of(old) == {"embed"}
    assert (status(fake, "chat").pool or "").startswith("cpu-8gi-1-")


def test_a_model_in_quarantine_in_its_new_pool_does_not_change_its_target() -> None:
    fake = served_by("chat")
    old = fake.pool
    fake.unloadable.add("chat")
    fake.place("chat", worker=worker_class("cpu-8gi", memory="8Gi"))
    fake.settle(passes=5)
    target = status(fake, "chat").moving_to
    assert target is not None
    assert status(fake, "chat").quarantine is not None

    fake.settle(passes=3)

    assert (status(fake, "chat").pool, status(fake, "chat").moving_to) == (old, target)
    assert fake.decide().again == 10.0, "what runs meanwhile is looked after"


def test_a_pool_is_left_in_time_though_the_next_revision_is_in_quarantine() -> None:
    fake = served_by("chat")
    old = upgraded(fake)
    fake.settle(passes=5, seconds=0)
    assert status(fake, "chat").leaving == old
    fake.unloadable.add("chat")
    fake.place("chat", args=model_args("chat", weights="", memory_bytes=1))
    fake.settle(passes=4, seconds=0)
    assert status(fake, "chat").quarantine is not None

    assert fake.decide().again == 2.0


def test_a_model_moves_out_of_a_pool_for_which_there_is_no_image_any_more() -> None:
    fake = FakeNamespace().place("chat", worker=gpu_class())
    fake.settle()
    old = fake.pool
    before = fake.services[old]
    fake.settings = pool_settings(gpu_image=None)
    fake.place("chat")

    orders = fake.work()

    assert old not in {pool.name for pool in orders.pools}
    assert fake.services[old] == before
    fake.settle(passes=30, seconds=2)
    assert old not in fake.services
    assert is_verified(fake, "chat")
