"""Builders of ModelCards: every field has a plain value, and a test says only what it is about."""

from dataclasses import dataclass, field

from smallmodel_operator.api.modelcard import (
    Architecture,
    CardMeta,
    Closed,
    EngineRefusal,
    Evidence,
    Format,
    License,
    ModelCard,
    ModelCardSpec,
    Provenance,
    Task,
    Variant,
)
from smallmodel_operator.api.smallmodel import Engine, SecretRef
from smallmodel_operator.catalog.cards import Catalog

APACHE = License(
    id="Apache-2.0", name="Apache License 2.0", url="https://www.apache.org/licenses/LICENSE-2.0"
)
LIMITED = License(
    id="limited-1", name="Limited License", url="https://example.com/limited", restricted=True
)
GATED = License(id="gated-1", name="Gated License", url="https://example.com/gated", gated=True)


def architecture(
    *,
    name: str = "LlamaForCausalLM",
    parameters: int = 134_515_008,
    layers: int = 30,
    heads: int = 9,
    kv_heads: tuple[int, ...] = (3,),
    head_dim: int = 64,
    hidden: int = 576,
    vocabulary: int = 49_152,
) -> Architecture:
    """Return SmolLM2-135M's architecture, with changes."""
    return Architecture(
        name=name,
        parameters=parameters,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        hidden=hidden,
        vocabulary=vocabulary,
    )


def gguf(
    name: str = "q4_k_m",
    *,
    bits: float = 4.9,
    size: int | None = None,
    sha256: str | None = None,
    evidence: Evidence = Evidence.DECLARED,
) -> Variant:
    """Return a variant for llama.cpp."""
    return Variant(
        name=name,
        format=Format.GGUF,
        engine=Engine.LLAMA_CPP,
        uri=f"hf://org/repo-GGUF/{name}.gguf",
        bits_per_weight=bits,
        bytes=size,
        sha256=sha256,
        evidence=evidence,
    )


def safetensors(name: str = "bf16", *, bits: float = 16, engine: Engine = Engine.VLLM) -> Variant:
    """Return a variant for vLLM."""
    return Variant(
        name=name,
        format=Format.SAFETENSORS,
        engine=engine,
        uri="hf://org/repo",
        bits_per_weight=bits,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBuilder:
    """A card in the making."""

    name: str = "little-1b"
    task: Task = Task.CHAT
    license: License = APACHE
    context_length: int = 8192
    architecture: Architecture | None = field(default_factory=architecture)
    variants: tuple[Variant, ...] = field(default_factory=lambda: (safetensors(), gguf()))
    secret: str | None = None
    refusals: tuple[EngineRefusal, ...] = ()
    allow_unsafe_args: bool = False
    closed: Closed | None = None

    def build(self) -> ModelCard:
        """Return the card."""
        return ModelCard(
            metadata=CardMeta(name=self.name),
            spec=ModelCardSpec(
                display_name=self.name,
                publisher="Somebody",
                family="little",
                task=self.task,
                languages=("en",),
                license=self.license,
                context_length=self.context_length,
                architecture=self.architecture,
                intended_use="Tests",
                limits="Not a real model",
                provenance=Provenance(card="https://example.com/card"),
                secret_ref=SecretRef(name=self.secret) if self.secret else None,
                engine_refusals=self.refusals,
                allow_unsafe_args=self.allow_unsafe_args,
                closed=self.closed,
                variants=self.variants,
            ),
        )


def catalog(*cards: CardBuilder) -> Catalog:
    """Return a catalogue of cards; of one plain card where none is given."""
    built = [card.build() for card in cards or (CardBuilder(),)]
    return Catalog(cards=tuple(sorted(built, key=lambda card: card.metadata.name)))
