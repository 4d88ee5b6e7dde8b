"""Moving to a new template: one at a time, with at most one pool more than before."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders.pool_values import (
    OUTDATED,
    WITHOUT_CLAIMS,
    dedicated_placement,
    gpu_class,
    live_pool,
    outdated_pool,
    placement_of,
    pool_settings,
    quarantine,
    weights,
    worker_class,
)
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import SecretRef
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.moves import Move, Moves, moves
from smallmodel_operator.plan.pools.values import LivePool

ONE, TWO = (live_pool(number).name for number in (1, 2))
DELETED = {"deletion_timestamp": "2026-01-01T00:00:00Z"}


def old(name: str, pool: str = "old-1", **changed: Any) -> ModelPlacement:
    status = {"pool": pool} | changed.pop("status", {})
    return placement_of(name, status=status, **changed)


def found(*placements: ModelPlacement, pools: tuple[LivePool, ...] = (), **settings: Any) -> Moves:
    return moves(placements, pools, pool_settings(**settings))


def move(name: str, target: str = ONE, source: str = "old-1") -> Move:
    return Move(model=("team-a", name), source=source, target=target)


def test_nothing_moves_out_of_a_pool_with_todays_template() -> None:
    assert found(old("a", ONE), placement_of("b"), pools=(live_pool(1, "a"),)) == Moves(
        now=(), waiting=()
    )


def test_the_first_one_moves_to_a_new_pool_and_the_others_wait() -> None:
    assert found(old("b"), old("a"), pools=(outdated_pool(1, "a", "b"),)) == Moves(
        now=(move("a"),), waiting=(("team-a", "b"),)
    )


def test_the_next_one_waits_until_the_first_is_there() -> None:
    pools = (outdated_pool(1, "a", "b"), live_pool(1, "a"))

    assert found(old("a", status={"moving_to": ONE}), old("b"), pools=pools) == Moves(
        now=(move("a"),), waiting=(("team-a", "b"),)
    )
    assert found(old("a", ONE), old("b"), pools=pools).now == (move("b"),)


def test_a_model_that_does_not_work_in_its_new_pool_keeps_no_other_one_waiting() -> None:
    broken = old("a", status={"moving_to": ONE, "quarantine": quarantine()})
    pools = (outdated_pool(1, "a", "b"), live_pool(1))

    assert found(broken, old("b"), pools=pools).now == (move("a"), move("b"))


def test_a_model_whose_weights_no_replica_may_fetch_stays_and_keeps_no_other_one() -> None:
    gated = old("a", weights=weights(secret_ref=SecretRef(name="hub")))
    pools = (outdated_pool(1, "a", "b"),)

    moving = moves((gated, old("b")), pools, pool_settings(weights=WITHOUT_CLAIMS))

    assert [each.model for each in moving.now] == [("team-a", "b")]
    assert moving.waiting == ()
    assert [each.model for each in found(gated, pools=pools).now] == [("team-a", "a")]


def test_a_model_in_quarantine_moves_last() -> None:
    broken = old("a", status={"quarantine": quarantine()})
    pools = (outdated_pool(1, "a", "b"),)

    assert found(broken, old("b"), pools=pools).now == (move("b"),)
    assert found(broken, pools=pools).now == (move("a"),)


def test_the_emptiest_pool_is_emptied_first() -> None:
    pools = (outdated_pool(1, "a", "b"), outdated_pool(2, "c"))

    assert found(old("a"), old("b"), old("c", "old-2"), pools=pools).now == (
        move("c", source="old-2"),
    )


def test_a_move_whose_status_is_lost_goes_on_to_the_pool_that_holds_the_model() -> None:
    pools = (outdated_pool(1, "a"), live_pool(1, "a", "b"))

    assert found(old("a"), pools=pools, models_per_pool=2).now == (move("a"),)


def test_what_is_in_quarantine_does_not_make_a_pool_fuller() -> None:
    broken = [old(name, status={"quarantine": quarantine()}) for name in "ab"]
    pools = (outdated_pool(1, "a", "b", "c"), outdated_pool(2, "d", "e"))
    placements = [*broken, old("c"), old("d", "old-2"), old("e", "old-2")]

    assert found(*placements, pools=pools).now == (move("c"),)


def test_what_is_in_quarantine_elsewhere_keeps_no_key_waiting() -> None:
    broken = old("g", "old-2", worker=gpu_class(), status={"quarantine": quarantine()})
    gpu = pool_key(broken)
    pools = (outdated_pool(1, "a"), outdated_pool(2, "g", key=gpu), live_pool(1, key=gpu))

    assert found(old("a"), broken, pools=pools).now == (move("a"),)


def test_a_move_whose_new_pool_is_gone_or_outdated_itself_starts_again() -> None:
    moving = old("a", status={"moving_to": "old-2"})

    assert found(moving, pools=(outdated_pool(1, "a"),)).now == (move("a"),)
    assert found(moving, pools=(outdated_pool(1, "a"), outdated_pool(2, "a"))).now == (move("a"),)


def test_a_move_never_goes_on_into_a_pool_that_is_being_deleted() -> None:
    moving = old("a", status={"moving_to": ONE})
    pools = (outdated_pool(1, "a"), live_pool(1, deleting=True))

    assert found(moving, pools=pools).now == (move("a", TWO),)


def test_a_move_into_a_pool_of_other_needs_starts_again() -> None:
    gpu = live_pool(1, key=pool_key(placement_of(worker=gpu_class())), name="gpu-1-x")
    moving = old("a", status={"moving_to": "gpu-1-x"})

    assert found(moving, pools=(outdated_pool(1, "a"), gpu)).now == (move("a"),)


def test_a_move_passes_over_a_name_that_somebody_elses_object_has() -> None:
    reserved = frozenset({("team-a", ONE)})
    step = moves([old("a")], [outdated_pool(1, "a")], pool_settings(), reserved=reserved)

    assert step.now == (move("a", TWO),)


def test_what_is_being_deleted_does_not_move() -> None:
    assert found(old("a", metadata=DELETED), pools=(outdated_pool(1, "a"),)) == Moves(
        now=(), waiting=()
    )


def test_without_a_pool_to_spare_everything_waits() -> None:
    pools = (outdated_pool(1, "a"),)

    assert found(old("a"), pools=pools, max_surge_pools=0) == Moves(
        now=(), waiting=(("team-a", "a"),)
    )


def test_a_pool_that_is_there_is_used_even_without_one_to_spare() -> None:
    pools = (outdated_pool(1, "a"), live_pool(1, "b"))

    assert found(old("a"), old("b", ONE), pools=pools, max_surge_pools=0).now == (move("a"),)


def test_another_key_waits_until_the_first_has_filled_or_emptied_its_pools() -> None:
    gpu = old("g", "old-2", worker=gpu_class())
    pools = (
        outdated_pool(1, "a", "b"),
        outdated_pool(2, "g", key=pool_key(gpu)),
        live_pool(1, "c"),
    )
    placements = (old("a"), old("b"), old("c", ONE), gpu)

    assert found(*placements, pools=pools).now == (move("a"),)
    assert found(*placements, pools=pools).waiting == (("team-a", "b"), ("team-a", "g"))
    assert found(gpu, pools=pools[1:2]).now[0].model == ("team-a", "g")


names = st.sampled_from("abcdefghij")


@st.composite
def upgrades(draw: st.DrawFn) -> tuple[list[ModelPlacement], list[LivePool]]:
    """A namespace just after an upgrade: everything sits in outdated pools."""
    placements: list[ModelPlacement] = []
    pools: dict[str, set[str]] = {}
    keys: dict[str, Any] = {}
    for name in draw(st.sets(names)):
        kind = draw(st.sampled_from(["cpu", "gpu", "dedicated"]))
        number = draw(st.integers(1, 3))
        home = f"{kind}-{name if kind == 'dedicated' else number}-{OUTDATED}"
        make = dedicated_placement if kind == "dedicated" else placement_of
        if len(pools.get(home, ())) >= 2:
            continue
        worker = gpu_class() if kind == "gpu" else worker_class()
        placements.append(make(name, status={"pool": home}, worker=worker))
        pools.setdefault(home, set()).add(name)
        keys[home] = pool_key(placements[-1])
    live = [
        live_pool(1, *models, key=keys[home], name=home, template_hash=OUTDATED)
        for home, models in pools.items()
    ]
    return placements, live


@given(upgrades())
def test_every_upgrade_ends_with_one_move_at_a_time_and_one_pool_more(upgrade: Any) -> None:
    placements, pools = upgrade
    settings = pool_settings(models_per_pool=2)
    before = len(pools)
    for _ in range(len(placements) + 1):
        step = moves(placements, pools, settings)
        if not step.now:
            break
        (only,) = step.now
        assert only.model not in step.waiting
        placements, pools, most = _done(placements, pools, only)
        assert most <= before + 1

    assert moves(placements, pools, settings) == Moves(now=(), waiting=())
    assert not [pool for pool in pools if pool.template_hash == OUTDATED]
    assert max((len(pool.models) for pool in pools), default=0) <= 2


@given(upgrades(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_listed_means_nothing(upgrade: Any, random: Any) -> None:
    placements, pools = upgrade
    expected = moves(placements, pools, pool_settings())
    random.shuffle(placements)
    random.shuffle(pools)

    assert moves(placements, pools, pool_settings()) == expected


def _done(
    placements: list[ModelPlacement], pools: list[LivePool], only: Move
) -> tuple[list[ModelPlacement], list[LivePool], int]:
    """What there is after a move, and how many pools there were in the middle of it."""
    models = {pool.name: set(pool.models) for pool in pools}
    keys = {pool.name: pool.key for pool in pools}
    hashes = {pool.name: pool.template_hash for pool in pools}
    name = only.model[1]
    (mover,) = [each for each in placements if each.spec.model.name == name]
    models.setdefault(only.target, set()).add(name)
    keys.setdefault(only.target, pool_key(mover))
    hashes.setdefault(only.target, only.target.rpartition("-")[2])
    most = len(models)
    models[only.source].discard(name)
    after = [
        live_pool(1, *models[pool], key=keys[pool], name=pool, template_hash=hashes[pool])
        for pool in models
        if models[pool]
    ]
    moved = mover.model_copy(
        update={"status": mover.status.model_copy(update={"pool": only.target})}
    )
    return [moved if each is mover else each for each in placements], after, most
