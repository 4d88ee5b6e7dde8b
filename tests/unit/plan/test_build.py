import dataclasses
from typing import Any

import pytest

from builders.plan_values import (
    MIB,
    SHA256,
    fetched,
    model_args,
    placement,
    planned_model,
    resolved_model,
    small_model,
)
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import LlamaCppArgs, ModelTuning, VllmArgs
from smallmodel_operator.api.smallmodel import Accelerator, Engine, Scaling
from smallmodel_operator.plan.build import build_model, serving_hash
from smallmodel_operator.plan.pool import PlannedModel


def build(
    *,
    threads: int | None = None,
    accelerator: Accelerator | None = None,
    device_percent: int | None = None,
    scaling: dict[str, Any] | None = None,
    weights: dict[str, Any] | None = None,
    **resolved: Any,
) -> PlannedModel:
    options = resolved_model(**resolved)
    placed = placement(
        options, threads=threads, accelerator=accelerator, device_percent=device_percent
    )
    return build_model(small_model(**scaling or {}), options, placed, fetched(**weights or {}))


def vllm(**given: Any) -> VllmArgs:
    engine = build(engine=Engine.VLLM, **given).args.engine
    assert isinstance(engine, VllmArgs)
    return engine


def test_llama_cpp_gets_the_placed_option_and_the_allowed_arguments() -> None:
    planned = build(threads=2, engine_options=(("ubatch-size", "256"), ("batch-size", "512")))

    assert planned.args.engine == LlamaCppArgs(
        context_length=2048,
        slots=4,
        threads=2,
        options={"batch-size": "512", "ubatch-size": "256"},
    )
    assert planned.args.weights == "/cache/tiny/q4_1.gguf"
    assert planned.args.sha256 == SHA256
    assert planned.args.memory_bytes == 184 * MIB
    assert planned.resting_memory_bytes == 60 * MIB
    assert planned.max_replicas == 2
    assert not planned.verified


def test_a_folder_without_a_digest_takes_the_one_that_the_card_declares() -> None:
    plain = resolved_model().options[0].variant
    declared = plain.model_copy(update={"sha256": "cd" * 32})

    assert build(weights={"sha256": None}, variant=declared).args.sha256 == "cd" * 32
    assert build(weights={"sha256": None}).args.sha256 is None


@pytest.mark.parametrize(
    ("least", "awake"), [(0, False), (1, True), (2, True)], ids=["none", "one", "two"]
)
def test_a_model_with_a_least_replica_is_kept_awake(least: int, awake: bool) -> None:
    assert build(scaling={"minReplicas": least}).tuning.keep_awake is awake


def test_timeouts_reach_running_replicas_and_are_no_arguments() -> None:
    planned = build(scaling={"idleTimeout": "90s", "startTimeout": "2m"})

    assert planned.tuning == ModelTuning(idle_timeout_seconds=90, start_timeout_seconds=120)
    assert planned.args == build().args


@pytest.mark.parametrize(
    ("slots", "target", "ongoing"),
    [(4, 4, 8), (1, 1, 2), (2, 10, 10)],
    ids=["twice the slots", "a single slot", "never below the target"],
)
def test_a_replica_holds_enough_for_a_free_slot_to_find_the_next_request(
    slots: int, target: int, ongoing: int
) -> None:
    planned = build(slots=slots, target_ongoing_requests=target)

    assert planned.max_ongoing_requests == ongoing
    assert planned.target_ongoing_requests == target


def test_vllm_on_cpu_has_a_fixed_cache_no_compilation_and_unbound_threads() -> None:
    engine = vllm(threads=2)

    assert engine.arguments == (
        "--served-model-name=chat",
        "--max-model-len=2048",
        "--max-num-seqs=4",
        f"--kv-cache-memory-bytes={24 * MIB}",
        "--enforce-eager",
    )
    assert engine.environment == {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }


def test_vllm_on_cpu_takes_its_own_number_of_threads_unless_told() -> None:
    assert "OMP_NUM_THREADS" not in vllm().environment


def test_vllm_on_a_device_differs_in_the_device_lines_alone() -> None:
    device = vllm(accelerator=Accelerator.model_validate({"class": "NVIDIA-L4", "count": 2}))
    cpu = vllm()

    assert set(cpu.arguments) - set(device.arguments) == {"--enforce-eager"}
    assert set(device.arguments) - set(cpu.arguments) == {
        "--enable-sleep-mode",
        "--gpu-memory-utilization=0.9",
        "--tensor-parallel-size=2",
    }
    assert device.environment == {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


@pytest.mark.parametrize(("percent", "share"), [(7, "0.07"), (40, "0.4"), (90, "0.9"), (96, "0.9")])
def test_vllm_on_a_part_of_a_device_takes_its_part_and_says_so(percent: int, share: str) -> None:
    one = Accelerator.model_validate({"class": "NVIDIA-L4"})
    engine = vllm(accelerator=one, device_percent=percent)

    assert f"--gpu-memory-utilization={share}" in engine.arguments
    assert [one for one in engine.arguments if one.startswith("--kv-cache-memory-bytes=")]
    assert engine.environment["VLLM_RAY_PER_WORKER_GPUS"] == f"{percent / 100:g}"
    assert build(engine=Engine.VLLM, device_percent=percent).device_percent == percent


def test_vllm_pools_tokens_for_embeddings_and_keeps_no_cache() -> None:
    arguments = vllm(task=Task.EMBEDDING).arguments

    assert "--runner=pooling" in arguments
    assert not [argument for argument in arguments if argument.startswith("--kv-cache")]


def test_vllm_gets_the_users_arguments_last_with_switches_as_switches() -> None:
    arguments = vllm(
        engine_options=(
            ("seed", "7"),
            ("enable-prefix-caching", "false"),
            ("enable-auto-tool-choice", "true"),
        )
    ).arguments

    assert arguments[-3:] == (
        "--enable-auto-tool-choice",
        "--no-enable-prefix-caching",
        "--seed=7",
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"scaling": Scaling(max_replicas=9)},
        {"max_replicas": 1},
        {"tuning": ModelTuning(idle_timeout_seconds=1, start_timeout_seconds=1)},
        {"verified": True},
        {"args": model_args(weights="/elsewhere/chat.gguf")},
    ],
    ids=["bounds", "room", "timeouts", "verified", "the path of a file with a digest"],
)
def test_the_serving_hash_stays_when_the_served_thing_does(changed: dict[str, Any]) -> None:
    before = planned_model()

    assert serving_hash(dataclasses.replace(before, **changed)) == serving_hash(before)


@pytest.mark.parametrize(
    "changed",
    [
        {"sha256": "cd" * 32},
        {"engine": LlamaCppArgs(context_length=4096, slots=4, threads=None)},
        {"task": Task.EMBEDDING},
        {"memory_bytes": 1},
        {"contract": 2},
    ],
    ids=["digest", "context", "task", "memory", "contract"],
)
def test_the_serving_hash_changes_with_the_served_thing(changed: dict[str, Any]) -> None:
    before = planned_model()
    after = dataclasses.replace(before, args=model_args(**changed))

    assert serving_hash(after) != serving_hash(before)


def test_without_a_digest_the_path_says_what_is_served() -> None:
    here = planned_model(args=model_args(sha256=None))
    there = planned_model(args=model_args(sha256=None, weights="/elsewhere"))

    assert serving_hash(here) != serving_hash(there)
