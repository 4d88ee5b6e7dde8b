import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import planned_model
from builders.pool_values import (
    REDIS,
    cluster_pool,
    gpu_class,
    key_of,
    pool_settings,
    worker_class,
)
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pools.names import pool_name, same_key, template_hash
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import PoolError, PoolSettings, Toleration

class_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(class_names, st.integers(1, 9999))
def test_kuberay_takes_every_pools_name(name: str, number: int) -> None:
    found = pool_name(key_of(worker=worker_class(name)), number, pool_settings())

    assert len(found) <= 47
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", found)
    assert found.endswith(f"-{number}-{template_hash(key_of(), pool_settings())}")


@given(st.sets(class_names, min_size=2, max_size=2))
def test_two_classes_never_share_a_pools_name(names: set[str]) -> None:
    one, other = (
        pool_name(key_of(worker=worker_class(name)), 1, pool_settings()) for name in names
    )

    assert one != other


@pytest.mark.parametrize(
    "settings",
    [
        pool_settings(cpu_image="registry.example/serving-cpu:2"),
        pool_settings(ray_version="2.61.0"),
        pool_settings(image_pull_policy="Always"),
        pool_settings(image_pull_secrets=("pull",)),
        pool_settings(fault_tolerance=REDIS),
        pool_settings(tolerations=(Toleration(key="edge"),)),
        pool_settings(request_timeout_seconds=900.0),
        pool_settings(worker_idle_seconds=30),
    ],
)
def test_a_changed_template_is_another_pool(settings: PoolSettings) -> None:
    assert template_hash(key_of(), settings) != template_hash(key_of(), pool_settings())


def test_another_contract_of_arguments_is_another_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template_hash(key_of(), pool_settings())
    monkeypatch.setattr("smallmodel_operator.plan.pools.template.CONTRACT", CONTRACT + 1)

    assert template_hash(key_of(), pool_settings()) != before


@pytest.mark.parametrize(
    "settings",
    [
        pool_settings(hub_id="hub-2"),
        pool_settings(gpu_image="registry.example/serving-gpu:2"),
        pool_settings(models_per_pool=5),
        pool_settings(gateway_labels=(("app", "mine"),)),
        pool_settings(fetch_environment=(("HF_ENDPOINT", "https://mirror.example"),)),
        pool_settings(metrics_namespaces=("monitoring",)),
    ],
)
def test_what_is_not_in_the_pods_of_a_pool_makes_no_other_pool(settings: PoolSettings) -> None:
    assert template_hash(key_of(), settings) == template_hash(key_of(), pool_settings())


def test_models_and_the_number_of_workers_make_no_other_pool() -> None:
    small, large = (key_of(worker=worker_class(max_workers=most)) for most in (1, 9))
    empty = build_ray_service(cluster_pool(key=small), pool_settings())
    full = build_ray_service(cluster_pool("chat", key=large), pool_settings())

    assert template_hash(small, pool_settings()) == template_hash(large, pool_settings())
    assert empty["metadata"]["name"] == full["metadata"]["name"]
    assert empty["metadata"]["labels"] == full["metadata"]["labels"]


def test_a_gpu_class_follows_the_gpu_image_and_a_larger_class_is_another_template() -> None:
    settings = pool_settings(gpu_image="registry.example/serving-gpu:2")
    gpu = key_of(worker=gpu_class())

    assert template_hash(gpu, settings) != template_hash(gpu, pool_settings())
    assert template_hash(key_of(worker=worker_class(cpu="3")), settings) != template_hash(
        key_of(), settings
    )


def test_only_the_number_of_workers_may_differ_within_a_pool() -> None:
    key = key_of()
    more = key_of(worker=worker_class(max_workers=9))

    assert same_key(key, more)
    for other in (
        replace(key, namespace="team-b"),
        replace(key, dedicated_to="chat"),
        replace(key, claim="mine"),
        replace(key, worker=worker_class("other")),
        replace(key, worker=worker_class(cpu="1")),
        replace(key, worker=worker_class(memory="8Gi")),
        replace(key, worker=gpu_class()),
    ):
        assert not same_key(key, other)


def test_a_class_that_no_pod_can_be_made_of_is_refused_with_the_next_step() -> None:
    with pytest.raises(PoolError, match="set the serving image for GPUs"):
        template_hash(key_of(worker=gpu_class()), pool_settings(gpu_image=None))
    with pytest.raises(PoolError, match=r"Ray itself takes 614 MiB"):
        template_hash(key_of(worker=worker_class(memory="512Mi")), pool_settings())


def test_two_models_of_one_name_are_refused() -> None:
    twice = cluster_pool(models=(planned_model("chat"), planned_model("chat")))

    with pytest.raises(PoolError, match="twice"):
        build_ray_service(twice, pool_settings())
