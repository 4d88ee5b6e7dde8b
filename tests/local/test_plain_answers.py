"""Plain answers of a real llama.cpp: the replica's are those that the engine gives by itself."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from builders.llamacpp_replicas import (
    CHAT,
    TOOL_TEMPLATE,
    asking,
    asking_for_the_tool,
    engine_of,
    post,
)
from builders.replicas import RunningReplica, model_args, running_replica
from smallmodel_serving.runtime.assemble import plain_request

pytestmark = pytest.mark.local


@pytest_asyncio.fixture
async def replica(bundled_gguf: Path) -> AsyncIterator[RunningReplica]:
    args = model_args(weights=bundled_gguf, threads=1)
    async with running_replica(args, partial(engine_of, args)) as running:
        yield running


TEXT = "/v1/completions"
FIXED = {"temperature": 0, "seed": 7, "cache_prompt": False}


def chat_of(words: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Return a chat whose answer can only be these words."""
    return CHAT, {**asking(**FIXED), "grammar": f'root ::= "{words}"', **more}


def text_of(words: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return TEXT, {"prompt": "The sun", **FIXED, "grammar": f'root ::= "{words}"', **more}


WEATHER_FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "weather",
        "schema": {
            "type": "object",
            "properties": {"warm": {"type": "boolean"}},
            "required": ["warm"],
            "additionalProperties": False,
        },
    },
}
ASSEMBLED = {
    "a chat": (CHAT, asking(**FIXED)),
    "a completion": (TEXT, {"prompt": "The sun", "max_tokens": 8, **FIXED}),
    "one token": (CHAT, asking(**{**FIXED, "max_tokens": 1})),
    "the end of sequence": chat_of("hello"),
    "white space": chat_of("  hello \\n", max_tokens=20),
    "a character of several tokens": text_of("a😀b", max_tokens=20),
    "an empty chat": (CHAT, asking(**FIXED, logit_bias={"2": 100})),
    "an empty completion": text_of("hello", stop=["h"]),
    "a stop text": chat_of("hello there world", max_tokens=20, stop=["there"]),
    "an answer of a JSON schema": (
        CHAT,
        asking(**{**FIXED, "max_tokens": 64}, response_format=WEATHER_FORMAT),
    ),
    # The stream lacks the end of these.
    "an answer cut in a stop text": chat_of("hello there", max_tokens=2, stop=["there is"]),
    "a text cut in a stop text": text_of("hello world", max_tokens=4, stop=["o wonder"]),
    "a text cut in a character": text_of("ab😀😀", max_tokens=6),
    "a chat cut in a character": chat_of("ab 😀😀", max_tokens=4),
    "an answer cut in a JSON schema": (
        CHAT,
        asking(**{**FIXED, "max_tokens": 3}, response_format=WEATHER_FORMAT),
    ),
}
PASSED = {
    "log probabilities": (CHAT, asking(**FIXED, logprobs=True, top_logprobs=2)),
    "log probabilities of a text": text_of("hello", logprobs=1),
    "two prompts": (TEXT, {"prompt": ["The sun", "A moon"], "max_tokens": 2, **FIXED}),
    "two answers": (CHAT, asking(**FIXED, n=2)),
    "words put in the model's mouth": chat_of(
        "lo", messages=[{"role": "user", "content": "?"}, {"role": "assistant", "content": "hel"}]
    ),
    "a prompt beyond the context": (
        CHAT,
        {"messages": [{"role": "user", "content": "hi " * 5000}]},
    ),
    "a grammar that is none": (CHAT, asking(grammar="x")),
    "no messages": (CHAT, {"messages": "hi"}),
}


async def both_answers(
    replica: RunningReplica, path: str, body: dict[str, Any]
) -> tuple[tuple[int, Any], tuple[int, Any]]:
    """Return the replica's answer, and that of its engine without the replica between."""
    ours = await post(replica, path, body)
    async with replica.http.post(f"{replica.lifecycle.address}{path}", json=body) as response:
        return ours, (response.status, await response.json())


def comparable(value: Any, name: str = "") -> Any:
    """Return an answer with its order, and only the types of what differs from time to time."""
    if name in ("id", "created") or name.endswith(("_ms", "_second")):
        return type(value).__name__
    if isinstance(value, dict):
        return [(key, comparable(item, key)) for key, item in value.items()]
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


async def test_an_assembled_answer_is_the_engine_s_own(replica: RunningReplica) -> None:
    for what, (path, body) in ASSEMBLED.items():
        assert plain_request(path, body, json.dumps(body).encode()) is not None, what
        (status, ours), (native_status, native) = await both_answers(replica, path, body)
        assert (status, comparable(ours)) == (native_status, comparable(native)), what
        assert status == 200, what


async def test_what_cannot_be_assembled_passes_as_it_is(replica: RunningReplica) -> None:
    for what, (path, body) in PASSED.items():
        (status, ours), (native_status, native) = await both_answers(replica, path, body)
        assert (status, comparable(ours)) == (native_status, comparable(native)), what


async def test_a_tool_call_is_the_engine_s_own_whole_or_cut(tool_replica: RunningReplica) -> None:
    for more in ({}, {"max_tokens": 12}, {"max_tokens": 20}, {"stop": ["get_"]}):
        body = asking_for_the_tool(cache_prompt=False, **more)
        (status, ours), (native_status, native) = await both_answers(tool_replica, CHAT, body)
        assert (status, comparable(ours)) == (native_status, comparable(native)), more
        assert status == 200, more


@pytest_asyncio.fixture
async def tool_replica(bundled_gguf: Path) -> AsyncIterator[RunningReplica]:
    args = model_args(weights=bundled_gguf, threads=1, options={"chat-template": TOOL_TEMPLATE})
    async with running_replica(args, partial(engine_of, args)) as running:
        yield running


async def test_a_forced_tool_is_called_with_arguments_of_its_schema(
    tool_replica: RunningReplica,
) -> None:
    status, answer = await post(tool_replica, CHAT, asking_for_the_tool())
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    call = answer["choices"][0]["message"]["tool_calls"][0]
    assert call["type"] == "function"
    assert call["id"]
    assert call["function"]["name"] == "get_weather"
    assert isinstance(json.loads(call["function"]["arguments"])["city"], str)
