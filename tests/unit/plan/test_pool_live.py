from typing import Any

import pytest

from builders.pool_values import (
    cluster_pool,
    dedicated_placement,
    gpu_class,
    key_of,
    live_pool,
    placement_of,
    pool_settings,
    weights,
)
from smallmodel_operator.plan.pools.live import pool_key, read_pool, uses_store
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import FaultTolerance, Manifest, PoolError


def ray_service(**key: Any) -> Manifest:
    return build_ray_service(cluster_pool("chat", key=key_of(**key)), pool_settings())


def test_a_placement_says_what_it_needs_of_a_pool() -> None:
    assert pool_key(placement_of("chat")) == key_of()
    assert pool_key(dedicated_placement("chat")) == key_of(dedicated_to="chat")
    on_claim = placement_of(weights=weights(uri="pvc://my-models/tiny/q4_1.gguf"))
    assert pool_key(on_claim) == key_of(claim="my-models")


@pytest.mark.parametrize(
    "key", [{}, {"dedicated_to": "chat"}, {"worker": gpu_class()}, {"claim": "mine"}]
)
def test_a_pool_is_read_back_as_it_was_built(key: Any) -> None:
    found = read_pool(ray_service(**key))

    assert found == live_pool(1, "chat", key=key_of(**key))


@pytest.mark.parametrize("tolerance", [None, FaultTolerance(redis_address="redis:6379")])
def test_a_pool_says_whether_it_keeps_its_state_in_a_store(
    tolerance: FaultTolerance | None,
) -> None:
    settings = pool_settings(fault_tolerance=tolerance)

    assert uses_store(build_ray_service(cluster_pool("chat"), settings)) is (tolerance is not None)
    assert not uses_store({"kind": "RayService"})


def test_a_pool_that_is_being_deleted_is_said_to_be() -> None:
    live = ray_service()
    live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert read_pool(live).deleting is True


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        {"smallmodel.dev/contract": "1"},
        {"smallmodel.dev/worker": "{}", "smallmodel.dev/contract": "1"},
        {"smallmodel.dev/worker": '{"name":"a","cpu":"1","memory":"2Gi"}'},
        {
            "smallmodel.dev/worker": '{"name":"a","cpu":"1","memory":"2Gi"}',
            "smallmodel.dev/contract": "one",
        },
    ],
)
def test_a_pool_that_lost_what_is_written_on_it_is_refused_by_name(annotations: Any) -> None:
    live = ray_service()
    live["metadata"]["annotations"] = annotations

    with pytest.raises(PoolError, match=f"RayService team-a/{live['metadata']['name']} lacks"):
        read_pool(live)


def test_labels_that_were_removed_do_not_hide_the_template() -> None:
    live = ray_service()
    live["metadata"]["labels"] = None

    assert read_pool(live).template_hash == live_pool(1).template_hash
