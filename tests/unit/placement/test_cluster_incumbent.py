"""A changed spec keeps what runs, where it may."""

from dataclasses import replace

import pytest

from builders.cards import CardBuilder
from builders.clusters import NAMESPACE, gpu_node, node, placed, resolved, seats, view
from builders.models import GIB, gpu, small_model
from smallmodel_operator.api.modelplacement import ModelPlacementSpec
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.cluster import (
    ClusterPlacement,
    ClusterView,
    place_in_cluster,
)
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.plan.placements import build_placement

BOTH = frozenset({Engine.LLAMA_CPP, Engine.VLLM})
FULL = view(node(free_memory_bytes=0))


def pinned(cluster: ClusterView, fields: dict[str, object]) -> ModelPlacementSpec:
    model = small_model(fields)
    made = placed(cluster, fields)
    return build_placement(model, resolved(fields), made, hub_id="hub", cluster=cluster.name).spec


def again(
    cluster: ClusterView,
    fields: dict[str, object],
    *,
    before: dict[str, object] | None = None,
    first: ClusterView | None = None,
    card: CardBuilder | None = None,
) -> ClusterPlacement | Unplaced:
    """Place a changed spec while the one before runs."""
    return place_in_cluster(
        resolved(fields, card),
        small_model(fields).spec,
        cluster,
        namespace=NAMESPACE,
        incumbent=pinned(first or view(), before or {}),
    )


KEPT: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "other limits": ({}, {"scaling": {"maxReplicas": 1, "idleTimeout": "1m"}}),
    "less context": ({}, {"contextLength": 1024}),
    "cores as before": ({"resources": {"cpu": 3}}, {"resources": {"cpu": 3}, "contextLength": 512}),
    "fewer replicas that are kept": ({"scaling": {"minReplicas": 2}}, {}),
}


@pytest.mark.parametrize(("before", "fields"), KEPT.values(), ids=KEPT)
def test_it_is_kept_even_where_the_cluster_is_full(
    before: dict[str, object], fields: dict[str, object]
) -> None:
    result = again(FULL, fields, before=before)

    assert isinstance(result, ClusterPlacement)
    assert result.worker == pinned(view(), before).worker
    assert "where it was" in result.placement.message


ANEW: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "more context than its worker holds": (
        {},
        {"contextLength": 8192, "engineArgs": {"parallel": "32"}},
    ),
    "other cores": ({}, {"resources": {"cpu": 3}}),
    "no cores of its own any more": ({"resources": {"cpu": 3}}, {}),
    "a pool of its own": ({}, {"isolation": "Dedicated"}),
    "more replicas that are kept": ({}, {"scaling": {"minReplicas": 2}}),
}


@pytest.mark.parametrize(("before", "fields"), ANEW.values(), ids=ANEW)
def test_it_is_chosen_anew_where_the_spec_wants_something_else(
    before: dict[str, object], fields: dict[str, object]
) -> None:
    assert isinstance(again(FULL, fields, before=before), Unplaced)


def test_an_engine_that_is_no_longer_offered_is_not_kept() -> None:
    assert isinstance(again(view(engines=frozenset()), {}), Unplaced)


def test_a_variant_that_is_no_longer_wanted_is_not_kept() -> None:
    result = again(view(gpu_node(), engines=BOTH), {"variant": "bf16"})

    assert isinstance(result, ClusterPlacement)
    assert result.placement.option.variant.name == "bf16"


def test_a_device_that_comes_later_draws_no_model_away() -> None:
    result = again(view(node(), gpu_node(), engines=BOTH), {"scaling": {"maxReplicas": 2}})

    assert isinstance(result, ClusterPlacement)
    assert result.placement.option.engine is Engine.LLAMA_CPP


def test_a_model_on_a_device_keeps_that_device() -> None:
    there = view(gpu_node(), engines=BOTH)
    taken = view(gpu_node(free=0), engines=BOTH)

    result = again(taken, {"scaling": {"maxReplicas": 1}}, first=there)

    assert isinstance(result, ClusterPlacement)
    assert result.placement.accelerator is not None


def test_a_wish_for_another_device_moves_the_model() -> None:
    other = gpu_node("gpu-b", accelerator=gpu("NVIDIA-H100", memory=80 * GIB))
    there = view(gpu_node(), other, engines=BOTH)
    wish: dict[str, object] = {"resources": {"accelerator": {"class": "NVIDIA-H100"}}}

    result = again(there, wish, first=view(gpu_node(), engines=BOTH))

    assert isinstance(result, ClusterPlacement)
    assert result.worker.name.startswith("nvidia-h100")


def test_another_bound_of_workers_is_taken_over() -> None:
    result = again(replace(view(node(memory_bytes=64 * GIB)), max_workers=7), {})

    assert isinstance(result, ClusterPlacement)
    assert result.worker.max_workers == 7


def test_seats_are_not_asked_for_again() -> None:
    assert isinstance(again(replace(FULL, pools=(seats(models=20),)), {}), ClusterPlacement)
