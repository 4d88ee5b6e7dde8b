"""`upgradePolicy: Recreate`: an outdated pool ends first, and its models go to a new one."""

from dataclasses import replace

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from builders.pool_values import gpu_class
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.values import UpgradePolicy

RECREATE = {"upgrade_policy": UpgradePolicy.RECREATE}


def upgraded(fake: FakeNamespace) -> str:
    """The installation has another image from now on; the old pool's name is returned."""
    (old,) = fake.services
    fake.settings = replace(fake.settings, cpu_image="registry.example/serving-cpu:2")
    return old


def test_the_old_pool_goes_in_the_pass_that_makes_the_new_one() -> None:
    fake = served_by("a", "b", **RECREATE)
    old = upgraded(fake)

    orders = fake.work()

    assert [(each.kind, each.name) for each in orders.delete] == [("RayService", old)]
    (new,) = fake.services
    assert new != old
    for name in "ab":
        status = fake.placements[name].status
        assert (status.pool, status.moving_to, status.leaving) == (new, None, None)
        assert status.problem is not None
        assert status.problem.reason is Reason.POOL_STARTING


def test_all_of_its_models_answer_again_in_the_new_pool() -> None:
    fake = served_by("a", "b", **RECREATE)
    upgraded(fake)

    fake.settle(passes=12)

    (new,) = fake.services
    assert fake.models_of(new) == {"a", "b"}
    assert all(is_verified(fake, name) for name in "ab")
    before = fake.writes
    fake.settle(passes=3)
    assert fake.writes == before, "it comes to rest"


def test_a_pool_that_is_up_to_date_is_left_alone() -> None:
    fake = served_by("a", **RECREATE)
    before = dict(fake.services)

    fake.settle(passes=3)

    assert fake.services == before


def test_a_model_that_never_worked_goes_along() -> None:
    fake = served_by("a", **RECREATE)
    fake.unloadable.add("b")
    fake.place("b").settle(passes=6)
    old = upgraded(fake)

    fake.settle(passes=12)

    assert old not in fake.services
    assert fake.placements["b"].status.pool == fake.pool


def test_a_pool_stays_with_a_model_whose_placement_cannot_be_read() -> None:
    fake = served_by("a", "b", **RECREATE)
    old = upgraded(fake)
    fake.sight = {"unread": frozenset({"b"})}
    del fake.placements["b"]

    fake.settle(passes=4)

    assert old in fake.services
    assert "b" in fake.models_of(old)


def test_a_pool_stays_with_a_model_that_no_pool_can_be_made_for() -> None:
    fake = served_by("a", gpu_image=None, **RECREATE)
    old = upgraded(fake)
    # Where its next spec wants an accelerator, there is no image for one.
    fake.place("a", worker=gpu_class())

    fake.settle(passes=4)

    assert set(fake.services) == {old}
