"""What placements that were just decided take of a cluster before it can be seen there."""

from dataclasses import replace
from typing import Any

from builders.clusters import NAMESPACE, gpu_node, node, seats, view
from builders.models import GIB
from builders.placements import model_placement, placed_status, placement_spec
from smallmodel_operator.api.modelplacement import ModelPlacement, WorkerClass
from smallmodel_operator.api.smallmodel import Accelerator, Isolation, Scaling
from smallmodel_operator.placement.assumed import assume
from smallmodel_operator.placement.cluster_values import PoolSeats

KEPT = Scaling(min_replicas=1)
NEW = PoolSeats(namespace=NAMESPACE, worker_class="cpu-4gi", models=1, dedicated=False)


def decided(name: str = "chat", **changes: Any) -> ModelPlacement:
    return model_placement(spec=placement_spec(name, **changes))


def test_what_a_cluster_has_taken_already_is_seen_and_not_assumed() -> None:
    there = view()
    going = decided()
    metadata = going.metadata.model_copy(update={"deletion_timestamp": "2026-11-24T12:00:00Z"})

    assert assume(there, [model_placement(placed_status())]) is there
    assert assume(there, [going.model_copy(update={"metadata": metadata})]) is there


def test_the_first_takes_a_pool_and_the_others_seats_in_it_while_there_are_some() -> None:
    there = view(models_per_pool=2)

    assert assume(there, [decided("a")]).pools == (NEW,)
    assert assume(there, [decided("a"), decided("b")]).pools == (replace(NEW, models=2),)
    three = assume(there, [decided("a"), decided("b"), decided("c")])
    assert three.pools == (replace(NEW, models=2), NEW)


def test_a_pool_that_is_there_is_joined_and_a_dedicated_one_is_nobodys() -> None:
    there = view(pools=(seats(dedicated=True), seats()))

    assert [one.models for one in assume(there, [decided()]).pools] == [1, 2]
    alone = assume(there, [decided(isolation=Isolation.DEDICATED)])
    assert alone.pools[2] == replace(NEW, dedicated=True)


def test_replicas_that_never_rest_take_their_workers_room() -> None:
    busy = node("busy", free_memory_bytes=GIB)
    away = node("away", ready=False)
    there = view(busy, away, node("free"))

    taken = assume(there, [decided(scaling=KEPT), decided("rests")])

    assert taken.nodes[:2] == (busy, away)
    free = taken.nodes[2]
    assert (free.free_cpu_cores, free.free_memory_bytes) == (2.0, 28 * GIB)


def test_devices_are_taken_too_and_never_more_than_there_are() -> None:
    worker = WorkerClass(
        name="l4", cpu="1", memory="4Gi", accelerator=Accelerator(class_="NVIDIA-L4")
    )
    there = view(node(), gpu_node(count=1))
    models = [decided(name, worker=worker, scaling=KEPT) for name in ("a", "b")]

    assert assume(there, models[:1]).nodes[1].free_accelerators == 0
    assert assume(there, models).nodes[1].free_accelerators == 0
