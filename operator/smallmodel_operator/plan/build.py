"""A placement and verified weights become one model of a pool."""

import json
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.names import short_hash
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs, ModelTuning, VllmArgs
from smallmodel_operator.api.smallmodel import Engine, Scaling, SmallModel
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.placement.placement import Placement
from smallmodel_operator.plan.pool import PlannedModel

_ONGOING_PER_SLOT: Final = 2
"""Requests that one replica holds per slot, so that a free slot finds the next one waiting."""

_HASH_DIGITS: Final = 12

_GPU_PERCENT_MAX: Final = 90
"""Of the memory of a device that one engine takes; the rest is for contexts and graphs."""


def build_model(
    model: SmallModel, resolved: ResolvedModel, placement: Placement, weights: FetchDone
) -> PlannedModel:
    """Return the model as its pool serves it, with every argument rendered."""
    option = placement.option
    scaling = model.spec.scaling
    return PlannedModel(
        name=model.metadata.name,
        args=ModelArgs(
            name=model.metadata.name,
            task=resolved.card.spec.task,
            weights=weights.path,
            sha256=weights.sha256 or option.variant.sha256,
            engine=_ENGINES[option.engine](resolved, placement),
            memory_bytes=option.size.total,
        ),
        tuning=_tuning(scaling),
        scaling=scaling,
        max_replicas=placement.max_replicas,
        max_ongoing_requests=max(_ONGOING_PER_SLOT * option.slots, option.target_ongoing_requests),
        target_ongoing_requests=option.target_ongoing_requests,
        resting_memory_bytes=option.size.process,
        accelerator=placement.accelerator,
        device_percent=placement.device_percent,
    )


def serving_hash(planned: PlannedModel) -> str:
    """Return the name of what is served: a change of it has to be verified again.

    Covers the option, the digest and the arguments. Bounds and timeouts are no part of it, and
    neither are the weights' path and source where a digest says what lies there.
    """
    return arguments_hash(planned.args)


def arguments_hash(args: ModelArgs) -> str:
    """Return the same, of arguments alone."""
    values = args.model_dump(mode="json", exclude_none=True)
    if args.sha256:
        del values["weights"]
        values.pop("source", None)
    return short_hash(json.dumps(values, sort_keys=True), _HASH_DIGITS)


def _tuning(scaling: Scaling) -> ModelTuning:
    return ModelTuning(
        keep_awake=scaling.min_replicas >= 1,
        idle_timeout_seconds=seconds(scaling.idle_timeout),
        start_timeout_seconds=seconds(scaling.start_timeout),
    )


def _llama_cpp(resolved: ResolvedModel, placement: Placement) -> LlamaCppArgs:
    return LlamaCppArgs(
        context_length=placement.option.context_length,
        slots=placement.option.slots,
        threads=placement.threads,
        options=dict(sorted(resolved.engine_options)),
    )


def _vllm(resolved: ResolvedModel, placement: Placement) -> VllmArgs:
    option = placement.option
    arguments = [
        f"--served-model-name={resolved.name}",
        f"--max-model-len={option.context_length}",
        f"--max-num-seqs={option.slots}",
    ]
    if resolved.card.spec.task is Task.EMBEDDING:
        arguments.append("--runner=pooling")
    else:
        # A fixed pool: otherwise vLLM takes a share of all memory that it sees, its neighbours'
        # included.
        arguments.append(f"--kv-cache-memory-bytes={option.size.kv_cache}")
    if placement.accelerator:
        # vLLM does not start where less than this share of the whole device is free.
        arguments.append(f"--gpu-memory-utilization={_gpu_share(placement)}")
        arguments.append(f"--tensor-parallel-size={placement.accelerator.count}")
        arguments.append("--enable-sleep-mode")
    else:
        # Compiling takes a minute or two on CPU, at every wake from zero.
        arguments.append("--enforce-eager")
    arguments.extend(_flag(name, value) for name, value in sorted(resolved.engine_options))
    return VllmArgs(arguments=tuple(arguments), environment=_vllm_environment(placement))


def _gpu_share(placement: Placement) -> str:
    percent = placement.device_percent or _GPU_PERCENT_MAX
    return f"{min(percent, _GPU_PERCENT_MAX) / 100:g}"


def _vllm_environment(placement: Placement) -> dict[str, str]:
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    if placement.accelerator is None:
        # Bound threads would put every replica of a machine on the same cores.
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        if placement.threads is not None:
            environment["OMP_NUM_THREADS"] = str(placement.threads)
    elif placement.device_percent is not None:
        # Where vLLM's workers are Ray's, each asks for a whole device without it (ray#63875).
        environment["VLLM_RAY_PER_WORKER_GPUS"] = f"{placement.device_percent / 100:g}"
    return environment


def _flag(name: str, value: str) -> str:
    option = name.replace("_", "-")
    if value == "true":
        return f"--{option}"
    if value == "false":
        return f"--no-{option}"
    return f"--{option}={value}"


_ENGINES: Final = {Engine.LLAMA_CPP: _llama_cpp, Engine.VLLM: _vllm}
