"""The benchmark's client, against a server that says exactly what a test wants."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from bench.client import (
    Client,
    LostError,
    Reply,
    chat_body,
    completion_tokens,
    events,
    first_token_seconds,
)


def event(**delta: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


@contextlib.asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[str]:
    """A server that gives these answers, one to each request, and then closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(answer)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


async def test_answers_of_known_and_of_chunked_length_are_read_to_their_end() -> None:
    plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    chunked = b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    async with server(plain, chunked) as url:
        client = Client(url)
        first = await client.post("/x", b"{}")
        second = await client.post("/x", b"{}")
        client.close()
    assert (first.status, first.body) == (200, b"hi")
    assert (second.status, second.body) == (404, b"abc")
    assert 0 < first.seconds < 10


async def test_a_connection_that_the_server_closed_is_opened_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    async with server(closing) as url:
        client = Client(url)
        assert [(await client.post("/x", b"")).status for _ in range(2)] == [200, 200]
        client.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed by the server"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi", "closed by the server"),
        (b"nonsense\r\n\r\n", "is not HTTP"),
    ],
)
async def test_an_answer_that_is_not_whole_is_lost(answer: bytes, why: str) -> None:
    async with server(answer) as url:
        with pytest.raises(LostError, match=why):
            await Client(url).post("/x", b"")


async def test_a_server_that_is_not_there_is_a_lost_request() -> None:
    async with server() as url:
        pass
    with pytest.raises(LostError, match="no connection"):
        await Client(url).post("/x", b"")


def test_events_are_what_follows_data() -> None:
    assert events(b"data: {}\n\n: comment\n\ndata: [DONE]\n\n") == [b"{}", b"[DONE]"]


def test_tokens_are_counted_by_what_the_answer_says() -> None:
    usage = json.dumps({"choices": [], "usage": {"completion_tokens": 7}}).encode()
    assert completion_tokens(usage) == 7
    assert completion_tokens(event(content="a") + b"data: " + usage + b"\n\ndata: [DONE]\n\n") == 7
    assert completion_tokens(event(content="a")) == 0
    assert completion_tokens(b"") == 0


def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    text = event(content="Hello")
    reply = Reply(began=10.0)
    reply.chunks = [(10.5, event(role="assistant")), (11.0, text[:20]), (11.25, text[20:])]
    assert first_token_seconds(reply) == 1.25


def test_a_stream_without_text_has_no_first_token() -> None:
    reply = Reply(began=0.0)
    reply.chunks = [(1.0, event(role="assistant")), (2.0, b"data: [DONE]\n\n")]
    assert first_token_seconds(reply) is None


def test_a_streamed_request_asks_for_the_count_of_tokens() -> None:
    body = json.loads(chat_body("chat", "Hi", 5, stream=True))
    assert (body["max_tokens"], body["stream_options"]) == (5, {"include_usage": True})
    assert "stream" not in json.loads(chat_body("chat", "Hi", 5))
