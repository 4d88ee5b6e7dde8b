"""The worker classes that could run a model, and their names."""

from dataclasses import replace
from typing import Any

import pytest

from builders.cards import CardBuilder, architecture, gguf, safetensors
from builders.clusters import gpu_node, node, resolved, view
from builders.models import gpu, spec
from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import WorkerClass
from smallmodel_operator.api.names import RAYSERVICE_NAME_MAX
from smallmodel_operator.placement import cluster_workers
from smallmodel_operator.placement.candidates import candidates
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.placement.cluster_values import stocks
from smallmodel_operator.placement.cluster_workers import worker_classes
from smallmodel_operator.plan.pools.template import build_template
from smallmodel_operator.plan.pools.values import PoolKey, PoolSettings


def classes(
    cluster: ClusterView, fields: dict[str, object] | None = None, card: CardBuilder | None = None
) -> tuple[WorkerClass, ...]:
    given = fields or {}
    option = resolved(given, card).options[-1 if card is None else 0]
    candidate = candidates(option, spec(given), stocks(cluster.nodes))[0]
    return worker_classes(candidate, spec(given), cluster)


def names(*arguments: Any, **keywords: Any) -> list[str]:
    """Of those with the most cores."""
    made = classes(*arguments, **keywords)
    return [worker.name for worker in made if worker.cpu == made[0].cpu]


def weighing(gigabytes: float) -> CardBuilder:
    """A card whose only variant has weights of that size."""
    return CardBuilder(variants=(gguf(bits=8, size=round(gigabytes * 1e9)),))


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [
        (0.1, ["cpu-4gi", "cpu-3gi", "cpu-2gi"]),
        (2.0, ["cpu-8gi", "cpu-5gi", "cpu-4gi"]),
        (8.0, ["cpu-16gi", "cpu-10gi", "cpu-9gi"]),
    ],
)
def test_memory_comes_in_powers_of_two_before_less_is_tried(
    gigabytes: float, expected: list[str]
) -> None:
    assert names(view(), card=weighing(gigabytes)) == expected


def test_a_model_of_its_own_pool_needs_no_room_for_neighbours() -> None:
    assert names(view(), {"isolation": "Dedicated"}) == ["cpu-2gi"]


def test_more_workers_share_the_resting_models_among_them() -> None:
    one = classes(view(max_workers=1))[0]
    many = classes(view(max_workers=20))[0]

    assert (one.memory, one.max_workers) == ("8Gi", 1)
    assert (many.memory, many.max_workers) == ("2Gi", 20)


@pytest.mark.parametrize(
    ("cores", "fields", "cpu", "name"),
    [
        (16, {}, "2", "cpu-4gi"),
        (4, {}, "2", "cpu-4gi"),
        (2, {}, "1", "cpu-4gi-1c"),
        (1.93, {}, "900m", "cpu-4gi-900m"),
        (0.1, {}, "100m", "cpu-4gi-100m"),
        (4, {"resources": {"cpu": 3}}, "3", "cpu-4gi-3c"),
        (4, {"resources": {"cpu": "1500m"}}, "1500m", "cpu-4gi-1500m"),
        (4, {"resources": {"cpu": 2}}, "2", "cpu-4gi"),
    ],
)
def test_cores_leave_half_of_the_largest_node_unless_the_user_says_more(
    cores: float, fields: dict[str, object], cpu: str, name: str
) -> None:
    worker = classes(view(node(cpu_cores=cores), node("small", cpu_cores=0.1)), fields)[0]

    assert (worker.cpu, worker.name) == (cpu, name)


@pytest.mark.parametrize(
    ("fields", "cores", "expected"),
    [
        ({}, 4, ["2", "1", "500m"]),
        ({}, 2, ["1", "500m"]),
        ({}, 0.5, ["200m"]),
        ({"resources": {"cpu": 3}}, 4, ["3"]),
    ],
)
def test_fewer_cores_are_tried_unless_the_user_says_how_many(
    fields: dict[str, object], cores: float, expected: list[str]
) -> None:
    made = classes(view(node(cpu_cores=cores)), {"isolation": "Dedicated"} | fields)

    assert [worker.cpu for worker in made] == expected


def test_a_cluster_without_nodes_gives_the_class_that_others_would() -> None:
    assert classes(replace(view(), nodes=()))[0].name == "cpu-4gi"


ON_GPU = CardBuilder(variants=(safetensors(),))


def test_an_accelerator_class_has_the_product_the_count_and_the_hosts_memory() -> None:
    fields: dict[str, object] = {"resources": {"accelerator": {"class": "NVIDIA-L4", "count": 2}}}
    cluster = view(node(cpu_cores=64), gpu_node(count=2, cpu_cores=2))

    worker = classes(cluster, fields, ON_GPU)[0]

    assert worker.name == "nvidia-l4-x2-8gi-1c"
    assert worker.accelerator is not None
    assert (worker.accelerator.class_, worker.accelerator.count) == ("NVIDIA-L4", 2)


def test_a_sleeping_engine_keeps_the_weights_in_the_hosts_memory() -> None:
    heavy = CardBuilder(
        architecture=architecture(parameters=8_000_000_000), variants=(safetensors(),)
    )
    assert amount(classes(view(gpu_node()), card=heavy)[0].memory) >= 16e9


def test_products_of_any_spelling_become_labels_that_leave_room_for_a_pools_name() -> None:
    product = "NVIDIA_A100 80GB PCIe (SHARED)/with-a-very-long-name"
    cluster = view(gpu_node(accelerator=gpu(product)))

    name = classes(cluster, card=ON_GPU)[0].name

    assert name.startswith("nvidia-a100")
    assert len(name) <= RAYSERVICE_NAME_MAX - len("-99-12345678")


def test_what_placement_counts_for_a_head_is_what_its_pod_asks_for() -> None:
    key = PoolKey(namespace="team", worker=classes(view())[0])
    settings = PoolSettings(hub_id="hub", operator_namespace="system", cpu_image="serving:1")
    made = build_template(key, "pool", settings)
    (head,) = made["headGroupSpec"]["template"]["spec"]["containers"]
    requests = [head["resources"]["requests"], made["autoscalerOptions"]["resources"]["requests"]]

    assert sum(amount(each["cpu"]) for each in requests) == cluster_workers.HEAD_CPU
    assert sum(amount(each["memory"]) for each in requests) == cluster_workers.HEAD_MEMORY
