"""Bytes from the client to the engine's own HTTP server and back.

Nothing is parsed on the way, except where a plain answer is assembled from a stream.
"""

import time
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.asgi import RequestError, Scope, Send, send_body
from smallmodel_serving.runtime.assemble import Answer, Assembly, MalformedStreamError, PlainRequest
from smallmodel_serving.runtime.client import Body, LargeBody

# RFC 9110, section 7.6.1: what belongs to one connection is not forwarded. `host` names the engine
# and not us, and `expect` was already answered by the server in front.
_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# llama.cpp makes a stream with this header resumable, and goes on when its client leaves.
_RESUMABLE: Final = b"x-conversation-id"
_NOT_SENT: Final = _HOP_BY_HOP | {_RESUMABLE}
# The server in front writes its own.
_NOT_RETURNED: Final = _HOP_BY_HOP | {b"date", b"server"}
# aiohttp counts what it sends, which may be another body than the client's.
_LENGTH: Final = b"content-length"
# They describe a stream, and an assembled answer is none.
_OF_STREAMS: Final = (b"content-type", b"x-accel-buffering")
_STREAM: Final = "text/event-stream"
# As llama.cpp writes it.
_JSON: Final = (b"content-type", b"application/json; charset=utf-8")
# What `curl -d` says of any body. llama.cpp takes 8 KiB of it, vLLM none; both read JSON only.
_FORM: Final = b"application/x-www-form-urlencoded"
# aiohttp adds these by itself; a relay forwards what the client sent, and no more.
_NEVER_ADDED: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@dataclass(slots=True, kw_only=True)
class Passage:
    """What went through for one request; filled while it goes."""

    status: int = 0
    streamed: bool = False
    first_chunk_at: float | None = None
    last_chunk_at: float | None = None
    chunks: int = 0

    def count(self) -> None:
        """Take note of one more chunk."""
        self.last_chunk_at = time.perf_counter()
        if self.first_chunk_at is None:
            self.first_chunk_at = self.last_chunk_at
        self.chunks += 1


class Relay:
    """An HTTP client for engines on loopback.

    Every request gets its own connection. llama.cpp's server keeps a thread for each connection
    that stays open, and resets what it kept for five seconds, so a pool would lose requests and
    hold threads; opening one on loopback costs about 0.1 ms.
    """

    def __init__(self) -> None:
        """Make the client; needs a running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NEVER_ADDED,
            # The gateway bounds requests; a held stream may be silent for minutes.
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def get(self, url: str, *, timeout_seconds: float) -> bytes:
        """Return the body of a GET on the engine itself.

        Raises:
            aiohttp.ClientError: The engine did not answer with 200.
            TimeoutError: It did not answer in time.
        """
        limit = aiohttp.ClientTimeout(total=timeout_seconds)
        async with self._session.get(url, timeout=limit, raise_for_status=True) as response:
            return await response.read()

    async def forward(
        self, url: str, scope: Scope, body: Body, send: Send, passage: Passage
    ) -> None:
        """Send the request to the engine, and its answer to the client as it comes.

        However this ends, the connection to the engine is closed at once: that is how an engine
        learns that nobody waits for the rest.

        Raises:
            RequestError: The engine did not answer.
        """
        response = await self._request(url, scope, body)
        try:
            await _return(response, send, passage)
        finally:
            # Not `release`: what is left unread must not keep the engine at work.
            response.close()

    async def assemble(
        self, url: str, scope: Scope, plain: PlainRequest, send: Send, passage: Passage
    ) -> bool:
        """Send a plain request as a stream, and its answer to the client in one piece.

        The connection to the engine is closed as `forward` does it.

        Returns:
            False where the stream lacks a part of the answer. Nothing was sent then; `forward` can
            still answer.

        Raises:
            RequestError: The engine did not answer, or not with a stream of completion events.
        """
        response = await self._request(url, scope, plain.body)
        try:
            # Errors that llama.cpp knows before the first token come as they always do.
            if response.status != 200 or response.content_type != _STREAM:
                await _return(response, send, passage)
                return True
            answer = await _assembled(response, plain)
            if answer is None:
                return False
            passage.status = answer.status
            head = [header for header in _head(response) if header[0] not in _OF_STREAMS]
            await send_body(
                send, answer.status, answer.body, content_type=_JSON, headers=tuple(head)
            )
            return True
        finally:
            response.close()

    async def _request(self, url: str, scope: Scope, body: Body) -> aiohttp.ClientResponse:
        query = scope.get("query_string", b"")
        if query:
            url = f"{url}?{query.decode('latin-1')}"
        headers = [
            (name.decode("latin-1"), _as_json(name, value).decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _NOT_SENT and not (name == _LENGTH and isinstance(body, bytes))
        ]
        try:
            return await self._session.request(
                scope["method"],
                URL(url, encoded=True),
                headers=headers,
                data=body.parts() if isinstance(body, LargeBody) else body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _died(error) from error


async def _return(response: aiohttp.ClientResponse, send: Send, passage: Passage) -> None:
    """Send the engine's answer to the client as it comes."""
    passage.status = response.status
    passage.streamed = response.content_type == _STREAM
    await send(
        {"type": "http.response.start", "status": response.status, "headers": _head(response)}
    )
    async for chunk in response.content.iter_any():
        passage.count()
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _assembled(response: aiohttp.ClientResponse, plain: PlainRequest) -> Answer | None:
    """Return the answer in a stream, or None where the stream lacks a part of it."""
    assembly = Assembly(chat=plain.chat, tools=plain.tools)
    try:
        async for chunk in response.content.iter_any():
            assembly.feed(chunk)
            if assembly.ended:
                break
        return assembly.answer()
    except MalformedStreamError as error:
        raise RequestError(
            502, Reason.MALFORMED_ANSWER, f"The engine's answer was cut or garbled: {error}."
        ) from error
    except aiohttp.ClientError as error:
        raise _died(error) from error


def _head(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers that belong to the answer, and not to its connection."""
    return [
        (name.lower(), value)
        for name, value in response.raw_headers
        if name.lower() not in _NOT_RETURNED
    ]


def _died(error: Exception) -> RequestError:
    return RequestError(
        503,
        Reason.ENGINE_DIED,
        f"The engine did not answer ({type(error).__name__}: {error}); try again.",
    )


def _as_json(name: bytes, value: bytes) -> bytes:
    """Return a header's value, with a form's content type replaced: the body is JSON anyway."""
    if name == b"content-type" and value.startswith(_FORM):
        return b"application/json"
    return value
