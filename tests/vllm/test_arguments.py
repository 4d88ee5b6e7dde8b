"""What the operator renders for vLLM, read by vLLM's own parser and types."""

from pathlib import Path
from typing import Any, Final

import pytest

from builders import plan_values
from builders.vllm_models import (
    PRODUCT,
    WITH_ACCELERATORS,
    WITHOUT_ACCELERATOR,
    planned_for,
)
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelArgs, VllmArgs
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.engine_args import ALLOWED, Choice, Integer, Values
from smallmodel_operator.plan.build import build_model
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_serving.runtime.engine import EngineError
from smallmodel_serving.runtime.vllm import parse_arguments

pytestmark = [
    pytest.mark.vllm,
    # The first test imports vLLM, which takes half a minute on a busy machine.
    pytest.mark.timeout(300),
    # vLLM, torch and what they import warn of themselves.
    pytest.mark.filterwarnings("ignore"),
]

FOLDER: Final = Path("/weights/model")
TWO_DEVICES: Final = {"accelerator": {"class": PRODUCT, "count": 2}}


def engine_of(planned: PlannedModel) -> VllmArgs:
    assert isinstance(planned.args.engine, VllmArgs)
    return planned.args.engine


def parsed(planned: PlannedModel) -> dict[str, Any]:
    """What vLLM takes the rendered arguments for."""
    return dict(vars(parse_arguments(planned.args, engine_of(planned))))


def test_a_cpu_and_a_gpu_get_the_same_arguments_but_for_the_lines_of_the_accelerator() -> None:
    cpu = parsed(planned_for(WITHOUT_ACCELERATOR, FOLDER))
    gpu = parsed(planned_for(WITH_ACCELERATORS, FOLDER, resources=TWO_DEVICES))

    differing = {name: (cpu[name], gpu[name]) for name in cpu if cpu[name] != gpu[name]}

    assert differing == {
        "enforce_eager": (True, False),
        "enable_sleep_mode": (False, True),
        "gpu_memory_utilization": (0.92, 0.9),
        "tensor_parallel_size": (1, 2),
    }


@pytest.mark.parametrize("machine", [WITHOUT_ACCELERATOR, WITH_ACCELERATORS], ids=["cpu", "gpu"])
def test_vllm_reads_every_argument_as_it_was_meant(machine: Any) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs

    planned = planned_for(machine, FOLDER)
    arguments = AsyncEngineArgs.from_cli_args(parse_arguments(planned.args, engine_of(planned)))

    assert arguments.model == str(FOLDER)
    assert arguments.served_model_name == ["chat"]
    assert arguments.max_model_len == 1024
    assert arguments.max_num_seqs == 8
    # 8 sequences of 1024 tokens and a block of 128, 30 layers with 3 heads of 64 for keys and
    # values, 2 bytes each.
    assert arguments.kv_cache_memory_bytes == (8 * 1024 + 128) * 30 * 3 * 64 * 2 * 2


def test_no_argument_is_given_twice() -> None:
    for machine in (WITHOUT_ACCELERATOR, WITH_ACCELERATORS):
        given = [
            word.partition("=")[0] for word in engine_of(planned_for(machine, FOLDER)).arguments
        ]
        assert len(given) == len(set(given))
        assert not {"--model", "--host", "--port"} & set(given)


def test_an_embedding_model_is_run_as_a_pooling_model() -> None:
    resolved = plan_values.resolved_model(Engine.VLLM, task=Task.EMBEDDING)
    planned = build_model(
        plan_values.small_model(), resolved, plan_values.placement(resolved), plan_values.fetched()
    )

    assert parsed(planned)["runner"] == "pooling"


def sample(values: Values) -> tuple[str, ...]:
    """Values at the bounds of what is allowed."""
    if isinstance(values, Integer):
        return (str(values.low), str(values.high))
    assert isinstance(values, Choice)
    return values.words


ALLOWED_VALUES: Final = [
    (name, value) for name, values in ALLOWED[Engine.VLLM].items() for value in sample(values)
]


@pytest.mark.parametrize(
    ("name", "value"), ALLOWED_VALUES, ids=["=".join(v) for v in ALLOWED_VALUES]
)
def test_every_engine_argument_that_a_user_may_set_is_one_of_vllm(name: str, value: str) -> None:
    given = {name: value}
    if name == "enable-auto-tool-choice":
        # vLLM asks for both together.
        given["tool-call-parser"] = "hermes"

    understood = parsed(planned_for(WITHOUT_ACCELERATOR, FOLDER, engineArgs=given))

    taken = understood[name.replace("-", "_")]
    assert taken == (value == "true" if value in ("true", "false") else type(taken)(value))


def test_every_tool_call_parser_that_a_user_may_choose_is_registered() -> None:
    from vllm.tool_parsers import ToolParserManager

    parsers = ALLOWED[Engine.VLLM]["tool-call-parser"]
    assert isinstance(parsers, Choice)
    assert set(parsers.words) <= set(ToolParserManager.list_registered())


def test_every_variable_that_is_set_for_vllm_is_one_that_vllm_reads() -> None:
    from vllm import envs

    rendered = {
        name
        for machine in (WITHOUT_ACCELERATOR, WITH_ACCELERATORS)
        for name in engine_of(planned_for(machine, FOLDER)).environment
        if name.startswith("VLLM_")
    }

    assert rendered == {"VLLM_CPU_OMP_THREADS_BIND", "VLLM_NO_USAGE_STATS"}
    assert rendered <= set(envs.environment_variables)


@pytest.mark.parametrize(
    "argument",
    ["--no-such-argument=1", "--max-num-seqs=many", "--enable-auto-tool-choice"],
)
def test_what_vllm_does_not_take_is_refused_with_the_reason(argument: str) -> None:
    args = ModelArgs(
        name="chat",
        task=Task.CHAT,
        weights=str(FOLDER),
        engine=VllmArgs(arguments=(argument,)),
        memory_bytes=1,
    )
    assert isinstance(args.engine, VllmArgs)

    with pytest.raises(EngineError) as refused:
        parse_arguments(args, args.engine)

    assert refused.value.reason is Reason.ENGINE_ARG_REFUSED
    assert argument in refused.value.message
