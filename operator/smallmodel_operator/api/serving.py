"""The application arguments: all that the operator tells what runs inside Ray.

The one leaf that the serving image shares with the operator. `plan` renders these values into the
Serve config, and `smallmodel_serving.runtime` parses them; a contract test does both.
"""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Sha256

CONTRACT: Final = 1
"""Raised when a field changes its meaning; recorded wherever arguments were rendered."""

PROBE_HEADER: Final = "x-smallmodel-probe"
"""A request with this header does not count as use: it leaves the idle clock alone."""

RETRY_AFTER_SECONDS: Final = 5
"""What a client is told to wait after 429 or 503."""

NODE_FOLDER_VARIABLE: Final = "SMALLMODEL_NODE_DIR"
"""Environment variable: the folder in which the replicas of one node share its memory."""

NODE_MEMORY_VARIABLE: Final = "SMALLMODEL_NODE_MEMORY"
"""Environment variable: bytes that the engines of the node may use together."""

FETCH_ENVIRONMENT_VARIABLE: Final = "SMALLMODEL_FETCH_ENV"
"""Environment variable: a JSON object of further variables for a replica's own fetch, and nothing
else."""

ENGINE_REPORT_SUFFIX: Final = ".engine.json"
"""Ending of the file in the node's folder that each replica keeps an `EngineReport` in."""

MODEL_DEPLOYMENT: Final = "Model"
"""The deployment of a model's application, which the Serve config overrides by name."""

INDEX_DEPLOYMENT: Final = "Index"
"""The deployment of the `_index` application."""

ENGINES_PATH: Final = "/engines"
"""Below the route of `_index`: what the engines of the pool do, as `EngineReports`."""


class EngineState(StrEnum):
    """What the engine of a running replica does."""

    LOADING = "Loading"
    AWAKE = "Awake"
    ASLEEP = "Asleep"
    FAILED = "Failed"


class LlamaCppArgs(ApiModel):
    """Arguments of llama.cpp, rendered."""

    kind: Literal["LlamaCpp"] = "LlamaCpp"
    context_length: int
    """Tokens of one request; the engine gets this times `slots`."""
    slots: int
    """Requests that are computed at the same time."""
    threads: int | None = None
    """Threads for one engine; unset: all cores when alone awake, one fewer otherwise."""
    options: dict[str, str] = Field(default_factory=dict)
    """Allowed engine arguments of the user, by llama.cpp's own names."""


class VllmArgs(ApiModel):
    """Arguments of vLLM's OpenAI server, rendered."""

    kind: Literal["VLLM"] = "VLLM"
    arguments: tuple[str, ...]
    """As on the command line, model and host aside."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables that vLLM reads at start."""


class WeightsSource(ApiModel):
    """Where a replica fetches its weights from, on a worker that has no fetched ones yet."""

    uri: str
    revision: str | None = None
    sha256: Sha256 | None = None
    bytes: int | None = None
    cache: str
    """The folder that they are fetched below, which every replica of the worker may write."""


class ModelArgs(ApiModel):
    """Arguments of one model's Serve application."""

    contract: int = CONTRACT
    name: str
    """The name in `model` of a request."""
    task: Task
    weights: str
    """Absolute path of the verified file or folder."""
    sha256: Sha256 | None = None
    source: WeightsSource | None = None
    """Set where the replica fetches the weights itself; unset: they are there."""
    engine: Annotated[LlamaCppArgs | VllmArgs, Field(discriminator="kind")]
    memory_bytes: int
    """Memory of one replica while awake, its process included."""


class ModelTuning(ApiModel):
    """The `user_config` of one model's deployment: what changes without a restart.

    Serve passes it to `reconfigure` when a replica starts and whenever it changes.
    """

    keep_awake: bool = False
    """True: never asleep, and never asked to give way."""
    idle_timeout_seconds: float
    """Without a request for this long, the weights leave memory."""
    start_timeout_seconds: float
    """How long requests wait for a replica that comes up."""


class IndexedModel(ApiModel):
    """One model as the `_index` application knows it."""

    name: str
    start_timeout_seconds: float


class IndexConfig(ApiModel):
    """The `user_config` of the `_index` application."""

    models: tuple[IndexedModel, ...] = ()


class EngineReport(ApiModel):
    """What one replica says of its engine, written at each change of state and at no other time.

    It is left where others find it, in the node's folder and in the pool's store, because a request
    to the replica would count as use and wake a parked model.
    """

    model: str
    pid: int
    state: Literal["Loading", "Awake", "Asleep", "Failed"]
    reason: Reason | None = None
    """Set where the state is Failed."""
    message: str = ""
    load_seconds: float = 0.0
    """Of the last load."""
    threads: int | None = None


class EngineReports(ApiModel):
    """What the engines of one pool say: a report of each replica that lives."""

    engines: tuple[EngineReport, ...] = ()
