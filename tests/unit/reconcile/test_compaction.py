"""Pools that are asked to end: their models move into fuller ones, one at a time."""

from dataclasses import replace

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from smallmodel_operator.reconcile.clock import after
from smallmodel_operator.reconcile.compaction import WISH_SECONDS


def two_half_empty_pools() -> tuple[FakeNamespace, str, str]:
    """Return a namespace, its emptier pool and its fuller one."""
    fake = served_by("a", "b", "c", "d", "e", models_per_pool=3)
    emptier, fuller = sorted(fake.services, key=lambda name: len(fake.models_of(name)))
    gone = min(fake.models_of(fuller))
    fake.delete(gone)
    fake.settle(passes=4)
    fake.settings = replace(fake.settings, models_per_pool=4)
    return fake, emptier, fuller


def pools_of(fake: FakeNamespace) -> dict[str, str | None]:
    return {name: each.status.pool for name, each in fake.placements.items()}


def test_without_a_wish_nothing_is_rebalanced() -> None:
    fake, *_ = two_half_empty_pools()
    before = pools_of(fake)

    fake.settle(passes=40)

    assert pools_of(fake) == before


def test_a_pool_that_is_asked_to_ends_and_every_model_answered_in_its_new_one() -> None:
    fake, emptier, fuller = two_half_empty_pools()
    fake.wish(emptier)

    fake.settle(passes=80)

    assert set(fake.services) == {fuller}
    assert set(pools_of(fake).values()) == {fuller}
    assert len(fake.models_of(fuller)) == 4
    assert all(is_verified(fake, name) for name in fake.placements)


def test_a_model_is_served_where_it_was_until_it_answered_in_the_other_pool() -> None:
    fake, emptier, fuller = two_half_empty_pools()
    model = min(fake.models_of(emptier))
    before = fake.placements[model].status
    fake.wish(emptier)

    fake.work()
    status = fake.placements[model].status
    assert (status.pool, status.moving_to) == (emptier, fuller)
    assert model in fake.models_of(fuller)
    assert not any(each.model == model for each in fake.asked), (
        "Serve has not said that it is there"
    )
    assert [each.status for each in status.conditions] == [
        each.status for each in before.conditions
    ]

    fake.world()
    fake.work()
    assert [(each.model, each.pool) for each in fake.asked] == [(model, fuller)]
    assert fake.placements[model].status.pool == emptier
    fake.world()
    fake.work()
    status = fake.placements[model].status
    assert (status.pool, status.moving_to, status.leaving) == (fuller, None, emptier)
    assert status.probe is not None
    assert status.probe.pool == fuller
    assert model in fake.models_of(emptier), "until its last answers are written"


def test_models_move_one_at_a_time_and_say_nothing_of_waiting() -> None:
    fake, emptier, _ = two_half_empty_pools()
    fake.wish(emptier)

    for _ in range(60):
        fake.settle(passes=1)
        moving = [name for name, each in fake.placements.items() if each.status.moving_to]
        assert len(moving) <= 1
        assert all(each.status.problem is None for each in fake.placements.values())


def test_no_model_is_added_to_a_pool_that_is_being_emptied() -> None:
    fake, emptier, fuller = two_half_empty_pools()
    fake.settings = replace(fake.settings, models_per_pool=9)
    fake.place("more").settle(passes=4)
    assert fake.placements["more"].status.pool == fuller
    fake.wish(fuller)

    fake.place("new").work()

    assert fake.placements["new"].status.pool == emptier


def test_without_room_elsewhere_the_wish_is_taken_back() -> None:
    fake, emptier, _ = two_half_empty_pools()
    fake.place("another").settle(passes=8)
    before = pools_of(fake)
    fake.wish(emptier)

    fake.settle(passes=2)

    assert fake.wish_of(fake.services[emptier]) is None
    assert pools_of(fake) == before


def test_a_model_that_does_not_answer_elsewhere_stays_and_ends_the_wish() -> None:
    fake, emptier, fuller = two_half_empty_pools()
    model = min(fake.models_of(emptier))
    fake.absent.add((fuller, model))
    fake.wish(emptier)

    fake.settle(passes=12)

    assert fake.wish_of(fake.services[emptier]) is None
    status = fake.placements[model].status
    assert (status.pool, status.moving_to, status.quarantine) == (emptier, None, None)
    assert is_verified(fake, model)
    assert model in fake.models_of(emptier)
    assert model not in fake.models_of(fuller)


def test_a_model_that_serve_never_starts_elsewhere_keeps_no_pool_closed_for_good() -> None:
    fake, emptier, fuller = two_half_empty_pools()
    fake.wish(emptier)
    fake.work()
    fake.silent.add(fuller)

    fake.settle(passes=5)
    assert fake.wish_of(fake.services[emptier]) is not None
    fake.pass_time(WISH_SECONDS)
    fake.settle(passes=2)

    assert fake.wish_of(fake.services[emptier]) is None
    assert not any(each.status.moving_to for each in fake.placements.values())


def test_a_wish_that_is_no_time_or_a_time_long_ago_is_taken_back() -> None:
    fake, emptier, _ = two_half_empty_pools()
    before = pools_of(fake)

    for wish in ("please", "2026-11-24T12:00:00", after(fake.now, -WISH_SECONDS)):
        fake.wish(emptier, at=wish)
        fake.settle(passes=2)

        assert fake.wish_of(fake.services[emptier]) is None
        assert pools_of(fake) == before


def test_a_pool_that_is_only_starting_is_not_to_be_emptied() -> None:
    fake = FakeNamespace().place("a")
    fake.work()
    fake.wish(fake.pool)

    fake.settle(passes=1)

    assert fake.wish_of(fake.services[fake.pool]) is None
