"""The ModelCluster: a place where models can run."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.cel import keyed_by
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.where import (
    ClusterEnergy,
    ClusterNetwork,
    ClusterPrices,
    ClusterTaint,
    Country,
    Tier,
    Where,
    distinct,
)


class ConnectionMode(StrEnum):
    """How the operator reaches the cluster."""

    LOCAL = "Local"
    """It is the operator's own."""


class Connection(ApiModel):
    """How the cluster is reached."""

    mode: ConnectionMode = ConnectionMode.LOCAL
    """Local: the operator's own cluster."""


class ModelClusterSpec(ApiModel):
    """What an administrator declares of the cluster."""

    connection: Connection = Connection()
    """How the cluster is reached."""
    tier: Tier | None = None
    """What kind of place it is."""
    jurisdiction: Country | None = None
    """The country whose law holds there; unset, no data with a required residency is read there."""
    location: Where = Where()
    """Where it is."""
    prices: ClusterPrices = ClusterPrices()
    """What an hour costs there."""
    energy: ClusterEnergy = ClusterEnergy()
    """What its electricity means."""
    network: ClusterNetwork = ClusterNetwork()
    """What its line carries and costs."""
    taints: Annotated[
        tuple[ClusterTaint, ...],
        Field(max_length=16, json_schema_extra=keyed_by("key")),
        distinct("key"),
    ] = ()
    """What keeps models away that do not tolerate it."""


class ObservedAccelerator(ApiModel):
    """Devices of one product."""

    product: str
    """As the node label `nvidia.com/gpu.product` says."""
    allocatable: int
    """On nodes that take pods."""
    memory: str | None = None
    """Of each; unset where no node label says it."""


class ModelClusterStatus(ApiModel):
    """What was seen of the cluster."""

    observed_generation: int = 0
    """The generation of the spec that this status speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """The facts, by type."""
    kubernetes_version: str | None = None
    """Of the API server."""
    kube_ray_version: str | None = None
    """Of the KubeRay operator, as far as its objects tell."""
    nodes: int = 0
    """Nodes that are ready and take pods."""
    cpu: str | None = None
    """CPU cores that are allocatable on these nodes together."""
    memory: str | None = None
    """Memory that is allocatable on these nodes together."""
    accelerators: Annotated[
        tuple[ObservedAccelerator, ...], Field(json_schema_extra=keyed_by("product"))
    ] = ()
    """Devices on these nodes, by product."""
    observed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When a fact above last changed."""


class ModelCluster(ApiModel):
    """A place where models can run."""

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelCluster"] = "ModelCluster"
    metadata: ObjectMeta
    spec: ModelClusterSpec = ModelClusterSpec()
    status: ModelClusterStatus = ModelClusterStatus()
