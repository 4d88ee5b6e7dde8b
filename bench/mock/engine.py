"""An engine's HTTP server that answers at once: `python -m bench.mock.engine`.

Prints its base URL when it is up. It answers a chat as llama.cpp does, with as many tokens as
`max_tokens` says: in one document, or with `stream` in events, of which each token's is written by
itself, as an engine would that makes one token at a time.
"""

import asyncio
import functools
import json
import signal
from typing import Any, Final

import httptools

from smallmodel_operator.local.processes import end_with_parent

_EVENTS_BESIDE_TOKENS: Final = 4
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_ENVELOPE: Final = {
    "created": 1764000000,
    "id": "chatcmpl-mock",
    "model": "chat",
    "system_fingerprint": "mock",
}


def event_count(tokens: int) -> int:
    """Return how many events a stream has: role, tokens, end, usage and `[DONE]`."""
    return tokens + _EVENTS_BESIDE_TOKENS


@functools.cache
def _document(tokens: int) -> tuple[bytes, ...]:
    message = {"role": "assistant", "content": " word" * tokens}
    choice = {"finish_reason": "length", "index": 0, "message": message}
    answer = {"choices": [choice], "object": "chat.completion", **_ENVELOPE, **_counts(tokens)}
    return (_whole("application/json", json.dumps(answer).encode()),)


@functools.cache
def _stream(tokens: int) -> tuple[bytes, ...]:
    """Return what is written, one after the other."""
    words = [_event({"content": " word"}, timings=_timings(number + 1)) for number in range(tokens)]
    # llama.cpp sends the role together with the first token.
    words[:1] = [_event({"role": "assistant", "content": None}) + b"".join(words[:1])]
    usage = {"choices": [], "object": "chat.completion.chunk", **_ENVELOPE, **_counts(tokens)}
    end = _event({}, "length") + _data(usage) + b"data: [DONE]\n\n"
    return (_STREAM_HEAD, *map(_chunk, words), _chunk(end) + b"0\r\n\r\n")


def _event(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"finish_reason": reason, "index": 0, "delta": delta}
    return _data({"choices": [choice], "object": "chat.completion.chunk", **_ENVELOPE, **more})


def _data(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def _counts(tokens: int) -> dict[str, Any]:
    usage = {"completion_tokens": tokens, "prompt_tokens": 9, "total_tokens": 9 + tokens}
    return {"usage": usage, "timings": _timings(tokens)}


def _timings(tokens: int) -> dict[str, int]:
    return {"prompt_n": 9, "predicted_n": tokens}


def _whole(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_METRICS: Final = _whole("text/plain", b"")


class _Connection(asyncio.Protocol):
    """One connection; every method is called by asyncio or by the parser."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._transport is not None
        if self._parser.get_method() == b"POST":
            request = json.loads(self._body)
            parts = _stream if request.get("stream") else _document
            for part in parts(request["max_tokens"]):
                self._transport.write(part)
        else:
            self._transport.write(_METRICS)
        if not self._parser.should_keep_alive():
            self._transport.close()


async def _main() -> None:
    end_with_parent()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
