"""An engine without a model, in front of a real HTTP server: it lies below the relay."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

from aiohttp import web

from smallmodel_serving.runtime.engine import EngineError


class FakeEngine:
    """Loads when it is told to; its HTTP server is there all the time."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.threads: int | None = None
        self.may_load = threading.Event()
        self.may_load.set()
        self.error: EngineError | Exception | None = None
        self.log: list[str] = []
        self.dead = False

    def start(self, others_awake: int) -> None:
        self.log.append(f"start beside {others_awake}")
        if not self.may_load.wait(timeout=10):
            raise TimeoutError("nobody let the fake engine load")
        if self.error is not None:
            raise self.error
        self.threads = 1

    def sleep(self) -> None:
        self.log.append("sleep")
        self.threads = None

    def stop(self) -> None:
        self.log.append("stop")
        self.threads = None

    def alive(self) -> bool:
        return not self.dead


class FakeUpstream:
    """The HTTP server of a fake engine: it answers, streams and hangs."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.open = 0
        self.release = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.open += 1
        try:
            body = await request.read()
            self.seen.append((request.raw_path, dict(request.headers), body))
            path = request.path
            if path == "/metrics":
                return web.Response(text="llamacpp:prompt_tokens_total 7\n")
            if path.endswith("/hang"):
                await self.release.wait()
            if path.endswith("/flow"):
                return await self._stream(request)
            if path.endswith("/refuse"):
                return web.json_response({"error": {"code": 400}}, status=400)
            return web.json_response({"length": len(body), "body": body[:200].decode("latin-1")})
        finally:
            self.open -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await self.release.wait()
        await response.write(b"data: two\n\n")
        return response


@contextlib.asynccontextmanager
async def fake_upstream() -> AsyncIterator[tuple[FakeUpstream, str]]:
    upstream = FakeUpstream()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", r"/{path:[\s\S]*}", upstream.answer)
    # Cancelled when its connection closes, as an engine stops when its client leaves.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield upstream, f"http://127.0.0.1:{port}"
    finally:
        upstream.release.set()
        await runner.cleanup()
