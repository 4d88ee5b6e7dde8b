"""What placements that were just decided will take of a cluster, before anybody can see it there.

It follows from the placements alone, so that a process which starts knows it at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementSpec, WorkerClass
from smallmodel_operator.api.smallmodel import Isolation
from smallmodel_operator.placement.cluster_values import ClusterView, Node, PoolSeats
from smallmodel_operator.placement.cluster_workers import memory_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one model will take of a cluster."""

    namespace: str
    name: str
    worker: WorkerClass
    isolation: Isolation
    replicas: int
    """Those that never rest."""


def assume(
    view: ClusterView, placements: Iterable[ModelPlacement], also: Iterable[Taken] = ()
) -> ClusterView:
    """Return a cluster as it will be once the placements that it has not taken yet are in pools.

    A seat in a pool, the head of a pool that has to be made, and the workers of replicas that never
    rest are taken from what is free.

    Args:
        view: The cluster as it was seen.
        placements: All that were decided for it.
        also: What others would take that are no placements yet.
    """
    pending = [
        _taken_by(one.spec)
        for one in placements
        if one.status.pool is None and not one.metadata.deletion_timestamp
    ]
    pending += also
    if not pending:
        return view
    pools, nodes = list(view.pools), list(view.nodes)
    for one in sorted(pending, key=lambda one: (one.namespace, one.name)):
        _seat(pools, one, view.models_per_pool)
        for _ in range(min(one.replicas, view.max_workers)):
            _take(nodes, one.worker)
    return replace(view, pools=tuple(pools), nodes=tuple(nodes))


def _taken_by(spec: ModelPlacementSpec) -> Taken:
    return Taken(
        namespace=spec.model.namespace,
        name=spec.model.name,
        worker=spec.worker,
        isolation=spec.isolation,
        replicas=spec.scaling.min_replicas,
    )


def _seat(pools: list[PoolSeats], taken: Taken, most: int) -> None:
    """Take a seat in a pool that has one, or in a new one."""
    dedicated = taken.isolation is Isolation.DEDICATED
    for at, pool in enumerate(pools):
        same = (pool.namespace, pool.worker_class) == (taken.namespace, taken.worker.name)
        if same and not dedicated and not pool.dedicated and pool.models < most:
            pools[at] = replace(pool, models=pool.models + 1)
            return
    pools.append(
        PoolSeats(
            namespace=taken.namespace,
            worker_class=taken.worker.name,
            models=1,
            dedicated=dedicated,
        )
    )


def _take(nodes: list[Node], worker: WorkerClass) -> None:
    """Take a worker's room from the first node that has it; where none has, nobody can be told."""
    cpu, memory = amount(worker.cpu), memory_of(worker)
    product = worker.accelerator.class_ if worker.accelerator else None
    devices = worker.accelerator.count if worker.accelerator else 0
    for at, node in enumerate(nodes):
        free = node.devices(product, free=True)
        if (
            node.takes_pods
            and node.free_cpu_cores >= cpu
            and node.free_memory_bytes >= memory
            and free >= devices
        ):
            nodes[at] = replace(
                node,
                free_cpu_cores=node.free_cpu_cores - cpu,
                free_memory_bytes=node.free_memory_bytes - memory,
                free_accelerators=node.free_accelerators - devices,
            )
            return
