"""What an agent tells of its cluster's room, the hub reads as the agent saw it, or as less."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.clusters import gpu_node, node, view
from builders.models import GIB, gpu
from smallmodel_operator.api.capacity import NODES_MAX, POOLS_MAX, ClusterCapacity
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.cluster_values import ClusterView, Node, PoolSeats
from smallmodel_operator.status.capacity import capacity_of, view_of

SEATS = PoolSeats(namespace="team", worker_class="cpu-4gi", models=3, dedicated=True)
WHOLE = view(
    node("a", free_cpu_cores=1.25, free_memory_bytes=3 * GIB),
    node("b", ready=False),
    node("c", schedulable=False),
    gpu_node("g", count=4, free=1),
    gpu_node("h", accelerator=replace(gpu(), memory_bytes=None)),
    name="edge",
    engines=frozenset({Engine.LLAMA_CPP, Engine.VLLM}),
    pools=(SEATS, replace(SEATS, worker_class="cpu-8gi", dedicated=False)),
)


def told(seen: ClusterView) -> ClusterView:
    """What the hub makes of it, by way of the ModelCluster's status."""
    written = capacity_of(seen).model_dump(mode="json", by_alias=True, exclude_none=True)
    return view_of(seen.name, ClusterCapacity.model_validate(written))


def test_the_hub_sees_the_cluster_as_its_agent_does() -> None:
    assert told(WHOLE) == WHOLE


def test_nothing_is_told_of_a_cluster_without_nodes() -> None:
    empty = replace(view(), nodes=())
    assert told(empty) == empty


def test_what_pods_ask_for_beyond_what_there_is_leaves_nothing() -> None:
    (seen,) = told(view(node(free_cpu_cores=-0.5, free_memory_bytes=-GIB))).nodes
    assert (seen.free_cpu_cores, seen.free_memory_bytes) == (0, 0)


@given(
    cores=st.floats(0, 512),
    memory=st.integers(0, 2**42),
    free_cores=st.floats(-8, 512),
    free_memory=st.integers(-(2**34), 2**42),
)
def test_the_hub_never_counts_on_more_than_there_is(
    cores: float, memory: int, free_cores: float, free_memory: int
) -> None:
    one = node(
        cpu_cores=cores,
        memory_bytes=memory,
        free_cpu_cores=free_cores,
        free_memory_bytes=free_memory,
    )
    (seen,) = told(view(one)).nodes

    # A number of thousandths is not always the same number of cores to the last bit.
    assert cores - 0.0011 < seen.cpu_cores <= cores + 1e-9
    assert memory - 2**20 < seen.memory_bytes <= memory
    assert seen.free_cpu_cores <= max(0, free_cores) + 1e-9
    assert seen.free_memory_bytes <= max(0, free_memory)


ROOMY = {
    "those with free devices first": gpu_node("z", count=2, free_memory_bytes=0),
    "then those with free memory": node("z", free_memory_bytes=31 * GIB),
}


@pytest.mark.parametrize("roomy", ROOMY.values(), ids=ROOMY)
def test_of_many_nodes_those_with_room_are_told(roomy: Node) -> None:
    full = [node(f"full-{n:03}", free_memory_bytes=GIB) for n in range(NODES_MAX)]
    away = node("away", ready=False)
    seen = told(view(away, *full, roomy)).nodes

    assert len(seen) == NODES_MAX
    assert "z" in {one.name for one in seen}
    assert "away" not in {one.name for one in seen}
    assert [one.name for one in seen] == sorted(one.name for one in seen)


def test_of_many_pools_some_are_told() -> None:
    many = tuple(replace(SEATS, worker_class=f"c-{n:03}") for n in range(POOLS_MAX + 1))
    assert told(view(pools=many)).pools == many[:-1]
