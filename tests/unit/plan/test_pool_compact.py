"""Which pools can be emptied into fuller ones."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.pool_values import (
    key_of,
    live_pool,
    outdated_pool,
    placement_of,
    pool_settings,
    worker_class,
)
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.plan.pools.compact import Emptied, compaction
from smallmodel_operator.plan.pools.values import LivePool

ONE, TWO, THREE = (live_pool(number).name for number in (1, 2, 3))


def found(
    *pools: LivePool,
    wished: tuple[str, ...] | None = None,
    placements: tuple[ModelPlacement, ...] = (),
    **settings: Any,
) -> tuple[Emptied, ...]:
    names = wished if wished is not None else tuple(pool.name for pool in pools)
    return compaction(placements, pools, pool_settings(**settings), names)


def test_the_emptier_pool_goes_into_the_fuller_one() -> None:
    pools = (live_pool(1, "a"), live_pool(2, "b", "c"))

    assert found(*pools) == (Emptied(pool=ONE, targets=(("a", TWO),)),)


def test_of_two_alike_the_younger_one_goes() -> None:
    assert [each.pool for each in found(live_pool(1, "a"), live_pool(2, "b"))] == [TWO]


def test_only_pools_that_somebody_named_are_emptied() -> None:
    pools = (live_pool(1, "a"), live_pool(2, "b", "c"))

    assert [each.pool for each in found(*pools, wished=(TWO,))] == [TWO]
    assert found(*pools, wished=()) == ()


def test_a_pool_is_emptied_wholly_or_not_at_all() -> None:
    pools = (live_pool(1, "a", "b"), live_pool(2, "c", "d", "e"))

    assert found(*pools, models_per_pool=4) == ()
    assert len(found(*pools, models_per_pool=5)) == 1


def test_the_fullest_one_gets_the_first_models() -> None:
    pools = (live_pool(1, "a", "b"), live_pool(2, "c", "d", "e"), live_pool(3, "f", "g", "h", "i"))

    [one] = found(*pools, models_per_pool=5)
    assert one == Emptied(pool=ONE, targets=(("a", THREE), ("b", TWO)))


def test_nothing_goes_into_a_pool_that_is_emptied_itself() -> None:
    pools = (live_pool(1, "a"), live_pool(2, "b"), live_pool(3, "c", "d", "e"))

    targets = {target for each in found(*pools) for _, target in each.targets}
    assert {each.pool for each in found(*pools)} == {ONE, TWO}
    assert targets == {THREE}


def test_a_model_that_is_on_its_way_needs_no_second_seat() -> None:
    moving = placement_of("a", status={"pool": ONE, "moving_to": TWO})
    pools = (live_pool(1, "a"), live_pool(2, "a", "b", "c"))

    assert found(*pools, placements=(moving,), models_per_pool=3) == (
        Emptied(pool=ONE, targets=(("a", TWO),)),
    )


def test_pools_of_other_keys_and_templates_are_no_place_to_go() -> None:
    big = key_of(worker=worker_class("cpu-8gi", memory="8Gi"))
    others = (live_pool(2, "b", "c", key=big), outdated_pool(3, "d", "e"))

    assert found(live_pool(1, "a"), *others, wished=(ONE,)) == ()
    ending = live_pool(2, "b", "c", deleting=True)
    assert found(live_pool(1, "a"), ending) == ()


def test_an_empty_or_outdated_pool_is_not_emptied() -> None:
    assert found(live_pool(1), live_pool(2, "b")) == ()
    assert found(outdated_pool(1, "a"), live_pool(2, "b", "c"), wished=("old-1",)) == ()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(5, 6))
def test_every_model_keeps_a_seat_and_no_pool_gets_too_many(sizes: list[int], most: int) -> None:
    pools = [
        live_pool(number, *(f"m{number}-{seat}" for seat in range(size)))
        for number, size in enumerate(sizes, 1)
    ]
    emptied = found(*pools, models_per_pool=most)

    gone = {each.pool for each in emptied}
    after = {pool.name: set(pool.models) for pool in pools if pool.name not in gone}
    for each in emptied:
        for model, target in each.targets:
            if target in after:
                after[target].add(model)
    moved = [model for each in emptied for model, _ in each.targets]
    assert len(moved) == len(set(moved))
    assert sum(len(models) for models in after.values()) == sum(sizes)
    assert all(len(models) <= most for models in after.values())
