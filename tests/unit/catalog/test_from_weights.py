"""Weights named directly become a card of what their header says, and of nothing else."""

from collections.abc import Mapping

import pytest

from builders.cards import catalog
from builders.models import GIB, small_model
from smallmodel_operator.api.fetch import FetchDone, GgufFacts
from smallmodel_operator.api.modelcard import Format, Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve

SHA = "a" * 64
LLAMA = GgufFacts(
    architecture="llama",
    parameters=100_000_000,
    layers=10,
    heads=8,
    kv_heads=(2,),
    head_dim=64,
    hidden=512,
    vocabulary=32_000,
    context_length=2048,
    has_chat_template=True,
    embeds=False,
)


def done(facts: GgufFacts | None = LLAMA, *, size: int = 62_500_000) -> FetchDone:
    return FetchDone(
        path="/cache/model.gguf", bytes=size, sha256=SHA if facts else None, gguf=facts
    )


def resolved(
    weights: FetchDone | None, fields: Mapping[str, object] | None = None, **source: object
) -> ResolvedModel | ResolveError:
    uri = {"uri": "https://example.com/model.gguf"}
    return resolve(
        small_model({**(fields or {}), "source": uri | source}), catalog(), weights=weights
    )


def served(
    weights: FetchDone | None, fields: Mapping[str, object] | None = None, **source: object
) -> ResolvedModel:
    result = resolved(weights, fields, **source)
    assert isinstance(result, ResolvedModel), result
    return result


def test_the_header_gives_architecture_context_and_bits() -> None:
    result = served(done())

    assert result.card.metadata.name == "chat"
    assert result.card.spec.license.id == "unknown"
    assert result.card.spec.architecture is not None
    assert result.card.spec.architecture.kv_heads == (2,)
    (option,) = result.options
    assert option.engine is Engine.LLAMA_CPP
    assert option.context_length == 2048
    assert option.variant.bits_per_weight == 5.0
    assert option.variant.sha256 == SHA
    assert option.size.weights == 62_500_000
    assert option.kv_bytes_per_token == 10 * 2 * 64 * 4


@pytest.mark.parametrize(
    ("change", "task"),
    [
        ({}, Task.CHAT),
        ({"has_chat_template": False}, Task.COMPLETION),
        ({"embeds": True}, Task.EMBEDDING),
    ],
)
def test_the_header_says_what_the_model_is_for(change: dict[str, bool], task: Task) -> None:
    assert served(done(LLAMA.model_copy(update=change))).card.spec.task is task


def test_the_digest_that_the_user_declared_stays() -> None:
    assert served(done(), sha256="b" * 64).options[0].variant.sha256 == "b" * 64


def test_layers_without_attention_count_nothing() -> None:
    facts = LLAMA.model_copy(update={"kv_heads": (0, 2) * 5})

    assert served(done(facts)).options[0].kv_bytes_per_token == 5 * 2 * 64 * 4


@pytest.mark.parametrize(
    "facts",
    [
        None,
        LLAMA.model_copy(update={"kv_heads": (2, 2)}),
        LLAMA.model_copy(update={"parameters": 0}),
    ],
    ids=["no header", "contradiction", "no tensors"],
)
def test_an_unknown_architecture_needs_memory_from_the_user(facts: GgufFacts | None) -> None:
    error = resolved(done(facts))
    assert isinstance(error, ResolveError)
    assert error.reason is Reason.ARCHITECTURE_UNKNOWN
    assert "spec.resources.memory" in error.message

    option = served(done(facts), {"resources": {"memory": "2Gi"}}).options[0]
    assert option.size.total == 2 * GIB
    assert option.kv_bytes_per_token == 0


def test_before_fetching_the_name_says_the_format_and_the_user_the_context() -> None:
    memory = {"resources": {"memory": "2Gi"}}

    before = served(None, memory | {"contextLength": 8000}, uri="hf://org/repo")

    assert before.card.spec.variants[0].format is Format.SAFETENSORS
    assert before.options[0].engine is Engine.VLLM
    assert before.options[0].context_length == 8000
    assert before.options[0].size.weights == 0
    named = served(None, memory, uri="https://example.com/Model.GGUF?download=true")
    assert named.options[0].engine is Engine.LLAMA_CPP
    assert named.options[0].context_length == 4096


def test_vllm_gets_what_declared_memory_leaves_for_its_cache() -> None:
    weights = done(None, size=GIB)

    roomy = served(weights, {"resources": {"memory": "8Gi"}}, uri="hf://org/repo").options[0]
    tight = served(weights, {"resources": {"memory": "1Gi"}}, uri="hf://org/repo").options[0]

    assert 5 * GIB < roomy.size.kv_cache < 7 * GIB
    assert roomy.size.total == 8 * GIB
    assert tight.size.kv_cache == 0


def test_a_header_without_a_context_leaves_it_to_the_user() -> None:
    facts = LLAMA.model_copy(update={"context_length": 0})

    assert served(done(facts), {"contextLength": 1000}).options[0].context_length == 1000


@pytest.mark.parametrize(
    "uri", ["https://e.com/m.gguf", "hf://o/r/m.gguf", "s3://b/m.gguf", "gs://b/m.gguf",
            "pypi://p==1/m.gguf", "file:///m.gguf"],
)  # fmt: skip
def test_every_promised_scheme_is_read(uri: str) -> None:
    served(done(), uri=uri)


def test_another_scheme_is_refused_with_those_that_are_read() -> None:
    error = resolved(done(), uri="ftp://example.com/model.gguf")

    assert isinstance(error, ResolveError)
    assert error.reason is Reason.SOURCE_NOT_SUPPORTED
    assert "'ftp'" in error.message
    assert "https, hf, s3, gs, pypi, oci, pvc, file" in error.message


def test_a_secret_that_the_source_names_must_be_there() -> None:
    error = resolved(done(), secretRef={"name": "ours"})
    assert isinstance(error, ResolveError)
    assert error.reason is Reason.SECRET_MISSING
    assert "to be fetched with a secret" in error.message
    assert "Put the token" in error.message

    fields = {"source": {"uri": "https://e.com/m.gguf", "secretRef": {"name": "ours"}}}
    there = resolve(small_model(fields), catalog(), secrets=frozenset({"ours"}), weights=done())
    assert isinstance(there, ResolvedModel)


def test_bits_stay_within_what_a_parameter_can_have() -> None:
    assert served(done(size=10**9)).options[0].variant.bits_per_weight == 32
    assert served(done(size=10)).options[0].variant.bits_per_weight == 1
