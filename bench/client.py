"""An HTTP client for measuring: one connection, one request at a time, every chunk with its time.

The parser is C (`httptools`) and nothing else is done for a request, because the client shares the
cores with what it measures.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httptools

_TIMEOUT_SECONDS: Final = 120.0


class LostError(Exception):
    """A request that got no whole answer."""


@dataclass(slots=True)
class Reply:
    """An answer, read to its end; times are of `time.perf_counter`."""

    began: float
    status: int = 0
    ended: float = 0.0
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From sending the request to the last byte of the answer."""
        return self.ended - self.began

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(chunk for _, chunk in self.chunks)


class Client:
    """Requests to one server, over one connection that is opened again when the server closed it.

    A request is never repeated.
    """

    def __init__(self, url: str) -> None:
        """Make it; nothing is opened yet.

        Args:
            url: For example `http://127.0.0.1:8080/v1`; its path goes before each request's.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        self._prefix = parts.path.rstrip("/")
        self._connection: _Connection | None = None

    async def post(self, path: str, body: bytes, *, headers: str = "") -> Reply:
        """Send a body of JSON, and return the whole answer whatever its status.

        Args:
            path: After the base URL's own path.
            body: The request's body.
            headers: Further header lines, each with its end of line.

        Raises:
            LostError: The connection could not be opened, or ended before the answer did.
        """
        if self._connection is None or self._connection.closed:
            self._connection = await self._open()
        head = (
            f"POST {self._prefix}{path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        )
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self._connection.exchange(head.encode() + body)
        except TimeoutError as error:
            self.close()
            raise LostError(f"no whole answer within {_TIMEOUT_SECONDS:.0f} s") from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except OSError as error:
            raise LostError(f"no connection to {self._host}:{self._port}: {error}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection; the methods after `exchange` are called by asyncio and by the parser."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reply = Reply(began=0.0)
        self._done: asyncio.Future[Reply] | None = None

    async def exchange(self, request: bytes) -> Reply:
        if self._transport is None or self.closed:
            raise LostError("the connection is closed")
        self._done = asyncio.get_running_loop().create_future()
        self._reply = Reply(began=time.perf_counter())
        self._transport.write(request)
        try:
            return await self._done
        finally:
            self._done = None

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is not HTTP: {error}")
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._fail(f"the connection ended before the answer: {error or 'closed by the server'}")

    def on_body(self, body: bytes) -> None:
        self._reply.chunks.append((time.perf_counter(), body))

    def on_message_complete(self) -> None:
        self._reply.ended = time.perf_counter()
        self._reply.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if self._done is not None and not self._done.done():
            self._done.set_result(self._reply)

    def _fail(self, message: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(LostError(message))


def chat_body(model: str, prompt: str, tokens: int, *, stream: bool = False) -> bytes:
    """Return a chat completion request that makes exactly that many tokens.

    `ignore_eos` is llama.cpp's own field: without it the model would decide how long it is busy.
    """
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


def events(body: bytes) -> list[bytes]:
    """Return the data of each event of an SSE body, `[DONE]` among them."""
    return [line[6:].strip() for line in body.split(b"\n") if line.startswith(b"data: ")]


def completion_tokens(body: bytes) -> int:
    """Return how many tokens an answer says that it has, streamed or not; 0: it does not say."""
    documents = [body] if body.lstrip().startswith(b"{") else events(body)
    counts = [
        (json.loads(text).get("usage") or {}).get("completion_tokens", 0)
        for text in documents
        if text.startswith(b"{")
    ]
    return max(counts, default=0)


def first_token_seconds(reply: Reply) -> float | None:
    """Return when the first event with text of a stream arrived, from its request; None: never.

    A chunk's last event may be cut: it is read with the chunk that has its end.
    """
    seen = b""
    for at, chunk in reply.chunks:
        seen += chunk
        whole, _, seen = seen.rpartition(b"\n\n")
        if any(_has_text(event) for event in events(whole)):
            return at - reply.began
    return None


def _has_text(event: bytes) -> bool:
    if not event.startswith(b"{"):
        return False
    choices = json.loads(event).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content") or choices[0].get("text"))
