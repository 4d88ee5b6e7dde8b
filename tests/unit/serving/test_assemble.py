"""Events of a stream become the plain answer; what does not fit is told, never guessed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from builders.fake_engine import FakeEngine
from builders.replicas import model_args, running_replica, wait_until
from smallmodel_serving.runtime.assemble import (
    Answer,
    Assembly,
    MalformedStreamError,
    plain_request,
)

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
ENVELOPE = {"created": 1, "id": "c1", "model": "m", "system_fingerprint": "b1"}
MESSAGES = [{"role": "user", "content": "hi"}]


def usage(tokens: int) -> dict[str, int]:
    return {"completion_tokens": tokens, "prompt_tokens": 9, "total_tokens": 9 + tokens}


def timings(tokens: int) -> dict[str, int]:
    return {"prompt_n": 9, "predicted_n": tokens}


def delta(tokens: int, **holds: Any) -> dict[str, Any]:
    choice = {"finish_reason": None, "index": 0, "delta": holds}
    return {"choices": [choice], **ENVELOPE, "timings": timings(tokens)}


def chat_end(reason: str, tokens: int) -> list[dict[str, Any]]:
    """Return the last two events of a chat, as llama.cpp writes them."""
    choice = {"finish_reason": reason, "index": 0, "delta": {}}
    return [
        {"choices": [choice], **ENVELOPE},
        {"choices": [], **ENVELOPE, "usage": usage(tokens), "timings": timings(tokens)},
    ]


def piece(tokens: int, text: str, reason: str | None = None) -> dict[str, Any]:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
    event = {"choices": [choice], **ENVELOPE, "timings": timings(tokens)}
    return event if reason is None else {**event, "usage": usage(tokens)}


def call(**holds: Any) -> list[dict[str, Any]]:
    return [{"index": 0, **holds}]


def stream(events: list[Any]) -> bytes:
    lines = [b"data: " + json.dumps(event, ensure_ascii=False).encode() for event in events]
    return b"\n\n".join([*lines, b"data: [DONE]", b""])


BEGUN = b'data: {"choices": []}\n\n'


def assembled(sent: bytes, *, chat: bool = True, tools: bool = False) -> Answer | None:
    assembly = Assembly(chat=chat, tools=tools)
    assembly.feed(sent)
    return assembly.answer()


ROLE = delta(0, role="assistant", content=None)
OPENED = call(id="t1", type="function", function={"name": "weather", "arguments": '{"ci'})
CALLED = [ROLE, delta(5, tool_calls=OPENED)]
CLOSED = delta(6, tool_calls=call(function={"arguments": 'ty":1}'}))
WHOLE_CALL = {
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":1}'},
    "id": "t1",
}


@pytest.mark.parametrize(
    ("events", "reason", "message"),
    [
        (
            [ROLE, delta(1, content="Hé"), delta(2, content="llo"), *chat_end("length", 2)],
            "length",
            {"content": "Héllo"},
        ),
        ([None, ROLE, *chat_end("stop", 1)], "stop", {"content": ""}),
        (
            [ROLE, delta(1, reasoning_content="hm"), delta(2, content="x"), *chat_end("stop", 3)],
            "stop",
            {"content": "x", "reasoning_content": "hm"},
        ),
        (
            [*CALLED, CLOSED, *chat_end("tool_calls", 9)],
            "tool_calls",
            {"content": "", "tool_calls": [WHOLE_CALL]},
        ),
    ],
    ids=["text", "nothing", "reasoning", "a tool call"],
)
def test_deltas_become_one_message(events: list[Any], reason: str, message: dict[str, Any]) -> None:
    answer = assembled(stream(events), tools=True)
    assert answer is not None
    assert answer.status == 200
    tokens = events[-1]["usage"]["completion_tokens"]
    assert list(json.loads(answer.body).items()) == list(
        {
            "choices": [
                {
                    "finish_reason": reason,
                    "index": 0,
                    "message": {"role": "assistant", **message},
                }
            ],
            "created": 1,
            "model": "m",
            "system_fingerprint": "b1",
            "object": "chat.completion",
            "usage": usage(tokens),
            "id": "c1",
            "timings": timings(tokens),
        }.items()
    )


@pytest.mark.parametrize("last", [chat_end("stop", 1)[1], {"error": {"code": 500}}])
def test_nothing_is_waited_for_after_the_usage_or_an_error(last: dict[str, Any]) -> None:
    assembly = Assembly(chat=True, tools=False)
    assembly.feed(stream([ROLE, chat_end("stop", 1)[0]]))
    assert not assembly.ended
    assembly.feed(stream([last]))
    assert assembly.ended


def test_pieces_become_one_text() -> None:
    answer = assembled(stream([piece(1, "a "), piece(2, "b"), piece(3, "", "stop")]), chat=False)
    assert answer is not None
    value = json.loads(answer.body)
    assert value["object"] == "text_completion"
    assert value["choices"] == [
        {"text": "a b", "index": 0, "logprobs": None, "finish_reason": "stop"}
    ]
    assert value["usage"] == usage(3)


@pytest.mark.parametrize(
    ("events", "chat", "tools"),
    [
        ([ROLE, delta(1, content="a"), *chat_end("length", 2)], True, False),
        ([ROLE, *chat_end("length", 3)], True, False),
        ([piece(1, "a"), piece(2, ""), piece(2, "", "length")], False, False),
        ([piece(1, "a"), piece(2, "", "length")], False, False),
        ([ROLE, delta(1, content="a"), *chat_end("stop", 9)], True, True),
    ],
    ids=["a chat", "nothing yet", "a stop text", "a character", "a tool call that was none"],
)
def test_text_that_was_kept_back_to_the_end_makes_no_answer(
    events: list[Any], chat: bool, tools: bool
) -> None:
    assert assembled(stream(events), chat=chat, tools=tools) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 503, "message": "m", "type": "t"}, 503),
        ({"code": "odd", "message": "m"}, 500),
        ({"code": 200}, 500),
        ("words", 500),
    ],
)
def test_an_error_in_the_middle_is_the_answer(error: object, status: int) -> None:
    answer = assembled(stream([ROLE, delta(1, content="a"), {"error": error}]))
    assert answer == Answer(
        status=status, body=json.dumps({"error": error}, separators=(",", ":")).encode()
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"data: [DONE]\n\n",
        b"event: message\n\n",
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: "words"\n\n',
        b"data: {}\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"choices": [{"finish_reason": null}]}\n\n',
        stream([ROLE, delta(1, content="a")]),
        stream([ROLE, delta(1, content="a"), chat_end("stop", 1)[0]]),
        stream([ROLE, delta(1, content="a"), chat_end("stop", 1)[1]]),
        stream([ROLE, delta(1, content=7), *chat_end("stop", 1)]),
        stream([ROLE, delta(1, tool_calls=call(function={})), *chat_end("stop", 1)]),
        stream([ROLE, delta(1, tool_calls=[{"index": 4, "function": {}}])]),
    ],
)
def test_what_is_no_stream_of_an_answer_is_told(sent: bytes) -> None:
    with pytest.raises(MalformedStreamError):
        assembled(sent)


SENT = b": a comment\n\n" + stream(
    [*CALLED, CLOSED, delta(7, content="é😀"), *chat_end("tool_calls", 9)]
)


@given(st.lists(st.integers(0, len(SENT)), max_size=12))
def test_however_the_stream_is_cut_the_answer_is_the_same(cuts: list[int]) -> None:
    assembly = Assembly(chat=True, tools=True)
    for start, end in pairwise([0, *sorted(cuts), len(SENT)]):
        assembly.feed(SENT[start:end])
    assert assembly.answer() == assembled(SENT, tools=True)


def test_an_answer_survives_a_cut_at_every_byte() -> None:
    assembly = Assembly(chat=True, tools=True)
    for byte in SENT:
        assembly.feed(bytes([byte]))
    assert assembly.answer() == assembled(SENT, tools=True)


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        (CHAT, {"messages": MESSAGES}),
        ("/chat/completions", {"messages": MESSAGES, "stream": False, "n": 1}),
        (TEXT, {"prompt": "The sun", "stream": None, "n": None}),
        (TEXT, {"prompt": "", "logprobs": 0, "echo": False}),
    ],
)
@pytest.mark.parametrize("end", [b"", b" \r\n"])
def test_a_plain_request_is_sent_as_a_stream(
    path: str, request_: dict[str, Any], end: bytes
) -> None:
    plain = plain_request(path, request_, json.dumps(request_).encode() + end)
    assert plain is not None
    assert plain.chat is (path != TEXT)
    assert json.loads(plain.body) == {
        **request_,
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
    }


def test_a_request_with_tools_says_so() -> None:
    request: dict[str, Any] = {"messages": MESSAGES, "tools": [{"type": "function"}]}
    plain = plain_request(CHAT, request, json.dumps(request).encode())
    assert plain is not None
    assert plain.tools


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        (CHAT, None),
        (CHAT, {"messages": MESSAGES, "stream": True}),
        (CHAT, {"messages": MESSAGES, "n": 2}),
        (CHAT, {"messages": MESSAGES, "logprobs": True}),
        (CHAT, {"messages": MESSAGES, "stream_options": {"include_usage": True}}),
        (CHAT, {"messages": [*MESSAGES, {"role": "assistant", "content": "h"}]}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": ["hi"]}),
        (CHAT, {"prompt": "hi"}),
        (TEXT, {"prompt": ["a", "b"]}),
        (TEXT, {"prompt": "a", "echo": True}),
        (TEXT, {"messages": MESSAGES}),
        ("/completion", {"prompt": "a"}),
        ("/v1/embeddings", {"input": "a", "prompt": "a"}),
        ("/v1/responses", {"input": "a"}),
    ],
)
def test_every_other_request_passes_as_it_is(path: str, request_: dict[str, Any] | None) -> None:
    assert plain_request(path, request_, json.dumps(request_).encode()) is None


class FakeStreamingServer:
    """Streams some bytes, breaks off or holds on; gives another answer to what is no stream."""

    def __init__(self, sent: bytes, *, cut: bool = False, hold: bool = False) -> None:
        self.sent = sent
        self.cut = cut
        self.hold = hold
        self.seen: list[dict[str, Any]] = []
        self.open = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        if not body.get("stream"):
            return web.json_response({"plain": True})
        self.open += 1
        try:
            response = web.StreamResponse(
                headers={"content-type": "text/event-stream", "x-accel-buffering": "no", "x-y": "z"}
            )
            await response.prepare(request)
            await response.write(self.sent)
            if self.cut and request.transport is not None:
                request.transport.abort()
            while self.hold:
                await response.write(b": still here\n\n")
                await wait_until(lambda: request.transport is None, within=60)
            return response
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def replica_before(server: FakeStreamingServer) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    app.router.add_post(CHAT, server.answer)
    # Cancelled when its connection closes, as an engine stops when its client leaves.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine = FakeEngine(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with running_replica(model_args(), lambda: engine) as replica:
            yield replica.http
    finally:
        await runner.cleanup()


async def ask(http: aiohttp.ClientSession) -> tuple[int, Any]:
    async with http.post(CHAT, json={"messages": MESSAGES}) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def test_a_plain_request_gets_the_assembled_answer_and_the_engine_s_headers() -> None:
    server = FakeStreamingServer(stream([ROLE, delta(1, content="a"), *chat_end("length", 1)]))
    async with (
        replica_before(server) as http,
        http.post(CHAT, json={"messages": MESSAGES}) as response,
    ):
        assert (await response.json())["choices"][0]["message"]["content"] == "a"
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["x-y"] == "z"
        assert "x-accel-buffering" not in response.headers
    assert [body["stream"] for body in server.seen] == [True]


async def test_an_answer_that_the_stream_lacks_is_asked_for_plainly() -> None:
    server = FakeStreamingServer(stream([ROLE, *chat_end("length", 1)]))
    async with replica_before(server) as http:
        assert await ask(http) == (200, {"plain": True})
    assert server.seen[1] == {"messages": MESSAGES}


async def test_a_malformed_event_gets_502_in_the_form_of_openai() -> None:
    async with replica_before(FakeStreamingServer(b"data: {]\n\n")) as http:
        status, answer = await ask(http)
    assert (status, answer["error"]["code"]) == (502, "MalformedAnswer")
    assert "{]" in answer["error"]["message"]
    assert answer["error"]["type"] == "server_error"


async def test_an_engine_that_dies_in_its_answer_gives_a_clear_error() -> None:
    server = FakeStreamingServer(BEGUN, cut=True)
    async with replica_before(server) as http:
        status, answer = await ask(http)
    assert (status, answer["error"]["code"]) == (503, "EngineDied")


async def test_an_engine_s_error_in_the_middle_is_a_plain_error() -> None:
    error = {"error": {"code": 500, "message": "m", "type": "server_error"}}
    async with replica_before(FakeStreamingServer(stream([ROLE, error]))) as http:
        assert await ask(http) == (500, error)


async def test_a_plain_client_that_leaves_closes_the_engine_s_stream() -> None:
    server = FakeStreamingServer(BEGUN, hold=True)
    async with replica_before(server) as http:
        asked = asyncio.create_task(http.post(CHAT, json={"messages": MESSAGES}))
        await wait_until(lambda: len(server.seen) == 1)
        asked.cancel()
        await wait_until(lambda: server.open == 0, within=1.0)
