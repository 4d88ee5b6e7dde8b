"""Resolving a SmallModel that names a card: options in order, and every refusal with its reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cards import (
    APACHE,
    GATED,
    LIMITED,
    CardBuilder,
    architecture,
    catalog,
    gguf,
    safetensors,
)
from builders.models import GIB, small_model
from smallmodel_operator.api.modelcard import Closed, EngineRefusal, License, ModelCard
from smallmodel_operator.api.reasons import EXPLANATIONS, Reason
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.engine_args import ALLOWED, UNSAFE
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve

NO_VLLM = (EngineRefusal(engine=Engine.VLLM, reason="vLLM does not know the architecture."),)
NO_ENGINE = (*NO_VLLM, EngineRefusal(engine=Engine.LLAMA_CPP, reason="Nor does llama.cpp"))


def resolved(
    fields: dict[str, object] | None = None,
    card: CardBuilder | None = None,
    secrets: frozenset[str] = frozenset(),
) -> ResolvedModel:
    result = resolve(small_model(fields), catalog(card or CardBuilder()), secrets=secrets)
    assert isinstance(result, ResolvedModel), result
    return result


def refused(
    fields: dict[str, object] | None = None,
    card: CardBuilder | None = None,
    secrets: frozenset[str] = frozenset(),
) -> ResolveError:
    result = resolve(small_model(fields), catalog(card or CardBuilder()), secrets=secrets)
    assert isinstance(result, ResolveError), result
    return result


def variants(result: ResolvedModel) -> list[str]:
    return [option.variant.name for option in result.options]


def test_options_come_for_the_accelerator_first_and_then_by_what_they_keep_of_the_model() -> None:
    card = CardBuilder(
        variants=(gguf("q4"), safetensors("fp8", bits=8), gguf("q8", bits=8.5), safetensors())
    )

    assert variants(resolved(card=card)) == ["bf16", "fp8", "q8", "q4"]


def test_two_variants_of_the_same_bits_come_by_name() -> None:
    card = CardBuilder(variants=(gguf("b"), gguf("a")))

    assert variants(resolved(card=card)) == ["a", "b"]


def test_an_option_carries_engine_context_slots_and_target() -> None:
    vllm, llama = resolved().options

    assert (vllm.engine, vllm.context_length, vllm.slots, vllm.target_ongoing_requests) == (
        Engine.VLLM, 4096, 8, 6,
    )  # fmt: skip
    assert (llama.engine, llama.context_length, llama.slots, llama.target_ongoing_requests) == (
        Engine.LLAMA_CPP, 4096, 4, 3,
    )  # fmt: skip
    assert llama.kv_bytes_per_token == 23_040
    assert llama.cpu is None


def test_what_the_user_sets_overrides_what_was_computed() -> None:
    result = resolved(
        {
            "contextLength": 1024,
            "scaling": {"targetOngoingRequests": 2},
            "resources": {"cpu": "1500m", "memory": "3Gi"},
        }
    )

    for option in result.options:
        assert option.context_length == 1024
        assert option.target_ongoing_requests == 2
        assert option.cpu == 1.5
        assert option.size.total == 3 * GIB
        assert option.size.weights > 0


def test_a_variant_or_an_engine_narrows_the_options() -> None:
    assert variants(resolved({"variant": "q4_k_m"})) == ["q4_k_m"]
    by_engine = resolved({"engine": "LlamaCpp"})
    assert variants(by_engine) == ["q4_k_m"]
    assert [(r.variant, r.reason) for r in by_engine.refusals] == [
        ("bf16", Reason.ENGINE_CANNOT_RUN)
    ]


def test_allowed_arguments_are_kept_sorted_and_slots_are_rendered_once() -> None:
    arguments = {"ubatch-size": "256", "parallel": "2", "cache-type-v": "q8_0"}

    result = resolved({"engineArgs": arguments})

    assert variants(result) == ["q4_k_m"]
    assert result.options[0].slots == 2
    assert result.engine_options == (("cache-type-v", "q8_0"), ("ubatch-size", "256"))


def test_an_unsafe_argument_needs_a_card_that_allows_it_and_a_pool_of_its_own() -> None:
    result = resolved(
        {"engineArgs": {"trust-remote-code": "true"}, "isolation": "Dedicated"},
        CardBuilder(allow_unsafe_args=True),
    )

    assert variants(result) == ["bf16"]


def test_the_accelerator_that_the_user_asks_for_leaves_out_llama_cpp() -> None:
    result = resolved({"resources": {"accelerator": {"class": "NVIDIA-L4"}}})

    assert variants(result) == ["bf16"]
    assert [refusal.reason for refusal in result.refusals] == [Reason.ENGINE_CANNOT_RUN]


def test_a_card_may_leave_the_engine_of_a_variant_to_its_format() -> None:
    assert variants(resolved(card=CardBuilder(variants=(safetensors(engine=Engine.AUTO),)))) == [
        "bf16"
    ]


def test_a_restricted_licence_is_accepted_by_its_id_and_a_gate_opened_by_its_secret() -> None:
    resolved({"acceptLicense": "limited-1"}, CardBuilder(license=LIMITED))
    resolved(card=CardBuilder(license=GATED), secrets=frozenset({"huggingface"}))
    resolved(card=CardBuilder(license=GATED, secret="ours"), secrets=frozenset({"ours"}))


def test_what_one_engine_cannot_run_the_other_may() -> None:
    result = resolved(card=CardBuilder(refusals=NO_VLLM))

    assert variants(result) == ["q4_k_m"]
    assert "vLLM does not know the architecture." in result.refusals[0].message


CLOSED = CardBuilder(
    architecture=None,
    variants=(),
    closed=Closed(reason="Its weights are not published.", alternatives=("open-1b", "open-2b")),
)
UNREAD_LICENSE = License(id="odd-1", name="Odd License", restricted=True)
GPU_ONLY: dict[str, object] = {"resources": {"accelerator": {"class": "NVIDIA-L4"}}}


@pytest.mark.parametrize(
    ("fields", "card", "reason", "told"),
    [
        ({"model": "litle-1b"}, CardBuilder(), Reason.UNKNOWN_MODEL,
         ["'litle-1b'", "Did you mean little-1b?", "slm catalog list"]),
        ({"model": "zzz"}, CardBuilder(), Reason.UNKNOWN_MODEL, ["'zzz'", "slm catalog list"]),
        ({}, CLOSED, Reason.CLOSED_MODEL, ["not published. ", "open-1b, open-2b"]),
        ({}, CardBuilder(license=LIMITED), Reason.LICENSE_NOT_ACCEPTED,
         ["Limited License", "not set", "https://example.com/limited",
          "acceptLicense: limited-1"]),
        ({"acceptLicense": "other"}, CardBuilder(license=UNREAD_LICENSE),
         Reason.LICENSE_NOT_ACCEPTED, ["'other'", "To accept it and set", "acceptLicense: odd-1"]),
        ({}, CardBuilder(license=GATED), Reason.SECRET_MISSING,
         ["namespace default", "'huggingface'", "https://example.com/card", "`token`",
          "$XDG_CONFIG_HOME/smallmodel/secrets/huggingface", "HF_TOKEN"]),
        ({}, CardBuilder(license=GATED, secret="ours"), Reason.SECRET_MISSING, ["'ours'"]),
        ({"variant": "q5"}, CardBuilder(), Reason.UNKNOWN_VARIANT, ["'q5'", "bf16, q4_k_m"]),
        ({"contextLength": 8193}, CardBuilder(), Reason.CONTEXT_TOO_LONG, ["8193", "8192 or less"]),
        ({}, CardBuilder(architecture=None), Reason.ARCHITECTURE_UNKNOWN,
         ["little-1b", "spec.resources.memory"]),
        ({"engine": "VLLM"}, CardBuilder(refusals=NO_VLLM), Reason.ENGINE_CANNOT_RUN,
         ["VLLM cannot run little-1b", "does not know the architecture. Set `engine: LlamaCpp`"]),
        ({"engine": "VLLM"}, CardBuilder(refusals=NO_ENGINE), Reason.ENGINE_CANNOT_RUN,
         ["VLLM cannot run little-1b: vLLM does not know the architecture."]),
        ({"variant": "bf16"}, CardBuilder(refusals=NO_VLLM), Reason.ENGINE_CANNOT_RUN,
         ["VLLM cannot run little-1b"]),
        ({"variant": "bf16", "engine": "LlamaCpp"}, CardBuilder(), Reason.ENGINE_CANNOT_RUN,
         ["spec.engine is LlamaCpp", "bf16 is Safetensors", "engine: VLLM"]),
        ({}, CardBuilder(variants=(safetensors(engine=Engine.LLAMA_CPP),)),
         Reason.ENGINE_CANNOT_RUN, ["bf16", "LlamaCpp", "only VLLM reads Safetensors"]),
        (GPU_ONLY, CardBuilder(variants=(gguf(),)), Reason.ENGINE_CANNOT_RUN,
         ["NVIDIA-L4", "uses the CPU only"]),
        ({"engineArgs": {"n-gpu-layers": "9"}, "engine": "LlamaCpp"}, CardBuilder(),
         Reason.ENGINE_ARG_REFUSED, ["'n-gpu-layers'", "cache-type-k", "Remove it"]),
        ({"engineArgs": {"parallel": "2", "max-num-seqs": "2"}}, CardBuilder(),
         Reason.ENGINE_ARG_REFUSED, ["'parallel'", "'max-num-seqs'"]),
        ({"engineArgs": {"parallel": "0"}}, CardBuilder(variants=(gguf(),)),
         Reason.ENGINE_ARG_REFUSED, ["parallel to '0'", "a whole number from 1 to 64"]),
        ({"engineArgs": {"chat-template": "x"}}, CardBuilder(variants=(gguf(),)),
         Reason.ENGINE_ARG_REFUSED, ["'chat-template'", "allowUnsafeArgs: true"]),
        ({"engineArgs": {"chat-template": "x"}},
         CardBuilder(variants=(gguf(),), allow_unsafe_args=True),
         Reason.ENGINE_ARG_REFUSED, ["'chat-template'", "isolation: Dedicated"]),
    ],
)  # fmt: skip
def test_a_refusal_says_the_value_the_rule_and_the_next_step(
    fields: dict[str, object], card: CardBuilder, reason: Reason, told: list[str]
) -> None:
    error = refused(fields, card)

    assert error.reason is reason
    assert [part for part in told if part not in error.message] == []


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("1", True), ("64", True), ("65", False), ("-1", False), ("1e2", False), ("", False)],
)
def test_a_number_must_be_whole_and_within_bounds(value: str, allowed: bool) -> None:
    assert ALLOWED[Engine.LLAMA_CPP]["parallel"].allows(value) is allowed


@pytest.mark.parametrize(("value", "allowed"), [("q8_0", True), ("Q8_0", False), ("", False)])
def test_a_word_must_be_one_of_the_list(value: str, allowed: bool) -> None:
    values = ALLOWED[Engine.LLAMA_CPP]["cache-type-k"]

    assert values.allows(value) is allowed
    assert "q8_0" in values.rule()


def test_any_text_is_not_no_text() -> None:
    values = UNSAFE[Engine.VLLM]["hf-overrides"]

    assert values.allows("{}")
    assert not values.allows("")
    assert values.rule() == "any text that is not empty"


def test_no_argument_is_both_safe_and_unsafe() -> None:
    for engine, safe in ALLOWED.items():
        assert safe.keys() & UNSAFE[engine].keys() == set()


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    pool = [safetensors(), safetensors("fp8", bits=8), gguf("q4"), gguf("q8", bits=8.5)]
    chosen = draw(st.lists(st.sampled_from(pool), unique_by=lambda v: v.name, min_size=1))
    return CardBuilder(
        name=draw(st.sampled_from(["little-1b", "little-2b", "other"])),
        license=draw(st.sampled_from([APACHE, LIMITED, GATED])),
        context_length=draw(st.sampled_from([512, 8192])),
        architecture=draw(st.sampled_from([None, architecture()])),
        refusals=draw(st.sampled_from([(), NO_VLLM, NO_ENGINE])),
        allow_unsafe_args=draw(st.booleans()),
        variants=tuple(chosen),
    ).build()


requests = st.fixed_dictionaries(
    {},
    optional={
        "variant": st.sampled_from(["bf16", "q4", "nope"]),
        "engine": st.sampled_from(["Auto", "VLLM", "LlamaCpp"]),
        "contextLength": st.integers(128, 10_000),
        "acceptLicense": st.sampled_from(["limited-1", "nope"]),
        "isolation": st.sampled_from(["Shared", "Dedicated"]),
        "engineArgs": st.dictionaries(
            st.sampled_from(["parallel", "seed", "chat-template", "nope"]),
            st.sampled_from(["1", "x"]),
        ),
        "resources": st.sampled_from(
            [{}, {"memory": "1Gi"}, {"accelerator": {"class": "NVIDIA-L4"}}]
        ),
    },
)


@given(
    fields=requests,
    shelf=st.lists(cards(), unique_by=lambda c: c.metadata.name),
    secrets=st.frozensets(st.just("huggingface")),
    data=st.data(),
)
def test_the_same_request_gives_the_same_answer_however_the_catalogue_is_shuffled(
    fields: dict[str, object],
    shelf: list[ModelCard],
    secrets: frozenset[str],
    data: st.DataObject,
) -> None:
    shuffled = data.draw(st.permutations(shelf))
    model = small_model(fields)

    first = resolve(model, Catalog(cards=tuple(shelf)), secrets=secrets)
    again = resolve(model, Catalog(cards=tuple(shuffled)), secrets=secrets)

    assert isinstance(first, ResolveError) == isinstance(again, ResolveError)
    if isinstance(first, ResolvedModel):
        assert first == again
        assert first.options
        assert all(refusal.message for refusal in first.refusals)
    else:
        assert isinstance(again, ResolveError)
        assert first.reason is again.reason
        assert first.reason in EXPLANATIONS
        assert first.message
