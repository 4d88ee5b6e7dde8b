"""The cards that ship with the project are complete, consistent and honest."""

from functools import cache
from importlib import resources
from typing import Final

import pytest

from smallmodel_operator.api.modelcard import Evidence, Format, ModelCard, Task
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.cards import Catalog, parse_cards

SERVED_BY_TESTS: Final = frozenset({("smollm2-135m-instruct", "q4_1")})
"""Variants whose real weights a test of this repository serves; nothing else may say so."""
CONVERTED_BY_TESTS: Final = frozenset({("all-minilm-l6-v2", "f16")})

ASKED_FOR: Final = (
    "llama-3-8b-instruct", "llama-3.2-1b-instruct", "llama-3.2-3b-instruct", "llama-2-13b-chat",
    "phi-2", "phi-3-mini-4k-instruct", "phi-3-mini-128k-instruct", "gemma-2b-it", "gemma-7b-it",
    "mixtral-8x7b-instruct-v0.1", "openelm-270m-instruct", "openelm-450m-instruct",
    "openelm-1.1b-instruct", "openelm-3b-instruct", "deepseek-coder-1.3b-instruct",
    "deepseek-coder-6.7b-instruct", "deepseek-coder-33b-instruct", "orca-2-7b", "orca-2-13b",
    "codegen2.5-7b-multi", "xgen-7b-8k-base", "bert-base-uncased", "gpt2", "gpt2-medium",
    "gpt2-large", "gpt2-xl", "smollm2-135m-instruct", "smollm2-360m-instruct",
    "smollm2-1.7b-instruct", "qwen2.5-0.5b-instruct", "qwen2.5-1.5b-instruct",
    "qwen2.5-3b-instruct", "qwen2.5-7b-instruct", "tinyllama-1.1b-chat",
    "mistral-7b-instruct-v0.3", "all-minilm-l6-v2", "bge-small-en-v1.5", "gemini-nano",
)  # fmt: skip
OPEN_LICENSES: Final = frozenset({"Apache-2.0", "MIT"})


@cache
def shipped() -> Catalog:
    folder = resources.files("smallmodel_operator.catalog") / "cards"
    return parse_cards({file.name: file.read_text() for file in folder.iterdir()})


def cards() -> list[ModelCard]:
    return list(shipped().cards)


def named(card: ModelCard) -> str:
    return card.metadata.name


def test_every_promised_model_has_a_card() -> None:
    assert set(ASKED_FOR) <= set(shipped().names)


@pytest.mark.parametrize("card", cards(), ids=named)
def test_a_card_says_where_it_comes_from_and_what_memory_is_computed_from(card: ModelCard) -> None:
    assert card.spec.provenance.card
    assert card.spec.license.url
    assert (card.spec.architecture is None) == (card.spec.closed is not None)


@pytest.mark.parametrize("card", cards(), ids=named)
def test_only_open_licences_go_without_being_accepted(card: ModelCard) -> None:
    terms = card.spec.license

    assert terms.restricted == (terms.id not in OPEN_LICENSES)
    assert terms.restricted or not terms.gated


@pytest.mark.parametrize("card", cards(), ids=named)
def test_alternatives_to_a_closed_model_are_open_models_of_the_catalogue(card: ModelCard) -> None:
    alternatives = card.spec.closed.alternatives if card.spec.closed else ()

    found = [shipped().get(name) for name in alternatives]

    assert all(other is not None and other.spec.closed is None for other in found)


@pytest.mark.parametrize("card", cards(), ids=named)
def test_evidence_is_claimed_only_for_what_a_test_does(card: ModelCard) -> None:
    claims = {
        evidence: {
            (card.metadata.name, variant.name)
            for variant in card.spec.variants
            if variant.evidence is evidence
        }
        for evidence in Evidence
    }
    best = next((level for level in Evidence if claims[level]), Evidence.DECLARED)

    assert claims[Evidence.SERVED] <= SERVED_BY_TESTS
    assert claims[Evidence.CONVERTED] <= CONVERTED_BY_TESTS
    assert card.spec.evidence is best


@pytest.mark.parametrize("card", cards(), ids=named)
def test_each_variant_goes_to_the_engine_that_reads_its_format_and_can_run_it(
    card: ModelCard,
) -> None:
    refused = {refusal.engine for refusal in card.spec.engine_refusals}
    for variant in card.spec.variants:
        is_gguf = variant.format is Format.GGUF
        assert variant.engine is (Engine.LLAMA_CPP if is_gguf else Engine.VLLM)
        assert variant.uri.endswith(".gguf") == is_gguf
        assert variant.engine not in refused


@pytest.mark.parametrize("card", cards(), ids=named)
def test_known_bytes_agree_with_parameters_and_bits(card: ModelCard) -> None:
    for variant in card.spec.variants:
        if variant.bytes is not None and card.spec.architecture is not None:
            computed = card.spec.architecture.parameters * variant.bits_per_weight / 8
            assert variant.bytes == pytest.approx(computed, rel=0.02)


@pytest.mark.parametrize("card", cards(), ids=named)
def test_an_encoder_serves_embeddings(card: ModelCard) -> None:
    architecture = card.spec.architecture
    is_encoder = architecture is not None and architecture.name.startswith("Bert")

    assert (card.spec.task is Task.EMBEDDING) == is_encoder
