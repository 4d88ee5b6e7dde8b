"""What the fetch program prints: one JSON object a line, read by whoever started it."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Sha256

CLAIMS_FOLDER: Final = "/pvc"
"""Where the claim of a `pvc://<claim>/…` source is mounted, as `/pvc/<claim>`, read-only: in the
fetch Job, and at the same place in the pods that serve it."""


class GgufFacts(ApiModel):
    """What the header of a GGUF file says of the model in it."""

    architecture: str
    """llama.cpp's name, for example `llama` or `bert`."""
    parameters: int
    layers: int
    heads: int
    kv_heads: tuple[int, ...]
    """One number for all layers, or one for each."""
    head_dim: int
    hidden: int
    vocabulary: int
    context_length: int
    has_chat_template: bool
    embeds: bool
    """True: the model pools its tokens into one vector, so it serves embeddings."""


class FetchProgress(ApiModel):
    """Bytes so far."""

    kind: Literal["progress"] = "progress"
    done_bytes: int
    total_bytes: int | None
    """Unset: the source did not say."""
    resumed_bytes: int = 0
    """How much was there from an earlier, cut download."""


class FetchWaiting(ApiModel):
    """Another process holds the lock for the same weights."""

    kind: Literal["waiting"] = "waiting"


class FetchDone(ApiModel):
    """The verified file or folder."""

    kind: Literal["done"] = "done"
    path: str
    bytes: int
    sha256: Sha256 | None
    """Of a single file; unset for a folder."""
    gguf: GgufFacts | None = None
    """Set for a GGUF file."""


class FetchFailed(ApiModel):
    """Why there is no file. Nothing partial is left that could be served."""

    kind: Literal["failed"] = "failed"
    reason: Reason
    message: str


FetchEvent = FetchProgress | FetchWaiting | FetchDone | FetchFailed
FETCH_EVENTS: TypeAdapter[FetchEvent] = TypeAdapter(
    Annotated[FetchEvent, Field(discriminator="kind")]
)
