"""The room in a cluster, as its agent tells it, and as the hub reads it."""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.base import amount, seconds
from smallmodel_operator.api.capacity import (
    NODES_MAX,
    POOLS_MAX,
    ClusterCapacity,
    NodeDevices,
    NodeRoom,
    PoolRoom,
)
from smallmodel_operator.placement.cluster_values import ClusterView, Node, PoolSeats
from smallmodel_operator.placement.machine import AcceleratorStock

_MIB: Final = 2**20


def capacity_of(view: ClusterView) -> ClusterCapacity:
    """Return what an agent tells of its cluster.

    Numbers are rounded down, so that the hub never counts on what is not there.
    """
    return ClusterCapacity(
        nodes=tuple(_room(node) for node in _roomiest(view.nodes)),
        pools=tuple(
            PoolRoom(
                namespace=pool.namespace,
                worker_class=pool.worker_class,
                models=pool.models,
                dedicated=pool.dedicated,
            )
            for pool in view.pools[:POOLS_MAX]
        ),
        engines=tuple(sorted(view.engines)),
        models_per_pool=view.models_per_pool,
        workers_max=view.max_workers,
        request_timeout=f"{int(view.request_timeout_seconds)}s",
    )


def view_of(name: str, capacity: ClusterCapacity) -> ClusterView:
    """Return a cluster as its agent told it last.

    Args:
        name: The ModelCluster.
        capacity: What was told.
    """
    return ClusterView(
        name=name,
        nodes=tuple(_node(room) for room in capacity.nodes),
        engines=frozenset(capacity.engines),
        pools=tuple(
            PoolSeats(
                namespace=pool.namespace,
                worker_class=pool.worker_class,
                models=pool.models,
                dedicated=pool.dedicated,
            )
            for pool in capacity.pools
        ),
        models_per_pool=capacity.models_per_pool,
        max_workers=capacity.workers_max,
        request_timeout_seconds=seconds(capacity.request_timeout),
    )


def _roomiest(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes to tell of, by name."""

    def room(node: Node) -> tuple[bool, int, int, str]:
        return (not node.takes_pods, -node.free_accelerators, -node.free_memory_bytes, node.name)

    return sorted(sorted(nodes, key=room)[:NODES_MAX], key=lambda node: node.name)


def _room(node: Node) -> NodeRoom:
    stock = node.accelerator
    return NodeRoom(
        name=node.name,
        ready=node.ready,
        schedulable=node.schedulable,
        cpu=_cores(node.cpu_cores),
        memory=_memory(node.memory_bytes),
        free_cpu=_cores(node.free_cpu_cores),
        free_memory=_memory(node.free_memory_bytes),
        devices=NodeDevices(
            product=stock.product,
            allocatable=stock.count,
            free=node.free_accelerators,
            memory=_memory(stock.memory_bytes) if stock.memory_bytes is not None else None,
        )
        if stock is not None
        else None,
    )


def _node(room: NodeRoom) -> Node:
    devices = room.devices
    return Node(
        name=room.name,
        ready=room.ready,
        schedulable=room.schedulable,
        cpu_cores=amount(room.cpu),
        memory_bytes=int(amount(room.memory)),
        free_cpu_cores=amount(room.free_cpu),
        free_memory_bytes=int(amount(room.free_memory)),
        accelerator=AcceleratorStock(
            product=devices.product,
            count=devices.allocatable,
            memory_bytes=int(amount(devices.memory)) if devices.memory is not None else None,
        )
        if devices is not None
        else None,
        free_accelerators=devices.free if devices is not None else 0,
    )


def _cores(cores: float) -> str:
    # A node whose pods ask for more than it has, has nothing free.
    return f"{max(0, int(cores * 1000))}m"


def _memory(count: int) -> str:
    return f"{max(0, count) // _MIB}Mi"
