"""Who goes to which pool: tables for each rule, and properties over whole namespaces."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.pool_values import (
    OUTDATED,
    dedicated_placement,
    gpu_class,
    key_of,
    live_pool,
    outdated_pool,
    placement_of,
    pool_settings,
    worker_class,
)
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.plan.pools.assign import assign
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.names import pool_name, same_key
from smallmodel_operator.plan.pools.values import LivePool

ONE, TWO, THREE = (live_pool(number).name for number in (1, 2, 3))
DELETED = {"deletion_timestamp": "2026-01-01T00:00:00Z"}
SMALL = pool_settings(models_per_pool=2)


def pools_of(
    *placements: ModelPlacement, pools: tuple[LivePool, ...] = (), **settings: Any
) -> dict[str, str]:
    """The pool of each model by the model's name."""
    found = assign(placements, pools, pool_settings(**settings))
    return {name: pool for (_, name), pool in found.items()}


def in_pool(name: str, pool: str, **changed: Any) -> ModelPlacement:
    return placement_of(name, status={"pool": pool}, **changed)


def test_the_first_model_of_a_key_gets_the_first_pool() -> None:
    assert pools_of(placement_of("chat")) == {"chat": ONE}


def test_a_new_model_goes_to_the_fullest_open_pool() -> None:
    pools = (live_pool(1, "a"), live_pool(2, "b", "c"), live_pool(3, "d", "e", "f"))

    assert pools_of(placement_of("chat"), pools=pools, models_per_pool=3) == {"chat": TWO}
    assert pools_of(placement_of("chat"), pools=pools[1::-1]) == {"chat": TWO}


def test_of_two_that_are_equally_full_the_first_by_name_is_taken() -> None:
    pools = (live_pool(2, "b"), live_pool(1, "a"))

    assert pools_of(placement_of("chat"), pools=pools) == {"chat": ONE}


def test_a_full_namespace_gets_the_lowest_number_that_is_free() -> None:
    pools = (live_pool(1, "a", "b"), live_pool(3, "c", "d"))

    assert pools_of(placement_of("chat"), pools=pools, models_per_pool=2) == {"chat": TWO}


def test_a_name_that_somebody_elses_object_has_is_passed_over() -> None:
    reserved = frozenset({("team-a", ONE), ("team-b", TWO)})

    assert assign([placement_of("chat")], [], pool_settings(), reserved=reserved) == {
        ("team-a", "chat"): TWO
    }


def test_a_pool_that_is_filled_leaves_the_rest_to_the_next() -> None:
    found = pools_of(*map(placement_of, "abc"), models_per_pool=2)

    assert found == {"a": ONE, "b": ONE, "c": TWO}


def test_a_model_stays_in_the_pool_that_its_status_names() -> None:
    pools = (live_pool(1, "b", "c"), live_pool(2, "chat"))

    assert pools_of(in_pool("chat", TWO), pools=pools) == {"chat": TWO}


def test_a_model_stays_in_the_pool_whose_config_holds_it_when_its_status_is_lost() -> None:
    pools = (live_pool(1, "b", "c"), live_pool(2, "chat"))

    assert pools_of(placement_of("chat"), pools=pools) == {"chat": TWO}


def test_a_model_stays_even_where_the_limit_was_lowered() -> None:
    names = "abc"
    pools = (live_pool(1, *names),)
    placements = [in_pool(name, ONE) for name in names]

    assert set(pools_of(*placements, pools=pools, models_per_pool=1).values()) == {ONE}


def test_a_model_stays_in_an_outdated_pool_until_it_is_moved() -> None:
    pools = (outdated_pool(1, "chat"), live_pool(1, "b"))

    assert pools_of(in_pool("chat", "old-1"), pools=pools) == {"chat": "old-1"}


def test_a_new_model_never_goes_to_an_outdated_pool() -> None:
    assert pools_of(placement_of("chat"), pools=(outdated_pool(1, "b"),)) == {"chat": ONE}


def test_the_newer_of_two_pools_that_hold_a_model_wins_when_its_status_is_lost() -> None:
    first_by_name = live_pool(1, "chat", name="a-1", template_hash=OUTDATED)
    pools = (first_by_name, live_pool(1, "chat"))

    assert pools_of(placement_of("chat"), pools=pools) == {"chat": ONE}


@pytest.mark.parametrize(
    "changed",
    [{"worker": worker_class(memory="8Gi")}, {"worker": worker_class("other")}],
    ids=["larger workers", "another class"],
)
def test_a_model_with_other_needs_leaves_its_pool(changed: Any) -> None:
    placement = in_pool("chat", ONE, **changed)
    expected = pool_name(pool_key(placement), 1, pool_settings())

    assert pools_of(placement, pools=(live_pool(1, "chat"),)) == {"chat": expected}


def test_more_workers_are_no_other_needs() -> None:
    placement = in_pool("chat", ONE, worker=worker_class(max_workers=9))

    assert pools_of(placement, pools=(live_pool(1, "chat"),)) == {"chat": ONE}


def test_a_pool_that_is_gone_is_made_again_under_its_name() -> None:
    assert pools_of(in_pool("a", ONE), in_pool("b", ONE)) == {"a": ONE, "b": ONE}


def test_a_pool_that_is_being_deleted_takes_no_new_model_and_keeps_its_number() -> None:
    pools = (live_pool(1, "a", deleting=True),)

    assert pools_of(placement_of("a"), placement_of("b"), pools=pools) == {"a": TWO, "b": TWO}
    assert pools_of(in_pool("a", ONE), pools=pools) == {"a": ONE}


def test_a_model_that_is_being_deleted_stays_in_its_pool_and_gets_no_other() -> None:
    held = in_pool("a", ONE, metadata=DELETED)
    new = placement_of("b", metadata=DELETED)

    assert pools_of(held, new, pools=(live_pool(1, "a"),)) == {"a": ONE}


def test_a_dedicated_model_has_a_pool_of_its_own() -> None:
    found = pools_of(placement_of("a"), dedicated_placement("b"), dedicated_placement("c"))

    assert found == {"a": ONE, "b": TWO, "c": THREE}


def test_a_dedicated_pool_takes_nobody_else() -> None:
    pools = (live_pool(1, "b", key=key_of(dedicated_to="b")),)

    assert pools_of(placement_of("a"), dedicated_placement("b"), pools=pools) == {
        "a": TWO,
        "b": ONE,
    }


def test_a_seat_that_a_model_moves_to_is_taken() -> None:
    moving = placement_of("a", status={"pool": "old-1", "moving_to": ONE})
    pools = (outdated_pool(1, "a"), live_pool(1, "b"))

    found = pools_of(moving, placement_of("c"), pools=pools, models_per_pool=2)

    assert found == {"a": "old-1", "c": TWO}


def test_a_model_whose_old_pool_is_gone_has_its_seat_in_the_new_one() -> None:
    moving = placement_of("a", status={"pool": "gone", "moving_to": ONE})

    assert pools_of(moving, pools=(live_pool(1, "b"),), models_per_pool=2) == {"a": ONE}


def test_a_seat_in_a_pool_that_is_not_there_yet_is_taken_too() -> None:
    promised = (in_pool("a", ONE), in_pool("b", "elsewhere"))
    found = assign((*promised, placement_of("c"), placement_of("d")), (), SMALL)

    assert {name: pool for (_, name), pool in found.items()} == {
        "a": ONE,
        "b": ONE,
        "c": TWO,
        "d": TWO,
    }


def test_a_pool_of_an_earlier_template_that_is_gone_is_not_made_again() -> None:
    assert pools_of(in_pool("a", f"cpu-4gi-1-{OUTDATED}")) == {"a": ONE}


def test_a_seat_is_free_once_its_model_is_gone_from_config_and_status() -> None:
    assert pools_of(placement_of("c"), pools=(live_pool(1, "b"),), models_per_pool=2) == {"c": ONE}


namespaces = st.sampled_from(["team-a", "team-b"])
workers = st.sampled_from([worker_class(), worker_class(max_workers=5), gpu_class()])


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[ModelPlacement], list[LivePool]]:
    """Namespaces with pools of every kind, of which statuses and configs speak or are silent."""
    identities = draw(st.lists(st.tuples(namespaces, st.sampled_from("abcdefgh")), unique=True))
    bare = [
        draw(st.sampled_from([placement_of, dedicated_placement]))(
            name, namespace=namespace, worker=draw(workers)
        )
        for namespace, name in identities
    ]
    settled = draw(st.lists(st.sampled_from(bare), unique_by=id)) if bare else []
    homes = assign(settled, [], SMALL)
    pools: dict[tuple[str, str], LivePool] = {}
    placements = []
    for placement in bare:
        identity = (placement.spec.model.namespace, placement.spec.model.name)
        home = homes.get(identity)
        if home:
            place = (identity[0], home)
            before = pools.get(place) or live_pool(1, key=pool_key(placement), name=home)
            listed = draw(st.booleans())
            names = before.models | {identity[1]} if listed else before.models
            pools[place] = live_pool(1, *names, key=before.key, name=home)
            if not listed or draw(st.booleans()):
                placement = placement.model_copy(
                    update={"status": placement.status.model_copy(update={"pool": home})}
                )
        placements.append(placement)
    return placements, list(pools.values())


@given(clusters(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_listed_means_nothing(cluster: Any, random: Any) -> None:
    placements, pools = cluster
    expected = assign(placements, pools, SMALL)
    random.shuffle(placements)
    random.shuffle(pools)

    assert assign(placements, pools, SMALL) == expected


@given(clusters())
def test_no_pool_gets_more_models_than_the_limit(cluster: Any) -> None:
    placements, pools = cluster
    found = assign(placements, pools, SMALL)

    assert max(Counter((key[0], pool) for key, pool in found.items()).values(), default=0) <= 2


@given(clusters())
def test_a_model_with_a_pool_keeps_it_and_everyone_gets_one(cluster: Any) -> None:
    placements, pools = cluster
    found = assign(placements, pools, SMALL)

    assert len(found) == len(placements)
    for placement in placements:
        model = placement.spec.model
        if placement.status.pool:
            assert found[model.namespace, model.name] == placement.status.pool


@given(clusters())
def test_models_of_different_namespaces_or_needs_never_share_a_pool(cluster: Any) -> None:
    placements, pools = cluster
    found = assign(placements, pools, SMALL)
    keys: dict[tuple[str, str], Any] = {}

    for placement in placements:
        model = placement.spec.model
        place = (model.namespace, found[model.namespace, model.name])
        assert same_key(keys.setdefault(place, pool_key(placement)), pool_key(placement))
    for pool in pools:
        place = (pool.key.namespace, pool.name)
        assert place not in keys or same_key(keys[place], pool.key)


@given(clusters())
def test_assigning_again_after_it_was_written_down_changes_nothing(cluster: Any) -> None:
    placements, pools = cluster
    found = assign(placements, pools, SMALL)
    written = [
        placement.model_copy(
            update={
                "status": placement.status.model_copy(
                    update={
                        "pool": found[placement.spec.model.namespace, placement.spec.model.name]
                    }
                )
            }
        )
        for placement in placements
    ]
    made = {
        (placement.spec.model.namespace, placement.status.pool): live_pool(
            1, key=pool_key(placement), name=placement.status.pool
        )
        for placement in written
    }

    assert assign(written, list(made.values()), SMALL) == found
