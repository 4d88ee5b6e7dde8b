"""The ModelCard: what a model is, who made it, and under which licence."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.cel import Rule, checked_by, keyed_by
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.smallmodel import CardName, Engine, SecretRef, Sha256, VariantName

Text = Annotated[str, Field(max_length=1024)]
Url = Annotated[str, Field(pattern=patterns.HTTPS_URL, max_length=512)]


class Task(StrEnum):
    """What a model is for; it chooses the engine's mode and the endpoints that answer."""

    CHAT = "Chat"
    """Trained to answer messages: `/v1/chat/completions` and `/v1/completions`."""
    COMPLETION = "Completion"
    """Continues a text and has no chat template: `/v1/completions`."""
    EMBEDDING = "Embedding"
    """Turns texts into vectors: `/v1/embeddings`."""


class Format(StrEnum):
    """How a variant's weights are stored."""

    GGUF = "GGUF"
    """One file, usually quantized, as llama.cpp reads it."""
    SAFETENSORS = "Safetensors"
    """A Hugging Face folder, as vLLM reads it."""


class Evidence(StrEnum):
    """How much of a card or variant was tried by this project."""

    SERVED = "Served"
    """A test serves it with its real weights."""
    CONVERTED = "Converted"
    """Its real weights were converted to this format and loaded, but no test serves it."""
    DECLARED = "Declared"
    """Taken from the publisher's description, and not tried."""


class License(ApiModel):
    """The terms under which the weights may be used."""

    id: Annotated[str, Field(max_length=64)]
    """An SPDX id, or a name of our own for terms that have none."""
    name: Text
    """The licence's full name."""
    url: Url | None = None
    """The licence's text. Unset only where the licence itself is unknown."""
    restricted: bool = False
    """True: use is limited, and a SmallModel must accept the licence by its id."""
    gated: bool = False
    """True: the publisher gives the weights only to accounts that asked for access."""


class Architecture(ApiModel):
    """What memory is computed from."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "size(self.kvHeads) == 1 || size(self.kvHeads) == self.layers",
                "kvHeads needs one number, or one for each of the layers",
            ),
        )
    )

    name: Annotated[str, Field(max_length=64)]
    """The class that the Hugging Face configuration names, for example LlamaForCausalLM."""
    parameters: Annotated[int, Field(ge=1)]
    """All parameters, experts included."""
    layers: Annotated[int, Field(ge=1, le=512)]
    """Transformer blocks."""
    heads: Annotated[int, Field(ge=1)]
    """Attention heads; the largest where layers differ."""
    kv_heads: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=512)
    ]
    """Key and value heads: one number for all layers, or one for each."""
    head_dim: Annotated[int, Field(ge=1)]
    """Width of one attention head."""
    hidden: Annotated[int, Field(ge=1)]
    """Width of the residual stream."""
    vocabulary: Annotated[int, Field(ge=1)]
    """Tokens that the tokenizer knows."""
    experts: Annotated[int, Field(ge=0)] = 0
    """Experts per layer; 0 for a dense model."""

    @model_validator(mode="after")
    def _kv_heads_for_each_layer(self) -> "Architecture":
        if len(self.kv_heads) not in (1, self.layers):
            raise ValueError(
                f"kvHeads has {len(self.kv_heads)} numbers; give one, or one for each of the "
                f"{self.layers} layers"
            )
        return self


class Provenance(ApiModel):
    """Where the claims on this card come from."""

    card: Url | None = None
    """The publisher's own description. Unset only where there is none."""
    paper: Url | None = None
    """The paper or report that describes the model."""


class EngineRefusal(ApiModel):
    """An engine that cannot run this model, and why."""

    engine: Engine
    """The engine."""
    reason: Text
    """What it lacks for this model."""


class Closed(ApiModel):
    """Why there are no weights, and what to take instead."""

    reason: Text
    """Why the publisher gives out no weights."""
    alternatives: Annotated[tuple[CardName, ...], Field(min_length=1, max_length=8)]
    """Cards of open models of about the same size."""


class Variant(ApiModel):
    """One set of weight files."""

    name: VariantName
    """What `spec.variant` of a SmallModel selects, for example q4_1 or bf16."""
    format: Format
    """How the weights are stored."""
    engine: Engine
    """The engine that runs this format."""
    uri: Annotated[str, Field(pattern=patterns.URI, max_length=1024)]
    """Where the weights are: https, hf, s3, gs, pypi, or file (local mode only)."""
    revision: Annotated[str, Field(max_length=128)] | None = None
    """The commit, tag or version at the source."""
    bits_per_weight: Annotated[float, Field(ge=1, le=32)]
    """Mean bits for one parameter, scales included."""
    bytes: Annotated[int, Field(ge=1)] | None = None
    """Size of the files, where it is really known."""
    sha256: Sha256 | None = None
    """Digest of the file, where it is really known."""
    evidence: Evidence = Evidence.DECLARED
    """How much of this variant was tried."""


class ModelCardSpec(ApiModel):
    """A description that sizing, licensing and people rely on."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "has(self.closed) || size(self.variants) > 0",
                "an open model needs at least one variant",
            ),
            Rule(
                "!has(self.closed) || size(self.variants) == 0",
                "a closed model has no variants",
            ),
        )
    )

    display_name: Text
    """The name as its publisher writes it."""
    publisher: Text
    """Who trained it and gave it out."""
    family: Annotated[str, Field(max_length=63)]
    """What groups cards in the catalogue, for example smollm2."""
    task: Task
    """What it is for; it chooses the endpoints that answer."""
    languages: Annotated[tuple[Annotated[str, Field(max_length=16)], ...], Field(max_length=64)]
    """ISO 639 codes, or `code` for programming languages."""
    license: License
    """The terms of use."""
    context_length: Annotated[int, Field(ge=1)]
    """Tokens that the model was trained for."""
    architecture: Architecture | None = None
    """Where it is unset, a SmallModel of this card must set `resources.memory`."""
    intended_use: Text
    """What its publisher made it for."""
    limits: Text
    """What it is known to do badly, or must not be used for."""
    provenance: Provenance
    """Where the claims on this card come from."""
    evidence: Evidence = Evidence.DECLARED
    """The best of what was tried with any variant."""
    secret_ref: SecretRef | None = None
    """The Secret with the token for gated weights; default `huggingface`."""
    engine_refusals: Annotated[tuple[EngineRefusal, ...], Field(max_length=4)] = ()
    """Engines that cannot run this model although they read one of its formats."""
    allow_unsafe_args: bool = False
    """True: engine arguments that import code or read paths may be used with Dedicated."""
    closed: Closed | None = None
    """Set for a model whose weights are not published."""
    variants: Annotated[
        tuple[Variant, ...], Field(max_length=32, json_schema_extra=keyed_by("name"))
    ] = ()
    """Sets of weights, best first."""

    @model_validator(mode="after")
    def _open_models_have_weights(self) -> "ModelCardSpec":
        if self.closed is None and not self.variants:
            raise ValueError("an open model needs at least one variant")
        if self.closed is not None and self.variants:
            raise ValueError("a closed model has no variants")
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variant names must differ, and these do not: {names}")
        return self


class CardMeta(ObjectMeta):
    """Metadata whose name may hold dots, because model names do (`qwen2.5-0.5b`)."""

    name: CardName


class ModelCard(ApiModel):
    """A model of the catalogue."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "self.metadata.name.size() <= 63",
                "the name may have at most 63 characters",
            ),
        )
    )

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["ModelCard"] = "ModelCard"
    metadata: CardMeta
    spec: ModelCardSpec
