"""The ModelPlacement: one SmallModel on one cluster, fully resolved and pinned."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from smallmodel_operator.api.base import ApiModel, Quantity
from smallmodel_operator.api.cel import keyed_by
from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import CONTRACT, EngineState, ModelArgs, ModelTuning
from smallmodel_operator.api.smallmodel import (
    Accelerator,
    Engine,
    Isolation,
    Name,
    Performance,
    Scaling,
    SecretRef,
    Sha256,
)
from smallmodel_operator.api.where import Country


class ModelReference(ApiModel):
    """The SmallModel that is placed."""

    namespace: Name
    """The model's namespace."""
    name: Name
    """The model's name."""
    generation: int
    """The generation of the spec that was decided on."""


class PinnedWeights(ApiModel):
    """The weights that were chosen, as the fetch Job gets them."""

    uri: Annotated[str, Field(max_length=1024)]
    """Where the weights are."""
    revision: str | None = None
    """The commit, tag or version at the source."""
    sha256: Sha256 | None = None
    """The file's SHA-256."""
    bytes: int | None = None
    """The file's size."""
    secret_ref: SecretRef | None = None
    """The Secret with a token, in the model's own namespace."""


class WorkerClass(ApiModel):
    """The Ray workers that run the model: all models of one class may share a pool."""

    name: Name
    """For example `cpu-4gi` or `nvidia-l4`; part of the pool's name."""
    cpu: Quantity
    """CPU cores that one worker pod asks for."""
    memory: Quantity
    """Memory of one worker pod."""
    accelerator: Accelerator | None = None
    """Devices of one worker pod, and the product its node must have."""
    max_workers: Annotated[int, Field(ge=1)] = 1
    """The most worker pods of a pool."""


class PlacementResidency(ApiModel):
    """Where the data of the model may be read, by all laws that bind it together."""

    jurisdictions: Annotated[
        tuple[Country, ...],
        Field(min_length=1, max_length=250, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """Countries; groups of them are written out."""


class ModelPlacementSpec(ApiModel):
    """What was decided. Written by the operator only."""

    contract: int = CONTRACT
    """The contract in which `args` are rendered."""
    spec_hash: str = ""
    """Of everything else here; another value means that a field was lost on the way."""
    hub_id: str
    """Names the installation that decided; together with `model` it is the key of ownership."""
    cluster: Name
    """The ModelCluster that was chosen."""
    model: ModelReference
    """The SmallModel that is placed."""
    residency: PlacementResidency | None = None
    """What the cluster's own jurisdiction must be among; unset: no law binds the model. The API
    server and the serving cluster check it, each by itself."""
    re_resolve: str | None = None
    """The value of the annotation `smallmodel.dev/re-resolve` that was acted on."""
    engine: Engine
    """The engine that was chosen."""
    variant: str
    """The variant that was chosen."""
    weights: PinnedWeights
    """The weights that were chosen."""
    worker: WorkerClass
    """The Ray workers that run the model."""
    device_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Hundredths of one device that a replica takes; unset: the worker's devices are its own."""
    isolation: Isolation = Isolation.SHARED
    """Dedicated: in a pool of its own."""
    args: Annotated[
        ModelArgs,
        WithJsonSchema(
            {
                "type": "object",
                "description": "The arguments of the Serve application; `weights` is empty until "
                "they are fetched.",
                "x-kubernetes-preserve-unknown-fields": True,
            }
        ),
    ]
    """The arguments of the Serve application; `weights` is empty until they are fetched."""
    tuning: ModelTuning
    """What reaches running replicas without a restart."""
    scaling: Scaling
    """How many replicas there are, and when an idle model gives its memory back."""
    max_replicas: int
    """What has room; at most `scaling.maxReplicas`."""
    max_ongoing_requests: int
    """Requests that one replica holds at a time."""
    target_ongoing_requests: int
    """Requests per replica above which another is added."""
    resting_memory_bytes: int
    """Memory of a replica whose weights are not loaded."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why here, with numbers."""


class PlacedDeployment(ApiModel):
    """Ray Serve's view of the model's application."""

    serving_hash: str
    """Of the arguments that Serve was given last."""
    healthy: bool
    """The current arguments run."""
    failed: bool
    """Serve gave up, or marks the application unhealthy."""
    replicas: int
    """Replicas that run."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Serve's own words, cleaned and shortened."""
    engine: EngineState | None = None
    """What the engine of the busiest replica does; unset: none runs, or it is not known."""
    engine_reason: Reason | None = None
    """Why the engine failed, in one word."""
    engine_message: Annotated[str, Field(max_length=1024)] = ""
    """Why the engine failed."""


class PlacedProbe(ApiModel):
    """The outcome of the verifying request."""

    serving_hash: str
    """Of what was deployed when the request was sent."""
    pool: str | None = None
    """The RayService that was asked."""
    passed: bool
    """The answer had the form that its endpoint promises."""
    reason: Reason
    """Verified, or why not."""
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the answer came."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What came back."""
    performance: Performance | None = None
    """What the request measured."""


class Quarantine(ApiModel):
    """A revision that never worked and is out of its pool's config until it is tried again."""

    serving_hash: str
    """Of the revision that did not work."""
    attempts: int
    """How often it was tried."""
    until: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it is tried again."""
    reason: Reason
    """Why it did not work."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """The error, cleaned and shortened."""


class Problem(ApiModel):
    """What keeps the work from going on, where Serve has not been asked yet."""

    reason: Reason
    """One word for it."""
    message: Annotated[str, Field(max_length=1024)]
    """The value, the rule and the next step."""


class ModelPlacementStatus(ApiModel):
    """What the serving cluster knows of the model."""

    observed_generation: int = 0
    """The generation of the spec that this status speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """The facts, by type."""
    pool: str | None = None
    """The RayService that answers for the model: the gateway's upstream."""
    moving_to: str | None = None
    """The RayService that will answer once the model is verified there."""
    leaving: str | None = None
    """The RayService that answered before, and still has the model until its requests are done."""
    left_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When `leaving` stopped being the gateway's upstream."""
    problem: Problem | None = None
    """What keeps the pool from being made or changed; unset: nothing."""
    fetch: Annotated[
        FetchEvent | None,
        Field(discriminator="kind"),
        WithJsonSchema(
            {
                "type": "object",
                "description": "How far the weights are.",
                "x-kubernetes-preserve-unknown-fields": True,
            }
        ),
    ] = None
    """How far the weights are."""
    fetch_job: str | None = None
    """The Job that `fetch` speaks of; its name depends on the weights."""
    serving_hash: str | None = None
    """Of what the spec asks for, in the pool that it is assigned to."""
    deployment: PlacedDeployment | None = None
    """Ray Serve's view of the application."""
    probe: PlacedProbe | None = None
    """The last one, of whichever serving hash."""
    verified_hash: str | None = None
    """The serving hash that answered last: it works, and is never put into quarantine."""
    quarantine: Quarantine | None = None
    """Set while the revision is out of its pool's config."""
    ended: bool = False
    """The agent of a cluster of mode Pull says that nothing is left of it there, after its deletion
    was seen: the hub lets it go."""


class ModelPlacement(ApiModel):
    """One SmallModel on one cluster, fully resolved and pinned: all that serving it needs."""

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelPlacement"] = "ModelPlacement"
    metadata: ObjectMeta
    spec: ModelPlacementSpec
    status: ModelPlacementStatus = ModelPlacementStatus()
