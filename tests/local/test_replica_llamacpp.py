"""A real llama.cpp behind the real application, without Ray."""

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from builders.llamacpp_replicas import CHAT, asking, engine_of, post
from builders.replicas import RunningReplica, model_args, model_tuning, running_replica, wait_until
from smallmodel_operator.api.modelcard import Task
from smallmodel_serving.runtime.lifecycle import State
from smallmodel_serving.runtime.weights.verify import MARKER_NAME, Verified, sha256_of, stamped

pytestmark = pytest.mark.local

SLOTS = 2


@pytest_asyncio.fixture
async def replica(bundled_gguf: Path) -> AsyncIterator[RunningReplica]:
    args = model_args(weights=bundled_gguf, slots=SLOTS, threads=1)
    async with running_replica(args, partial(engine_of, args)) as running:
        yield running


async def events(replica: RunningReplica, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with replica.http.post(CHAT, json={**body, "stream": True}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = (await response.read()).decode()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_a_request_that_comes_while_the_model_loads_is_held_and_answered(
    replica: RunningReplica,
) -> None:
    assert replica.lifecycle.state is State.LOADING
    status, answer = await post(replica, CHAT, asking())
    assert status == 200
    assert answer["model"] == "chat"
    assert 1 <= answer["usage"]["completion_tokens"] <= 8
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")


async def test_a_stream_has_the_same_text_as_the_answer_in_one_piece(
    replica: RunningReplica,
) -> None:
    # A fixed prompt cache state: both answers compute the whole prompt.
    body = asking(temperature=0, seed=7, max_tokens=24, cache_prompt=False)
    _, whole = await post(replica, CHAT, body)
    chunks = await events(replica, body)
    streamed = "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
    )
    assert streamed.encode() == whole["choices"][0]["message"]["content"].encode()


async def test_a_stream_reports_usage_when_asked(replica: RunningReplica) -> None:
    chunks = await events(replica, asking(stream_options={"include_usage": True}))
    assert chunks[-1]["usage"]["completion_tokens"] >= 1


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_leaves_frees_its_slot(
    replica: RunningReplica, streaming: bool
) -> None:
    await post(replica, CHAT, asking())
    calm = await _seconds_to_first_byte(replica)
    endless = asking(max_tokens=2000, ignore_eos=True, stream=streaming)
    # Every slot is taken, and two more wait behind them.
    leaving = [asyncio.create_task(post(replica, CHAT, endless)) for _ in range(SLOTS + 2)]
    await wait_until(lambda: replica.lifecycle.in_flight == SLOTS + 2)
    await _all_slots_busy(replica)
    await _leave(leaving)
    assert await _seconds_to_first_byte(replica) < max(1.0, 5 * calm)
    await wait_until(lambda: replica.lifecycle.in_flight == 0)


async def test_a_plain_client_that_leaves_beside_a_running_stream_frees_its_slot(
    replica: RunningReplica,
) -> None:
    await post(replica, CHAT, asking())
    calm = await _seconds_to_first_byte(replica)
    endless = asking(max_tokens=2000, ignore_eos=True)
    async with replica.http.post(CHAT, json={**endless, "stream": True}) as stream:
        await stream.content.readany()
        leaving = [asyncio.create_task(post(replica, CHAT, endless)) for _ in range(SLOTS - 1)]
        await _all_slots_busy(replica)
        await _leave(leaving)
        assert await _seconds_to_first_byte(replica) < max(1.0, 5 * calm)
        # Tokens of the stream are there all the time, and more come.
        assert await stream.content.readany()
        assert not stream.content.at_eof()


async def _leave(clients: list[asyncio.Task[tuple[int, Any]]]) -> None:
    for client in clients:
        client.cancel()
    await asyncio.wait(clients)


async def _seconds_to_first_byte(replica: RunningReplica) -> float:
    """Return how long the next request waits for a slot and its first token.

    On a calm machine a slot is free within a second after its client left, and after half a minute
    if nobody noticed. A busy one takes several times what it took with all slots free.
    """
    began = time.monotonic()
    async with replica.http.post(CHAT, json=asking(max_tokens=1, stream=True)) as response:
        assert response.status == 200
        await response.content.readany()
        return time.monotonic() - began


async def _all_slots_busy(replica: RunningReplica) -> None:
    async with asyncio.timeout(10):
        while True:
            async with replica.http.get("/slots") as response:
                slots = await response.json()
            if all(slot["is_processing"] for slot in slots):
                return
            await asyncio.sleep(0.02)


async def test_an_idle_model_sleeps_gives_its_memory_back_and_wakes_for_the_next_request(
    bundled_gguf: Path,
) -> None:
    args = model_args(weights=bundled_gguf, context_length=4096, slots=4)
    async with running_replica(
        args, partial(engine_of, args), tuning=model_tuning(idle_timeout=0.5)
    ) as replica:
        assert (await post(replica, CHAT, asking()))[0] == 200
        awake = _unique_bytes()
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)
        await wait_until(lambda: _unique_bytes() < awake - 100 * 2**20)
        async with replica.http.get("/health") as response:
            assert (await response.json())["state"] == "Asleep"
        assert (await post(replica, CHAT, asking()))[0] == 200


def _unique_bytes() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.M))


async def test_json_schema_output_parses_and_has_the_shape(replica: RunningReplica) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "warm": {"type": "boolean"}},
        "required": ["city", "warm"],
        "additionalProperties": False,
    }
    format_ = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema}}
    _, answer = await post(replica, CHAT, asking(max_tokens=64, response_format=format_))
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert set(value) == {"city", "warm"}
    assert isinstance(value["warm"], bool)


async def test_logprobs_have_one_entry_for_each_token(replica: RunningReplica) -> None:
    _, answer = await post(replica, CHAT, asking(logprobs=True, top_logprobs=2))
    content = answer["choices"][0]["logprobs"]["content"]
    assert len(content) == answer["usage"]["completion_tokens"]
    assert all(len(token["top_logprobs"]) == 2 for token in content)


async def test_a_stop_text_ends_the_answer_before_it(replica: RunningReplica) -> None:
    body = asking(max_tokens=32, temperature=0, ignore_eos=True, stop=["e"])
    _, answer = await post(replica, CHAT, body)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "e" not in answer["choices"][0]["message"]["content"]


async def test_the_same_seed_gives_the_same_answer(replica: RunningReplica) -> None:
    body = asking(seed=11, temperature=1.0, max_tokens=16, cache_prompt=False)
    first, second = [await post(replica, CHAT, body) for _ in range(2)]
    assert first[1]["choices"][0]["message"] == second[1]["choices"][0]["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/embeddings", {"input": "hi"}, 400, "WrongEndpoint"),
        (CHAT, {"messages": [], "max_tokens": 999_999}, 400, "TooManyTokens"),
        (CHAT, {"max_tokens": 1}, 400, 400),
        (CHAT, {"messages": [{"role": "user", "content": "hi " * 5000}]}, 400, 400),
    ],
)
async def test_a_bad_request_gets_400_in_the_form_of_openai(
    replica: RunningReplica, path: str, body: dict[str, Any], status: int, code: object
) -> None:
    found, answer = await post(replica, path, body)
    assert found == status
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]
    assert answer["error"]["type"].endswith("error")


async def test_a_body_that_is_no_json_gets_400_from_the_engine(replica: RunningReplica) -> None:
    async with replica.http.post(CHAT, data=b"{not json") as response:
        assert response.status == 400
        assert "parse error" in (await response.json())["error"]["message"]


async def test_a_plain_curl_body_and_a_body_of_20_mib_are_answered(
    replica: RunningReplica,
) -> None:
    for padding in (0, 20 * 2**20):
        body = json.dumps(asking(max_tokens=1, user="x" * padding)).encode()
        form = {"content-type": "application/x-www-form-urlencoded"}
        async with replica.http.post(CHAT, data=io.BytesIO(body), headers=form) as response:
            assert response.status == 200, await response.text()


async def test_weights_that_were_never_verified_fail_every_request_with_the_reason(
    tmp_path: Path,
) -> None:
    args = model_args(weights=tmp_path / "nothing.gguf")
    async with (
        running_replica(args, partial(engine_of, args)) as replica,
        replica.http.post(CHAT, json=asking()) as response,
    ):
        answer = await response.json()
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
    assert answer["error"]["code"] == "WeightsMissing"


def verified(weights: Path, folder: Path) -> Path:
    """Put weights that were made here where the fetch program puts what it fetched."""
    linked = folder / weights.name
    linked.symlink_to(weights)
    stamp = stamped(folder, weights.name, sha256_of(weights))
    marker = Verified(
        uri=weights.as_uri(), revision=None, sha256=stamp.sha256, bytes=stamp.bytes, files=(stamp,)
    )
    (folder / MARKER_NAME).write_text(marker.model_dump_json())
    return linked


async def test_an_embedding_model_embeds_and_refuses_to_chat(
    minilm_gguf: Path, tmp_path: Path
) -> None:
    args = model_args(
        weights=verified(minilm_gguf, tmp_path), task=Task.EMBEDDING, context_length=256
    )
    async with running_replica(args, partial(engine_of, args)) as replica:
        status, answer = await post(replica, CHAT, asking())
        assert (status, answer["error"]["code"]) == (400, "WrongEndpoint")
        status, answer = await post(replica, "/v1/embeddings", {"input": ["one", "two"]})
        assert status == 200
        assert [item["index"] for item in answer["data"]] == [0, 1]
        assert len(answer["data"][0]["embedding"]) == len(answer["data"][1]["embedding"])


async def test_the_engine_s_connection_is_closed_when_its_answer_is_not_read(
    replica: RunningReplica,
) -> None:
    await post(replica, CHAT, asking())
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(0.5),
            replica.http.post(
                CHAT, json=asking(max_tokens=2000, ignore_eos=True, stream=True)
            ) as response,
        ):
            await response.content.readexactly(1 << 30)
    await wait_until(lambda: replica.lifecycle.in_flight == 0, within=1.0)
