"""A fake of a cluster for tests of `slm`: an API server in a thread of its own, and port-forwards.

What the command under test asks is answered by `FakeKubeApi`; what that knows nothing of (label
selectors, access reviews, logs, streams to pods, groups that are not served) is added here.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, failure, fake_kube_api

TEAM = "team"
SYSTEM = "smallmodel-system"
LOG_LINE = "a line of the log"

Reply = Callable[[web.Request], web.StreamResponse | None]


@dataclass
class FakeCluster:
    """What is there, and what the caller may do.

    Attributes:
        kube: The objects and the requests that were seen.
        denied: Pairs of a verb and a resource that access reviews say no to.
        forbidden: Plurals that may not be read.
        not_served: Groups that have no kinds, as before their CRDs are installed.
        refusals: What a dry run says, by the object's name.
        silent: Containers that have not started, so that they have no log.
        log_queries: What was asked of logs.
        forwarded_to: The port on this machine that every port-forward leads to.
    """

    kube: FakeKubeApi
    denied: set[tuple[str, str]] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    not_served: set[str] = field(default_factory=set)
    refusals: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    log_queries: list[dict[str, str]] = field(default_factory=list)
    forwarded_to: int = 0

    def put(self, path: str, manifest: dict[str, Any]) -> None:
        """Have an object be there."""
        self.kube.put(path, manifest)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) > 1 and parts[1] in self.not_served:
            return failure(404, "NotFound", "the server could not find the requested resource")
        if self.forbidden & set(parts):
            return failure(403, "Forbidden", f"you cannot list {parts[-1]}")
        if parts[-1] == "portforward":
            return await self._relay(request)
        if parts[-1] == "selfsubjectaccessreviews":
            return await self._review(request)
        if parts[-1] == "log":
            self.log_queries.append(dict(request.query))
            return self._log(request.query["container"])
        if request.query.get("dryRun"):
            message = self.refusals.get(parts[-1])
            return failure(422, "Invalid", message) if message else web.json_response({})
        answered = await self.kube.answer(request)
        selector = request.query.get("labelSelector")
        return _selected(answered, selector) if selector else answered

    def _log(self, container: str) -> web.Response:
        if container in self.silent:
            return failure(400, "BadRequest", f"container {container} is waiting to start")
        return web.Response(text=f"{LOG_LINE} of {container}\n")

    async def _review(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return web.json_response({"status": {"allowed": allowed}})

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + b"\x90\x1f")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.forwarded_to)
        back = asyncio.create_task(_send_back(reader, socket))
        async for message in socket:
            writer.write(message.data[1:])
        writer.close()
        back.cancel()
        return socket


async def _send_back(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while chunk := await reader.read(65536):
        await socket.send_bytes(b"\x00" + chunk)
    await socket.close()


def _selected(answered: web.StreamResponse, selector: str) -> web.StreamResponse:
    """Keep the items of a list that have the labels: `a=b`, `a`, and `a in (b, c)` alone."""
    assert isinstance(answered, web.Response)
    told = json.loads(answered.text or "{}")
    if "items" in told:
        told["items"] = [
            one for one in told["items"] if _matches(one["metadata"].get("labels") or {}, selector)
        ]
    return web.json_response(told, status=answered.status)


def _matches(labels: dict[str, str], selector: str) -> bool:
    if " in (" in selector:
        name, _, values = selector.partition(" in (")
        return labels.get(name) in values.rstrip(")").split(", ")
    for part in selector.split(","):
        name, equals, value = part.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


@contextmanager
def fake_cluster(tls: ssl.SSLContext | None = None) -> Iterator[FakeCluster]:
    """Run a fake cluster in a thread, since commands block the one of the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()

    async def start() -> FakeCluster:
        made = FakeCluster(kube=await stack.enter_async_context(fake_kube_api(tls)))
        # The fake asks for `dispatch` at each request, so that a test can put its own there.
        made.kube.dispatch = made.answer  # type: ignore[method-assign]
        return made

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
