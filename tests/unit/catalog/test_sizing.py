"""Sizes: the worked examples for vLLM, the parts for llama.cpp, and what must always hold."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cards import CardBuilder, architecture, gguf, safetensors
from smallmodel_operator.api.modelcard import Architecture, Task
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog import sizing
from smallmodel_operator.catalog.sizing import GIB, KIB, MIB, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One model in bf16, with eight sequences of min(context, 4096) tokens."""

    name: str
    billions: float
    layers: int
    kv_heads: int
    head_dim: int
    context: int
    weights_gib: float
    kv_kib_per_token: float
    total_gib: float


# Computed by hand from the published architectures, with vLLM's terms: weights, a KV pool, and for
# the rest max(0.5, 5 % of the weights) + 0.6 GiB.
EXAMPLES = [
    Example(name="SmolLM2-135M", billions=0.135, layers=30, kv_heads=3, head_dim=64, context=4096,
            weights_gib=0.25, kv_kib_per_token=22.5, total_gib=2.1),
    Example(name="SmolLM2-360M", billions=0.362, layers=32, kv_heads=5, head_dim=64, context=4096,
            weights_gib=0.67, kv_kib_per_token=40, total_gib=3.0),
    Example(name="DeepSeek-Coder-1.3B", billions=1.346, layers=24, kv_heads=16, head_dim=128,
            context=4096, weights_gib=2.51, kv_kib_per_token=192, total_gib=9.6),
    Example(name="SmolLM2-1.7B", billions=1.711, layers=24, kv_heads=32, head_dim=64, context=4096,
            weights_gib=3.19, kv_kib_per_token=192, total_gib=10.3),
    Example(name="Gemma-2B", billions=2.506, layers=18, kv_heads=1, head_dim=256, context=4096,
            weights_gib=4.67, kv_kib_per_token=18, total_gib=6.3),
    Example(name="Phi-2", billions=2.779, layers=32, kv_heads=32, head_dim=80, context=2048,
            weights_gib=5.18, kv_kib_per_token=320, total_gib=11.3),
    Example(name="Phi-3-mini-4k", billions=3.821, layers=32, kv_heads=32, head_dim=96, context=4096,
            weights_gib=7.12, kv_kib_per_token=384, total_gib=20.2),
    Example(name="Orca-2-7b", billions=6.738, layers=32, kv_heads=32, head_dim=128, context=4096,
            weights_gib=12.55, kv_kib_per_token=512, total_gib=29.8),
    Example(name="DeepSeek-Coder-6.7B", billions=6.741, layers=32, kv_heads=32, head_dim=128,
            context=4096, weights_gib=12.56, kv_kib_per_token=512, total_gib=29.8),
    Example(name="CodeGen2.5-7b", billions=6.896, layers=32, kv_heads=32, head_dim=128,
            context=2048, weights_gib=12.84, kv_kib_per_token=512, total_gib=22.1),
    Example(name="XGen-7B-8k", billions=6.896, layers=32, kv_heads=32, head_dim=128, context=4096,
            weights_gib=12.84, kv_kib_per_token=512, total_gib=30.1),
    Example(name="Llama-3-8B", billions=8.030, layers=32, kv_heads=8, head_dim=128, context=4096,
            weights_gib=14.96, kv_kib_per_token=128, total_gib=20.3),
    Example(name="Llama-2-13b", billions=13.016, layers=40, kv_heads=40, head_dim=128, context=4096,
            weights_gib=24.24, kv_kib_per_token=800, total_gib=51.1),
    Example(name="DeepSeek-Coder-33B", billions=33.343, layers=62, kv_heads=8, head_dim=128,
            context=4096, weights_gib=62.11, kv_kib_per_token=248, total_gib=73.6),
    Example(name="Mixtral-8x7B", billions=46.703, layers=32, kv_heads=8, head_dim=128, context=4096,
            weights_gib=86.99, kv_kib_per_token=128, total_gib=95.9),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_worked_examples_for_vllm_hold_within_5_percent(example: Example) -> None:
    shape = architecture(
        parameters=round(example.billions * 1e9),
        layers=example.layers,
        kv_heads=(example.kv_heads,),
        head_dim=example.head_dim,
    )
    load = sizing.load_of(Engine.VLLM, example.context, {})

    size = sizing.vllm_size(shape, Task.CHAT, safetensors(), load)

    assert size.weights / GIB == pytest.approx(example.weights_gib, rel=0.05)
    per_token = sizing.kv_bytes_per_token(shape, Task.CHAT)
    assert per_token / KIB == pytest.approx(example.kv_kib_per_token, rel=0.05)
    assert size.total / GIB == pytest.approx(example.total_gib, rel=0.05)


def test_the_kv_pool_of_vllm_holds_one_full_context_and_eight_of_4096_tokens() -> None:
    assert sizing.vllm_pool_tokens(Load(context_length=1024, slots=8)) == 8 * 1024
    assert sizing.vllm_pool_tokens(Load(context_length=8192, slots=8)) == 8 * 4096
    assert sizing.vllm_pool_tokens(Load(context_length=100_000, slots=8)) == 100_000


@pytest.mark.parametrize(("context", "blocks"), [(1024, 9), (1000, 9), (1025, 10)])
def test_the_kv_pool_of_vllm_is_in_whole_blocks_and_one_is_vllms_own(
    context: int, blocks: int
) -> None:
    shape = architecture()
    load = Load(context_length=context, slots=1)

    size = sizing.vllm_size(shape, Task.CHAT, safetensors(), load)

    assert size.kv_cache == blocks * 128 * sizing.kv_bytes_per_token(shape, Task.CHAT)


def test_vllm_on_a_cpu_needs_its_process_too() -> None:
    load = Load(context_length=2048, slots=8)
    size = sizing.vllm_size(architecture(), Task.CHAT, safetensors(), load)

    assert sizing.on_cpu(size).total - size.total == sizing.VLLM_CPU_PROCESS


def test_layers_with_heads_of_their_own_are_summed() -> None:
    one_for_all = architecture(layers=4, kv_heads=(5,))
    one_for_each = architecture(layers=4, kv_heads=(3, 4, 6, 7))
    one_layer = architecture(layers=1, kv_heads=(5,))

    assert sizing.kv_bytes_per_token(one_for_each, Task.CHAT) == 20 * 64 * 4
    assert sizing.kv_bytes_per_token(one_for_all, Task.CHAT) == 20 * 64 * 4
    assert sizing.kv_bytes_per_token(one_layer, Task.CHAT) == 5 * 64 * 4


def test_an_encoder_keeps_no_cache_and_a_decoder_that_embeds_does() -> None:
    encoder, decoder = architecture(name="BertModel"), architecture(name="qwen3")

    assert sizing.kv_bytes_per_token(encoder, Task.EMBEDDING) == 0
    assert sizing.kv_bytes_per_token(decoder, Task.EMBEDDING) > 0


def test_llama_cpp_holds_the_file_the_cache_of_all_slots_buffers_and_its_process() -> None:
    load = Load(context_length=4096, slots=4)

    size = sizing.llama_cpp_size(architecture(), Task.CHAT, gguf(size=98_362_432), load)

    assert size.weights == 98_362_432
    assert size.kv_cache == 22.5 * KIB * 4096 * 4
    assert 40 * MIB < size.compute < 80 * MIB
    assert size.process == sizing.SERVE_REPLICA_PROCESS
    assert size.total == size.weights + size.kv_cache + size.compute + size.process


def test_pooling_computes_a_whole_input_in_one_step() -> None:
    load = Load(context_length=8192, slots=1)

    chat = sizing.llama_cpp_size(architecture(), Task.CHAT, gguf(), load)
    embedding = sizing.llama_cpp_size(architecture(), Task.EMBEDDING, gguf(), load)

    assert embedding.compute > 5 * chat.compute


def test_unknown_bytes_are_computed_from_parameters_and_bits() -> None:
    shape = architecture(parameters=1_000_000)

    assert sizing.weight_bytes(shape, gguf(bits=4.5)) == 562_500
    assert sizing.weight_bytes(shape, gguf(bits=4.5, size=600_000)) == 600_000


@pytest.mark.parametrize(
    ("engine", "arguments", "expected"),
    [
        (Engine.LLAMA_CPP, {}, Load(context_length=512, slots=4)),
        (
            Engine.LLAMA_CPP,
            {"parallel": "2", "cache-type-k": "q8_0", "ubatch-size": "128"},
            Load(context_length=512, slots=2, kv_element_bytes=(1.0625, 2.0), ubatch=128),
        ),
        (Engine.VLLM, {}, Load(context_length=512, slots=8)),
        (
            Engine.VLLM,
            {"max-num-seqs": "32", "kv-cache-dtype": "fp8"},
            Load(context_length=512, slots=32, kv_element_bytes=(1.0, 1.0)),
        ),
    ],
)
def test_engine_arguments_count_in_the_size(
    engine: Engine, arguments: dict[str, str], expected: Load
) -> None:
    assert sizing.load_of(engine, 512, arguments) == expected


def test_the_default_context_is_the_cards_and_at_most_4096() -> None:
    assert sizing.default_context(CardBuilder(context_length=512).build().spec) == 512
    assert sizing.default_context(CardBuilder(context_length=131_072).build().spec) == 4096


@pytest.mark.parametrize(("slots", "target"), [(1, 1), (4, 3), (8, 6), (64, 48)])
def test_another_replica_is_wanted_at_60_to_80_percent_of_the_slots(
    slots: int, target: int
) -> None:
    assert sizing.target_ongoing_requests(slots) == target


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    layers = draw(st.integers(1, 64))
    each = st.integers(0, 64)
    kv_heads = draw(st.tuples(each) | st.lists(each, min_size=layers, max_size=layers).map(tuple))
    return architecture(
        name=draw(st.sampled_from(["LlamaForCausalLM", "BertModel"])),
        parameters=draw(st.integers(1, 50_000_000_000)),
        layers=layers,
        kv_heads=kv_heads,
        head_dim=draw(st.integers(1, 256)),
        hidden=draw(st.integers(1, 8192)),
        vocabulary=draw(st.integers(1, 256_000)),
    )


@given(
    shape=architectures(),
    task=st.sampled_from(Task),
    contexts=st.tuples(st.integers(128, 200_000), st.integers(128, 200_000)),
    slots=st.integers(1, 64),
)
def test_a_larger_context_never_needs_less(
    shape: Architecture, task: Task, contexts: tuple[int, int], slots: int
) -> None:
    less, more = (Load(context_length=context, slots=slots) for context in sorted(contexts))

    for size, variant in (
        (sizing.vllm_size, safetensors()),
        (sizing.llama_cpp_size, gguf()),
    ):
        assert size(shape, task, variant, less).total <= size(shape, task, variant, more).total


@pytest.mark.parametrize(
    ("need", "percent"), [(1, 1), (GIB, 10), (GIB + 1, 11), (10 * GIB, 100), (11 * GIB, 100)]
)
def test_a_part_of_a_device_is_rounded_up_and_never_more_than_all_of_it(
    need: int, percent: int
) -> None:
    assert sizing.device_percent(need, 10 * GIB) == percent


@given(st.lists(st.integers(1, 40 * GIB), min_size=1, max_size=20), st.integers(GIB, 40 * GIB))
def test_parts_that_ray_finds_room_for_are_no_more_than_the_device(
    needs: list[int], device: int
) -> None:
    fitting = [need for need in needs if need <= device]
    if sum(sizing.device_percent(need, device) for need in fitting) <= 100:
        assert sum(fitting) <= device
