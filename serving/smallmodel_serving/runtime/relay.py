"""Bytes from the client to the engine's own HTTP server and back: nothing is parsed on the way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.asgi import Receive, RequestError, Scope, Send

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


class Relay:
    """An HTTP client for engines on loopback.

    Every request gets its own connection. llama.cpp's server keeps a thread for each connection
    that stays open, and resets what it kept for five seconds, so a pool would lose requests and
    hold threads; opening one on loopback costs about 0.1 ms.
    """

    def __init__(self) -> None:
        """Make the client; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
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
        self,
        address: str,
        path: str,
        scope: Scope,
        body: bytes | AsyncIterator[bytes],
        receive: Receive,
        send: Send,
        passage: Passage,
    ) -> None:
        """Send the request to `address` + `path`, and its answer to the client as it comes.

        When the client leaves, by cancellation or by `http.disconnect`, the connection to the
        engine is closed at once: that is how the engine learns that it can stop.

        Raises:
            RequestError: The engine did not answer, or went away before its answer began.
        """
        work = asyncio.ensure_future(self._exchange(address, path, scope, body, send, passage))
        if not isinstance(body, bytes):
            # A body that is still coming reads `receive` itself, and so notices the client leaving.
            await _finish(work)
            return
        gone = asyncio.ensure_future(_client_left(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return
            work.result()
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))

    async def _exchange(
        self,
        address: str,
        path: str,
        scope: Scope,
        body: bytes | AsyncIterator[bytes],
        send: Send,
        passage: Passage,
    ) -> None:
        url = URL(address + path, encoded=True)
        query = scope.get("query_string", b"")
        if query:
            url = URL(f"{address}{path}?{query.decode('latin-1')}", encoded=True)
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in _HOP_BY_HOP
        ]
        try:
            response = await self._session.request(
                scope["method"], url, headers=headers, data=body or None, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise RequestError(
                503,
                Reason.ENGINE_DIED,
                f"The engine did not answer ({type(error).__name__}); it is being replaced. "
                "Try again.",
            ) from error
        try:
            passage.status = response.status
            passage.streamed = response.content_type == "text/event-stream"
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status,
                    "headers": [
                        (name.lower(), value)
                        for name, value in response.raw_headers
                        if name.lower() not in _HOP_BY_HOP
                    ],
                }
            )
            async for chunk in response.content.iter_any():
                now = self._loop.time()
                if passage.first_chunk_at is None:
                    passage.first_chunk_at = now
                passage.last_chunk_at = now
                passage.chunks += 1
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            # Not `release`: what is left unread must not keep the engine at work.
            response.close()


async def _finish(work: "asyncio.Future[None]") -> None:
    try:
        await work
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
