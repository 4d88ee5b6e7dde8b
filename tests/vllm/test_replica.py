"""A real vLLM on the CPU behind the real application, with the arguments that `slm` renders.

All tests share one engine, because it takes half a minute to start; the last ones put it to sleep
and kill it.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import pytest_asyncio

from builders.replicas import RunningReplica, model_tuning, running_replica, wait_until
from builders.vllm_models import WITHOUT_ACCELERATOR, planned_for
from smallmodel_operator.api.serving import ModelArgs, VllmArgs
from smallmodel_serving.runtime.lifecycle import State
from smallmodel_serving.runtime.vllm import VllmEngine
from support.shared_memory import shared_memory

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
    # vLLM, torch and what they import warn of themselves.
    pytest.mark.filterwarnings("ignore"),
]

CHAT: Final = "/v1/chat/completions"
START_SECONDS: Final = 400


def engine_of(args: ModelArgs) -> VllmEngine:
    assert isinstance(args.engine, VllmArgs)
    return VllmEngine(args, args.engine)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def replica(fetched_hf: Path) -> AsyncIterator[RunningReplica]:
    args = planned_for(WITHOUT_ACCELERATOR, fetched_hf).args
    async with running_replica(args, partial(engine_of, args)) as running:
        yield running


def asking(**more: Any) -> dict[str, Any]:
    return {
        "model": "chat",
        "messages": [{"role": "user", "content": "Say hi."}],
        "max_tokens": 8,
        **more,
    }


async def post(replica: RunningReplica, body: Any) -> tuple[int, Any]:
    async with replica.http.post(CHAT, json=body) as response:
        return response.status, await response.json()


async def events(replica: RunningReplica, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with replica.http.post(CHAT, json={**body, "stream": True}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = (await response.read()).decode()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def running_in_engine(replica: RunningReplica) -> int:
    """How many requests vLLM itself says that it computes."""
    address = replica.lifecycle.address
    assert address is not None
    async with replica.http.get(f"{address}/metrics") as response:
        text = await response.text()
    (running,) = re.findall(r"^vllm:num_requests_running\{[^}]*\} ([0-9.]+)$", text, re.MULTILINE)
    return int(float(running))


async def until_running(replica: RunningReplica, count: int, *, within: float) -> None:
    async with asyncio.timeout(within):
        while await running_in_engine(replica) != count:
            await asyncio.sleep(0.05)


def engine_processes() -> list[psutil.Process]:
    """The processes that vLLM computes in: they are named after it."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.name().startswith("VLLM")]


async def test_a_request_that_comes_while_the_model_loads_is_held_and_answered(
    replica: RunningReplica,
) -> None:
    assert replica.lifecycle.state is State.LOADING
    status, answer = await asyncio.wait_for(post(replica, asking()), START_SECONDS)
    assert status == 200, answer
    assert answer["model"] == "chat"
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")


async def test_a_stream_has_the_same_text_as_the_answer_in_one_piece(
    replica: RunningReplica,
) -> None:
    body = asking(temperature=0, seed=7, max_tokens=24)
    _, whole = await post(replica, body)
    chunks = await events(replica, body)
    streamed = "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
    )
    assert streamed.encode() == whole["choices"][0]["message"]["content"].encode()
    assert len(chunks) > 8


async def test_a_stream_reports_usage_when_asked(replica: RunningReplica) -> None:
    chunks = await events(replica, asking(ignore_eos=True, stream_options={"include_usage": True}))
    assert chunks[-1]["usage"]["completion_tokens"] == 8


async def test_json_schema_output_parses_and_has_the_shape(replica: RunningReplica) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "warm": {"type": "boolean"}},
        "required": ["city", "warm"],
        "additionalProperties": False,
    }
    format_ = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    status, answer = await post(replica, asking(max_tokens=64, response_format=format_))
    assert status == 200, answer
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert set(value) == {"city", "warm"}
    assert isinstance(value["warm"], bool)


async def test_more_tokens_than_the_context_has_are_refused(replica: RunningReplica) -> None:
    status, answer = await post(replica, asking(max_tokens=5000))
    assert status == 400
    assert "1024" in answer["error"]["message"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_leaves_frees_its_slot_within_a_second(
    replica: RunningReplica, streaming: bool
) -> None:
    endless = asking(max_tokens=900, ignore_eos=True, stream=streaming)
    leaving = [asyncio.create_task(post_and_read(replica, endless)) for _ in range(8)]
    await until_running(replica, 8, within=30)
    for task in leaving:
        task.cancel()
    await asyncio.wait(leaving)
    left = time.monotonic()
    await until_running(replica, 0, within=5)
    assert time.monotonic() - left < 1.0
    assert replica.lifecycle.in_flight == 0


async def post_and_read(replica: RunningReplica, body: dict[str, Any]) -> bytes:
    async with replica.http.post(CHAT, json=body) as response:
        return await response.read()


async def test_an_idle_model_ends_its_engine_and_starts_it_again_for_the_next_request(
    replica: RunningReplica,
) -> None:
    """vLLM cannot sleep on a CPU, so that nothing but its end gives the memory back."""
    shared = shared_memory(process.pid for process in engine_processes())
    assert shared != set()
    replica.lifecycle.tune(model_tuning(idle_timeout=0.2))
    await wait_until(lambda: replica.lifecycle.state is State.ASLEEP, within=30)
    await wait_until(lambda: engine_processes() == [], within=30)
    assert [path for path in shared if path.exists()] == []

    replica.lifecycle.tune(model_tuning(idle_timeout=300))
    status, _ = await asyncio.wait_for(post(replica, asking()), START_SECONDS)

    assert status == 200
    assert replica.lifecycle.state is State.AWAKE


async def test_a_dead_engine_is_seen_and_answers_with_an_error_instead_of_silence(
    replica: RunningReplica,
) -> None:
    running = asyncio.create_task(post(replica, asking(max_tokens=900, ignore_eos=True)))
    await until_running(replica, 1, within=30)
    for process in engine_processes():
        process.kill()

    status, _ = await asyncio.wait_for(running, 30)

    assert status >= 500
    await wait_until(lambda: not replica.lifecycle.alive(), within=10)
    await replica.lifecycle.stop()
