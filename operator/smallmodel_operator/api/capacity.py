"""What an agent tells its hub of the room in its cluster, so that the hub can decide by it."""

from typing import Annotated, Final

from pydantic import Field

from smallmodel_operator.api.base import ApiModel, Duration, Quantity
from smallmodel_operator.api.cel import keyed_by
from smallmodel_operator.api.smallmodel import Engine, Name

NODES_MAX: Final = 50
POOLS_MAX: Final = 200

NodeName = Annotated[str, Field(max_length=253)]


class NodeDevices(ApiModel):
    """Accelerators of one node, all of one product."""

    product: Annotated[str, Field(max_length=253)]
    """As the node label `nvidia.com/gpu.product` says."""
    allocatable: int
    """How many there are."""
    free: int
    """How many of them no pod of others has."""
    memory: Quantity | None = None
    """Of each; unset where no node label says it."""


class NodeRoom(ApiModel):
    """One node. Free is what is allocatable less the requests of pods that are not ours."""

    name: NodeName
    """The node."""
    ready: bool = True
    """Its kubelet says so."""
    schedulable: bool = True
    """Neither cordoned, nor with a taint that pools do not tolerate."""
    cpu: Quantity
    """CPU cores that are allocatable."""
    memory: Quantity
    """Memory that is allocatable."""
    free_cpu: Annotated[Quantity, Field(alias="freeCPU")]
    """CPU cores that are free."""
    free_memory: Quantity
    """Memory that is free."""
    devices: NodeDevices | None = None
    """Its accelerators."""


class PoolRoom(ApiModel):
    """A pool that is there, and how full it is."""

    namespace: Name
    """The namespace of its models."""
    worker_class: Name
    """The class of its workers."""
    models: int
    """How many it has."""
    dedicated: bool = False
    """It takes no other."""


class ClusterCapacity(ApiModel):
    """What is there and what is free, and the bounds that the cluster's own settings give."""

    nodes: Annotated[
        tuple[NodeRoom, ...],
        Field(max_length=NODES_MAX, json_schema_extra=keyed_by("name")),
    ] = ()
    """Of more than 50, those with the most room."""
    pools: Annotated[tuple[PoolRoom, ...], Field(max_length=POOLS_MAX)] = ()
    """Of more than 200, the first by namespace."""
    engines: Annotated[
        tuple[Engine, ...],
        Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Engines for which there are images."""
    models_per_pool: Annotated[int, Field(ge=1)]
    """The most models of one pool."""
    workers_max: Annotated[int, Field(ge=1)]
    """The most worker pods of one pool."""
    request_timeout: Duration
    """The longest `requestTimeout` that a pool honours."""
