"""Placing in a cluster: what may run, with which workers, and otherwise why not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cards import CardBuilder, architecture, gguf, safetensors
from builders.clusters import gpu_node, node, outcome, placed, seats, unplaced, view
from builders.models import GIB, gpu
from smallmodel_operator.api.base import amount
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, Engine
from smallmodel_operator.placement.cluster import ClusterView, PoolSeats
from smallmodel_operator.placement.placement import Unplaced

BOTH = frozenset({Engine.LLAMA_CPP, Engine.VLLM})
MIB = 2**20
# 16 GB, 8.5 GB and 4.9 GB of weights.
LARGE = CardBuilder(
    architecture=architecture(parameters=8_000_000_000, layers=32, kv_heads=(8,), head_dim=128),
    variants=(safetensors(), gguf("q8_0", bits=8.5), gguf("q4_k_m", bits=4.9)),
)
TWO_GPUS: dict[str, object] = {"resources": {"accelerator": {"class": "NVIDIA-L4", "count": 2}}}


def test_a_small_model_runs_on_the_cpu_and_says_so_in_numbers() -> None:
    made = placed(view())

    assert made.placement.machine == "local"
    assert made.placement.option.variant.name == "q4_k_m"
    assert made.worker.name == "cpu-4gi"
    assert (made.worker.cpu, made.worker.memory) == ("2", "4Gi")
    for part in ("q4_k_m", "LlamaCpp", "cluster local", "in a new pool", "4.0 GiB", "Not bf16"):
        assert part in made.placement.message


def test_a_device_is_taken_where_the_installation_offers_its_engine() -> None:
    made = placed(view(node(), gpu_node(), engines=BOTH))

    assert made.placement.option.engine is Engine.VLLM
    assert made.placement.accelerator == Accelerator(class_="NVIDIA-L4", count=1)
    assert made.worker.accelerator == made.placement.accelerator
    assert made.worker.name == "nvidia-l4-8gi"


def test_a_model_takes_the_part_of_its_device_that_it_needs() -> None:
    made = placed(view(gpu_node(accelerator=gpu(memory=10 * GIB)), engines=BOTH))

    percent = made.placement.device_percent
    assert percent is not None
    need = made.placement.option.size.total
    assert (percent - 1) * GIB // 10 < need <= percent * GIB // 10
    assert f"Each takes {percent} % of a device." in made.placement.message


@pytest.mark.parametrize(
    "spec",
    [
        {"isolation": "Dedicated"},
        {"resources": {"accelerator": {"class": "NVIDIA-L4", "count": 2}}},
        {"engine": "LlamaCpp"},
    ],
)
def test_one_that_is_apart_takes_several_or_none_has_its_devices_alone(
    spec: dict[str, object],
) -> None:
    made = placed(view(node(), gpu_node(count=2), engines=BOTH), spec)

    assert made.placement.device_percent is None
    assert "of a device" not in made.placement.message


def test_without_a_free_device_the_cpu_is_taken_and_the_message_says_why() -> None:
    made = placed(view(node(), gpu_node(free=0), engines=BOTH))

    assert made.placement.option.engine is Engine.LLAMA_CPP
    assert made.placement.rejected[0].reason is Reason.ACCELERATOR_CAPACITY
    assert "gpu-a has 1, 0 of them free" in made.placement.message


@pytest.mark.parametrize(("asked", "told"), [("10m", False), ("601s", True), ("2h", True)])
def test_who_asks_for_more_time_than_pools_give_is_told(asked: str, told: bool) -> None:
    made = placed(view(), {"scaling": {"requestTimeout": asked}})

    sentence = f"Its requests end after 600 s, and not after the {asked}"
    assert (sentence in made.placement.message) == told


@pytest.mark.parametrize(
    ("wanted", "workers", "most", "why"),
    [
        (2, 3, 2, "as spec.scaling.maxReplicas says"),
        (9, 3, 3, "a pool has 3 workers"),
        (3, 3, 3, "as spec.scaling.maxReplicas says"),
    ],
)
def test_a_worker_runs_one_replica_of_a_model(
    wanted: int, workers: int, most: int, why: str
) -> None:
    made = placed(view(max_workers=workers), {"scaling": {"maxReplicas": wanted}})

    assert made.placement.max_replicas == most
    assert made.worker.max_workers == workers
    assert why in made.placement.message


# What the cluster is, what the user wants, and the reason, whether it passes by itself, and what
# the message has to hold.
Case = tuple[ClusterView, dict[str, object], Reason, bool, tuple[str, ...]]
FORBIDDING: dict[str, Case] = {
    "no engine": (
        view(engines=frozenset()),
        {"variant": "q4_k_m"},
        Reason.ENGINE_NOT_INSTALLED,
        False,
        ("LlamaCpp is not installed on the cluster local, which has: none", "in the chart"),
    ),
    "no such device": (
        view(node(), gpu_node(), engines=BOTH),
        {"resources": {"accelerator": {"class": "NVIDIA-H100"}}, "variant": "bf16"},
        Reason.ACCELERATOR_MISSING,
        False,
        ("1 x NVIDIA-H100", "1 x NVIDIA-L4 on gpu-a", "Change spec.resources.accelerator"),
    ),
    "no device at all": (
        view(engines=BOTH),
        {"variant": "bf16"},
        Reason.ACCELERATOR_MISSING,
        False,
        ("any accelerator", "has: none", "engine: VLLM"),
    ),
    "two devices, but on two nodes": (
        view(gpu_node("gpu-a"), gpu_node("gpu-b"), engines=BOTH),
        {"variant": "bf16", **TWO_GPUS},
        Reason.ACCELERATOR_MISSING,
        False,
        ("needs 2 x NVIDIA-L4", "1 x NVIDIA-L4 on gpu-a, 1 x NVIDIA-L4 on gpu-b"),
    ),
    "fewer devices than minReplicas": (
        view(gpu_node(count=1), engines=BOTH),
        {"variant": "bf16", "scaling": {"minReplicas": 2}},
        Reason.ACCELERATOR_MISSING,
        False,
        ("needs 2 x any accelerator for minReplicas 2",),
    ),
    "all devices taken": (
        view(gpu_node(count=4, free=0), gpu_node("gpu-b", ready=False), engines=BOTH),
        {"variant": "bf16"},
        Reason.ACCELERATOR_CAPACITY,
        True,
        ("gpu-a has 4, 0 of them free", "gpu-b (not ready) has 1", "goes on by itself"),
    ),
    "a device of which nobody knows the memory": (
        view(gpu_node(accelerator=replace(gpu(), memory_bytes=None)), engines=BOTH),
        {"variant": "bf16"},
        Reason.MEMORY_FIT,
        False,
        ("How much memory NVIDIA-L4 has is not known", "nvidia.com/gpu.memory"),
    ),
    "a device that is too small": (
        view(gpu_node(accelerator=gpu(memory=GIB)), engines=BOTH),
        {"variant": "bf16"},
        Reason.MEMORY_FIT,
        False,
        ("1 x NVIDIA-L4 has 1.0 GiB", "What fits: `variant: q4_k_m`"),
    ),
    "no node with so many cores": (
        view(),
        {"resources": {"cpu": 16}},
        Reason.CPU_FIT,
        False,
        ("and 16 CPU)", "4 CPU in all", "Lower spec.resources.cpu"),
    ),
    "no node with so much memory": (
        view(node(memory_bytes=2 * GIB)),
        {},
        Reason.MEMORY_FIT,
        False,
        ("1 worker (2.0 GiB", "1 pool head (1.6 GiB", "has 2.0 GiB and 4 CPU in all"),
    ),
    "too much context, and less would do": (
        view(node(memory_bytes=4 * GIB)),
        {"contextLength": 8192, "engineArgs": {"parallel": "16"}, "variant": "q4_k_m"},
        Reason.MEMORY_FIT,
        False,
        ("What fits: `variant: q4_k_m` with `contextLength: 2048`",),
    ),
    "memory declared by the user": (
        view(),
        {"resources": {"memory": "64Gi"}},
        Reason.MEMORY_FIT,
        False,
        ("Lower spec.resources.memory, 64Gi",),
    ),
    "memory taken by others": (
        view(node(free_memory_bytes=2 * GIB), node("node-b", free_memory_bytes=GIB)),
        {},
        Reason.MEMORY_FIT,
        True,
        ("node-a has most free: 2.0 GiB of 32 GiB", "goes on by itself as soon as there is room"),
    ),
    "cores taken by others": (
        view(node(free_cpu_cores=0.7)),
        {},
        Reason.CPU_FIT,
        True,
        ("and 0.5 CPU)", "0.7 of 4 CPU"),
    ),
    "heads of other pools in the way": (
        view(node(memory_bytes=6 * GIB), pools=(seats("cpu-8gi"), seats("cpu-8gi", namespace="b"))),
        {},
        Reason.MEMORY_FIT,
        True,
        ("3 pool heads (1.6 GiB and 0.25 CPU each)",),
    ),
    "the only node cordoned": (
        view(node(schedulable=False)),
        {},
        Reason.MEMORY_FIT,
        True,
        ("No node of the cluster local takes pods", "Not counted: node-a (cordoned)"),
    ),
    "the roomy node not ready": (
        view(node(ready=False), node("node-b", memory_bytes=3 * GIB)),
        {},
        Reason.MEMORY_FIT,
        True,
        ("node-b has most free", "Not counted: node-a (not ready)"),
    ),
    "many nodes away": (
        view(*(node(f"node-{n}", ready=False) for n in range(9))),
        {},
        Reason.MEMORY_FIT,
        True,
        ("node-4 (not ready); and 4 more",),
    ),
    "room for one of the replicas that are to be kept": (
        view(node(memory_bytes=7 * GIB), node("node-b", free_memory_bytes=GIB)),
        {"scaling": {"minReplicas": 3}},
        Reason.MEMORY_FIT,
        True,
        ("3 workers (2.0 GiB and 0.5 CPU each) for minReplicas 3",),
    ),
}


@pytest.mark.parametrize(
    ("cluster", "fields", "reason", "waits", "parts"), FORBIDDING.values(), ids=FORBIDDING
)
def test_what_speaks_against_a_model_is_told(
    cluster: ClusterView,
    fields: dict[str, object],
    reason: Reason,
    waits: bool,
    parts: tuple[str, ...],
) -> None:
    refused = unplaced(cluster, fields)

    assert (refused.reason, refused.waits) == (reason, waits)
    for part in parts:
        assert part in refused.message


def test_what_passes_by_itself_is_the_reason_before_what_never_does() -> None:
    """A GPU that may become free is worth waiting for, even where the CPU is too small for ever."""
    huge = replace(LARGE, variants=(safetensors(), gguf("f32", bits=32)))

    refused = unplaced(view(gpu_node(free=0, memory_bytes=24 * GIB), engines=BOTH), card=huge)

    assert (refused.reason, refused.waits) == (Reason.ACCELERATOR_CAPACITY, True)
    assert {refusal.reason for refusal in refused.rejected} == {
        Reason.ACCELERATOR_CAPACITY,
        Reason.MEMORY_FIT,
    }


SEATS: dict[str, tuple[PoolSeats, dict[str, object], bool]] = {
    "a seat in a pool of the class": (seats(), {}, True),
    "a full pool": (seats(models=20), {}, False),
    "another class": (seats("cpu-8gi"), {}, False),
    "another namespace": (seats(namespace="other"), {}, False),
    "a pool of one model's own": (seats(dedicated=True), {}, False),
    "a model that wants its own": (seats("cpu-2gi"), {"isolation": "Dedicated"}, False),
}


@pytest.mark.parametrize(("pool", "fields", "has_seat"), SEATS.values(), ids=SEATS)
def test_a_pool_is_joined_where_it_may_be(
    pool: PoolSeats, fields: dict[str, object], has_seat: bool
) -> None:
    message = placed(view(pools=(pool,)), fields).placement.message

    assert ("in a pool that is there" in message) is has_seat
    assert ("in a new pool" in message) is not has_seat


def test_the_head_of_a_pool_to_be_made_takes_room_of_its_own() -> None:
    worker_and_one_head = node(memory_bytes=2 * GIB + 1664 * MIB)

    assert placed(view(worker_and_one_head), {"isolation": "Dedicated"}).worker.name == "cpu-2gi"
    other = seats("cpu-2gi", namespace="other")
    refused = unplaced(view(worker_and_one_head, pools=(other,)), {"isolation": "Dedicated"})
    assert "2 pool heads" in refused.message


def test_a_seat_spares_the_head() -> None:
    worker_and_one_head = node(memory_bytes=4 * GIB + 1664 * MIB)

    made = placed(view(worker_and_one_head, pools=(seats(),)))

    assert made.worker.name == "cpu-4gi"


@given(
    free=st.integers(0, 32),
    cores=st.integers(0, 8),
    schedulable=st.booleans(),
    others=st.integers(0, 6),
)
def test_nothing_is_placed_where_it_does_not_fit_and_nothing_is_silent(
    free: int, cores: int, schedulable: bool, others: int
) -> None:
    there = node(free_memory_bytes=free * GIB, free_cpu_cores=cores / 2, schedulable=schedulable)
    pools = tuple(seats("cpu-8gi", namespace=f"other-{n}") for n in range(others))

    result = outcome(view(there, pools=pools))

    if isinstance(result, Unplaced):
        assert result.waits
        assert result.message
        return
    worker, heads = result.worker, others + 1
    assert schedulable
    assert amount(worker.memory) + heads * 1664 * MIB <= free * GIB
    assert amount(worker.cpu) + heads * 0.25 <= cores / 2


def test_placing_twice_gives_the_same() -> None:
    cluster = view(gpu_node("b"), gpu_node("a"), node(), engines=BOTH)

    assert outcome(cluster, {}, LARGE) == outcome(cluster, {}, LARGE)
