"""The classes of Ray workers that could run a model, and what a pool takes besides them."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor
from typing import Final, TypeVar

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import WorkerClass
from smallmodel_operator.api.names import bounded
from smallmodel_operator.api.smallmodel import Accelerator, Isolation, SmallModelSpec
from smallmodel_operator.catalog.sizing import GIB, MIB, SERVE_REPLICA_PROCESS
from smallmodel_operator.placement.candidates import Candidate
from smallmodel_operator.placement.cluster_values import ClusterView

_Number = TypeVar("_Number", int, float)

HEAD_MEMORY: Final = 1664 * MIB
"""Requests of a pool's head and of the autoscaler beside it."""
HEAD_CPU: Final = 0.25
WORKER_OVERHEAD: Final = round(0.6 * GIB)
"""A worker pod with its raylet and HAProxy, before any model (measured: 0.5 to 0.6 GiB)."""
DEFAULT_CPU: Final = 2.0
"""Cores that a worker asks for where the user does not say."""

_SMALLEST: Final = 2 * GIB
_FEWER_CORES: Final = (1.0, 0.5)
_LEAST_CPU: Final = 0.1
_VLLM_HOST_PROCESS: Final = 3 * GIB
"""What vLLM takes of the host's memory beside a device. An estimate: no device was at hand."""
_NOT_IN_A_LABEL: Final = re.compile(r"[^a-z0-9]+")
_PRODUCT_MAX: Final = 20
"""Characters of a product in a class's name, which is part of a pool's name."""


def worker_classes(
    candidate: Candidate, spec: SmallModelSpec, cluster: ClusterView
) -> tuple[WorkerClass, ...]:
    """Return the classes that could run a candidate, the one that is best to share first.

    The first has memory for the awake model, for its share of the pool's resting processes and for
    Ray, rounded up to a power of two, so that models of about one size get one class. The others
    are for clusters where no node has that much: without the rounding, without the neighbours, and
    all of them again with fewer cores, unless the user said how many.
    """
    alone = host_bytes(candidate) + WORKER_OVERHEAD
    shared = alone + neighbours(spec, cluster) * SERVE_REPLICA_PROCESS
    cpus = wanted_cpus(candidate, cluster)
    product = candidate.stock.product if candidate.stock else None
    return _classes(product, candidate.devices, cpus, shared, alone, cluster.max_workers)


def host_bytes(candidate: Candidate) -> int:
    """Return what an awake model takes of its worker's memory, in bytes."""
    size = candidate.option.size
    if candidate.stock is None:
        return size.total
    # Asleep, vLLM keeps the weights in the host's memory.
    return size.weights + _VLLM_HOST_PROCESS


def neighbours(spec: SmallModelSpec, cluster: ClusterView) -> int:
    """Return how many other models rest on a worker of a full pool."""
    if spec.isolation is Isolation.DEDICATED:
        return 0
    return ceil(cluster.models_per_pool / cluster.max_workers) - 1


def wanted_cpus(candidate: Candidate, cluster: ClusterView) -> tuple[float, ...]:
    """Return the cores that a worker might ask for, the most first.

    What the user says, and nothing else. By default two, and at most half of the largest node: a
    head and the system's own pods need the rest. Less will do where that is taken, since an engine
    may use more than its worker asks for.
    """
    if candidate.option.cpu is not None:
        return (candidate.option.cpu,)
    product = candidate.stock.product if candidate.stock else None
    return _usual_cpus(cluster.most_cores(product))


@lru_cache(maxsize=4096)
def _usual_cpus(largest: float | None) -> tuple[float, ...]:
    if largest is None:
        largest = 2 * DEFAULT_CPU
    most = max(_LEAST_CPU, min(DEFAULT_CPU, floor(largest / 2 * 10) / 10))
    return _falling((most, *_FEWER_CORES))


def _falling(sizes: Sequence[_Number]) -> tuple[_Number, ...]:
    """Return the sizes without those that are no smaller than one before."""
    return tuple(size for at, size in enumerate(sizes) if at == 0 or size < min(sizes[:at]))


# Few classes are asked for again and again: for each model in each of many clusters.
@lru_cache(maxsize=4096)
def _classes(
    product: str | None,
    devices: int,
    cpus: tuple[float, ...],
    shared: int,
    alone: int,
    max_workers: int,
) -> tuple[WorkerClass, ...]:
    accelerator = Accelerator(class_=product, count=devices) if product is not None else None
    memories = _falling((_rounded(shared), _whole(shared), _rounded(alone), _whole(alone)))
    return tuple(
        _class(accelerator, cpu, memory, max_workers) for cpu in cpus for memory in memories
    )


def _class(
    accelerator: Accelerator | None, cpu: float, memory: int, max_workers: int
) -> WorkerClass:
    size = f"{memory // GIB}gi"
    cores = _quantity(cpu)
    if accelerator is None:
        name = f"cpu-{size}"
    else:
        product = _NOT_IN_A_LABEL.sub("-", accelerator.class_.lower()).strip("-")
        count = f"-x{accelerator.count}" if accelerator.count > 1 else ""
        name = f"{bounded(product, _PRODUCT_MAX)}{count}-{size}"
    return WorkerClass(
        # Other cores are another class: the name tells all that models must have in common.
        name=name if cpu == DEFAULT_CPU else f"{name}-{cores}{'' if cores.endswith('m') else 'c'}",
        cpu=cores,
        memory=f"{memory // GIB}Gi",
        accelerator=accelerator,
        max_workers=max_workers,
    )


def _rounded(need: int) -> int:
    size = _SMALLEST
    while size < need:
        size *= 2
    return size


def _whole(need: int) -> int:
    return ceil(need / GIB) * GIB


def _quantity(cores: float) -> str:
    return str(int(cores)) if cores == int(cores) else f"{ceil(cores * 1000)}m"


def memory_of(worker: WorkerClass) -> int:
    """Return the bytes that one worker asks for."""
    return int(amount(worker.memory))
