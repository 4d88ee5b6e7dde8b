"""Which of several clusters serves a resolved model, and that one alone is as it ever was."""

from dataclasses import replace

import pytest

from builders.clusters import NAMESPACE, gpu_node, node, placed, resolved, seats, unplaced, view
from builders.models import GIB, gpu, small_model
from builders.placements import placement_spec
from smallmodel_operator.api.modelplacement import ModelPlacementSpec
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.among import fit_of, place_among
from smallmodel_operator.placement.cluster import ClusterPlacement, ClusterView
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY
from smallmodel_operator.placement.placement import Unplaced

BOTH = frozenset({Engine.LLAMA_CPP, Engine.VLLM})
TINY = node("tiny", memory_bytes=GIB)
BUSY = node("busy", free_memory_bytes=0)


def among(
    *clusters: ClusterView,
    incumbent: ModelPlacementSpec | None = None,
    **fields: object,
) -> ClusterPlacement | Unplaced:
    return place_among(
        resolved(fields),
        small_model(fields).spec,
        clusters,
        namespace=NAMESPACE,
        key="team-chat-1234",
        incumbent=incumbent,
    )


def test_one_cluster_serves_what_it_would_serve_by_itself() -> None:
    assert among(view()) == placed(view())


@pytest.mark.parametrize("cluster", [view(TINY), view(BUSY)], ids=["never", "not now"])
def test_one_cluster_without_room_says_what_it_would_say_by_itself(cluster: ClusterView) -> None:
    assert among(cluster) == unplaced(cluster)


def test_a_cluster_with_room_is_taken_whatever_its_place_in_the_list() -> None:
    full, free = view(TINY, name="full"), view(name="free")

    for clusters in ((full, free), (free, full)):
        made = among(*clusters)
        assert isinstance(made, ClusterPlacement)
        assert made.placement.machine == "free"


def test_a_cluster_with_a_pool_to_join_is_cheaper_than_one_that_needs_a_head() -> None:
    joined = view(name="joined", pools=(seats(),))

    made = among(view(name="new"), joined)

    assert isinstance(made, ClusterPlacement)
    assert (made.placement.machine, made.new_pool) == ("joined", False)


def test_without_room_anywhere_the_nearest_miss_is_the_reason_and_each_says_its_own() -> None:
    made = among(view(TINY, name="tiny"), view(BUSY, name="busy"))

    assert isinstance(made, Unplaced)
    assert (made.reason, made.waits) == (Reason.MEMORY_FIT, True)
    assert "cluster tiny" in made.message
    assert "busy has most free" in made.message


def test_what_runs_stays_where_it_is_and_where_it_has_no_room_any_more_says_why() -> None:
    spec = placement_spec(cluster="there")
    there, other = view(name="there"), view(name="other", pools=(seats(),))

    stays = among(there, other, incumbent=spec)
    assert isinstance(stays, ClusterPlacement)
    assert stays.placement.machine == "there"

    nowhere = among(view(TINY, name="there"), incumbent=spec, scaling={"minReplicas": 2})
    assert isinstance(nowhere, Unplaced)
    assert nowhere.reason is Reason.MEMORY_FIT


def test_a_placement_takes_its_worker_its_head_and_its_part_of_a_device() -> None:
    made = placed(view())
    alone = fit_of(made)
    assert (alone.cpu, alone.memory_bytes, alone.devices) == (2.0, 4 * GIB, 0.0)
    assert (alone.head_cpu, alone.head_memory_bytes) == (HEAD_CPU, HEAD_MEMORY)
    assert alone.weights_bytes == made.placement.option.size.weights

    joined = fit_of(replace(made, new_pool=False))
    assert (joined.head_cpu, joined.head_memory_bytes) == (0.0, 0)

    roomy = view(gpu_node(accelerator=gpu(memory=10 * GIB)), engines=BOTH)
    part = fit_of(placed(roomy))
    assert part.product == "NVIDIA-L4"
    assert 0 < part.devices < 1

    whole = fit_of(placed(roomy, {"isolation": "Dedicated"}))
    assert whole.devices == 1.0
