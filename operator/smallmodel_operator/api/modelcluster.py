"""The ModelCluster: a place where models can run."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration
from smallmodel_operator.api.capacity import ClusterCapacity
from smallmodel_operator.api.cel import Rule, checked_by, keyed_by
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.names import API_VERSION, CLUSTER_NAME_MAX, LOCAL_CLUSTER
from smallmodel_operator.api.reasons import Reason
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

_PUSH_NEEDS: Final = (
    "mode Push needs one of kubeconfigSecretRef (a Secret with a kubeconfig in the operator's own "
    "namespace, which `slm cluster join` makes) and clusterProfileRef, and not both"
)
_ONLY_PUSH: Final = (
    "kubeconfigSecretRef and clusterProfileRef are for mode Push alone; remove what is there, or "
    "write `mode: Push`"
)
_LOCAL_IS_LOCAL: Final = (
    f"the ModelCluster {LOCAL_CLUSTER} is the operator's own cluster, whose connection.mode is "
    "Local; give another cluster another name"
)


class ConnectionMode(StrEnum):
    """Who calls whom."""

    LOCAL = "Local"
    """It is the operator's own."""
    PUSH = "Push"
    """The operator calls the cluster's API server."""
    PULL = "Pull"
    """An agent in the cluster calls the operator's API server, for clusters behind a NAT."""
    BUNDLE = "Bundle"
    """Nobody calls: signed files are carried there and back, for clusters that no line reaches."""


class KubeconfigSecretRef(ApiModel):
    """A kubeconfig in a Secret of the operator's own namespace."""

    name: Annotated[str, Field(pattern=patterns.CARD_NAME, max_length=253)]
    """The Secret."""
    key: Annotated[str, Field(pattern=patterns.DATA_KEY, max_length=253)] = "kubeconfig"
    """The kubeconfig in it. Its current context is used: an address, its authority, and a token or
    a client certificate, all inside the file."""


class ClusterProfileRef(ApiModel):
    """A ClusterProfile (multicluster.x-k8s.io) of the operator's own cluster."""

    name: Annotated[str, Field(pattern=patterns.CARD_NAME, max_length=253)]
    """The ClusterProfile."""
    namespace: Annotated[str, Field(pattern=patterns.NAME, max_length=63)]
    """Where it is."""


class Connection(ApiModel):
    """How the cluster is reached."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "self.mode != 'Push' || "
                "has(self.kubeconfigSecretRef) != has(self.clusterProfileRef)",
                _PUSH_NEEDS,
            ),
            Rule(
                "self.mode == 'Push' || "
                "!(has(self.kubeconfigSecretRef) || has(self.clusterProfileRef))",
                _ONLY_PUSH,
            ),
        )
    )

    mode: ConnectionMode = ConnectionMode.LOCAL
    """Local: the operator's own cluster. Push: the operator calls its API server. Pull: an agent in
    it calls the operator's. Bundle: signed files are carried there and back."""
    kubeconfig_secret_ref: KubeconfigSecretRef | None = None
    """With which kubeconfig; for mode Push."""
    cluster_profile_ref: ClusterProfileRef | None = None
    """For mode Push instead of a kubeconfig: by the address in this ClusterProfile, with a token of
    a credential plugin that the operator was installed with."""
    cluster_uid: Annotated[str | None, Field(alias="clusterUID", max_length=63)] = None
    """The UID of its namespace kube-system; any other cluster is refused. Unset: that of the one
    which answers first."""
    bundle_max_age: Duration | None = None
    """For mode Bundle: how old the cluster's last file may be before it counts as one that does not
    answer; unset: 168h."""

    @model_validator(mode="after")
    def _push_has_one_way_in(self) -> Self:
        ways = (self.kubeconfig_secret_ref, self.cluster_profile_ref)
        given = len(ways) - ways.count(None)
        if self.mode is ConnectionMode.PUSH and given != 1:
            raise ValueError(_PUSH_NEEDS)
        if self.mode is not ConnectionMode.PUSH and given:
            raise ValueError(_ONLY_PUSH)
        return self


class ClusterGateway(ApiModel):
    """The cluster's gateway."""

    address: Annotated[str, Field(pattern=patterns.GATEWAY_ADDRESS, max_length=253)]
    """Where gateways of other clusters reach it, without a path."""


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
    gateway: ClusterGateway | None = None
    """Its gateway, where other clusters may ask it."""
    taints: Annotated[
        tuple[ClusterTaint, ...],
        Field(max_length=16, json_schema_extra=keyed_by("key")),
        distinct("key"),
    ] = ()
    """What keeps models away that do not tolerate it."""


class LinkState(StrEnum):
    """How the hub and the cluster get on."""

    CONNECTED = "Connected"
    """It answers: the hub reads and writes there."""
    DEGRADED = "Degraded"
    """It answers slowly, or not always."""
    UNREACHABLE = "Unreachable"
    """It does not answer. Nothing is deleted, moved or called gone for that."""
    CREDENTIAL_ERROR = "CredentialError"
    """The hub has no usable credentials for it, or it does not let the hub in."""
    BUNDLED = "Bundled"
    """Nobody calls it. What is known of it came as a file, and the file is new enough."""


class ClusterLink(ApiModel):
    """How the hub and the cluster get on. It is written when the state changes."""

    state: LinkState
    """The state."""
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it began."""
    last_contact: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the cluster had answered last, as of the beginning of the state; unset: never."""
    reason: Reason
    """Why, in one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """The value, the rule and the next step."""
    cluster_uid: Annotated[str | None, Field(alias="clusterUID", max_length=63)] = None
    """The UID of the namespace kube-system of the cluster that answered."""


class CarriedStatus(ApiModel):
    """The file that the status of a cluster of mode Bundle came in."""

    serial: Annotated[int, Field(ge=0)]
    """Of the file; an older one is not taken."""
    exported_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the cluster wrote it, by its own clock."""
    imported_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the hub read it."""
    applied: Annotated[int, Field(ge=0)] | None = None
    """The serial of the hub's file that the cluster had taken last by then; unset: none."""


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
    link: ClusterLink | None = None
    """How the hub and the cluster get on; unset for the operator's own cluster."""
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
    capacity: ClusterCapacity | None = None
    """What the agent of a cluster of mode Pull, or a file of one of mode Bundle, tells of its room;
    unset for others, which the hub sees itself."""
    bundle: CarriedStatus | None = None
    """For mode Bundle: the file that all of this came in."""
    observed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When a fact above last changed."""


class ModelCluster(ApiModel):
    """A place where models can run."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                f"self.metadata.name.size() <= {CLUSTER_NAME_MAX}",
                f"the name may have at most {CLUSTER_NAME_MAX} characters, because the name of a "
                "namespace is derived from it",
            ),
            Rule(
                f"self.metadata.name.matches('{patterns.NAME}')",
                f"the name must be {patterns.MEANINGS[patterns.NAME]}",
            ),
            Rule(
                f"self.metadata.name != '{LOCAL_CLUSTER}' || !has(self.spec.connection) || "
                "self.spec.connection.mode == 'Local'",
                _LOCAL_IS_LOCAL,
            ),
        )
    )

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelCluster"] = "ModelCluster"
    metadata: ObjectMeta
    spec: ModelClusterSpec = ModelClusterSpec()
    status: ModelClusterStatus = ModelClusterStatus()

    @field_validator("metadata")
    @classmethod
    def _name_leaves_room(cls, metadata: ObjectMeta) -> ObjectMeta:
        if len(metadata.name) > CLUSTER_NAME_MAX:
            raise ValueError(
                f"the name {metadata.name!r} has {len(metadata.name)} characters, and at most "
                f"{CLUSTER_NAME_MAX} are allowed, because the name of a namespace is derived from "
                "it"
            )
        return metadata

    @model_validator(mode="after")
    def _local_is_local(self) -> Self:
        is_local = self.spec.connection.mode is ConnectionMode.LOCAL
        if self.metadata.name == LOCAL_CLUSTER and not is_local:
            raise ValueError(_LOCAL_IS_LOCAL)
        return self
