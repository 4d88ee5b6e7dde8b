"""An engine's HTTP server that answers at once: `python -m bench.mock.engine`.

Prints its base URL when it is up. A completion is one JSON document; with `stream` it is 64 events,
each written by itself, as an engine would that makes a token at a time.
"""

import asyncio
import json
import signal
from typing import Final

import httptools

from smallmodel_operator.local.processes import end_with_parent

TOKENS: Final = 64
EVENTS: Final = TOKENS + 1
"""Of a stream, `[DONE]` included."""


def _document() -> bytes:
    message = {"role": "assistant", "content": "Hello! How can I help you today?"}
    return json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1764000000,
            "model": "chat",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
    ).encode()


def _event() -> bytes:
    return (
        b"data: %b\n\n"
        % json.dumps(
            {
                "id": "chatcmpl-mock",
                "object": "chat.completion.chunk",
                "created": 1764000000,
                "model": "chat",
                "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}],
            }
        ).encode()
    )


def _whole(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_DOCUMENT: Final = _whole("application/json", _document())
_METRICS: Final = _whole("text/plain", b"")
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_STREAM: Final = (
    _STREAM_HEAD,
    *([_chunk(_event())] * TOKENS),
    _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
)


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
        if self._parser.get_method() != b"POST":
            self._transport.write(_METRICS)
        elif json.loads(self._body).get("stream"):
            for part in _STREAM:
                self._transport.write(part)
        else:
            self._transport.write(_DOCUMENT)
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
