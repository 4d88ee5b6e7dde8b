"""A mock of Serve's front: it records what the gateway sends, and answers as a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY_LIMIT: Final = 2**30


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    client_port: int
    """Tells one connection from another."""


class MockUpstream:
    """A server on a free port of loopback."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.abandoned = asyncio.Event()
        """Set when a client leaves before its answer is whole."""
        self.answer: Answer = _echo
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, and end what runs."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def renew(self) -> None:
        """Be as just started: at the same port, with nothing seen."""
        self.seen.clear()
        self.abandoned = asyncio.Event()
        self.answer = _echo
        if self._runner is None:
            await self.start()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(
            Seen(
                method=request.method,
                path=request.path_qs,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.read(),
                client_port=_client_port(request),
            )
        )
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.abandoned.set()
            raise


def _client_port(request: web.Request) -> int:
    assert request.transport is not None
    port: int = request.transport.get_extra_info("peername")[1]
    return port


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.json_response({"path": request.path})


def plain(status: int, text: str | bytes, **headers: str) -> Answer:
    """Answer with text that is not JSON, as HAProxy and Serve do when they refuse."""

    async def answer(_: web.Request) -> web.StreamResponse:
        body = text.encode() if isinstance(text, str) else text
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(
            status=status, body=body, headers={"content-type": "text/plain"} | named
        )

    return answer


def json_answer(status: int, body: object) -> Answer:
    """Answer with JSON."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


class Stream:
    """An SSE answer whose events a test sends one by one."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[str | None] = asyncio.Queue()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(f"data: {event}\n\n".encode())
        return response


class Silence:
    """An answer that never begins."""

    async def __call__(self, _: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")
