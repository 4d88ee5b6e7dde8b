"""What an API server and a kubelet do with port-forwards, before a fake API server's objects."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from builders.fake_kube_api import FakeKubeApi, failure

_NOBODY = 1
"""A port at which nothing listens."""


@dataclass
class FakePods:
    """The pods that may be reached by name, and where each of their ports really is.

    Attributes:
        ports: The real one, by the pod's path and its port.
        forbidden: Whether the caller lacks the right.
        silent: Whether a stream is never answered: a black hole.
        opened: How many streams were.
        tokens: What each of them was authorized by.
        running: How many are open now.
        delay: Seconds that each message takes, and each step of opening a stream.
    """

    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    forbidden: bool = False
    silent: bool = False
    opened: int = 0
    running: int = 0
    tokens: list[str] = field(default_factory=list)
    delay: float = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a stream."""
        if self.silent:
            await asyncio.Event().wait()
        await asyncio.sleep(self.delay)
        if self.forbidden:
            return failure(403, "Forbidden", "cannot get resource pods/portforward")
        pod, port = request.path.removesuffix("/portforward"), int(request.query["ports"])
        if not any(path == pod for path, _ in self.ports):
            return failure(404, "NotFound", "no such pod", details={"name": "x"})
        stream = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await stream.prepare(request)
        self.opened += 1
        self.tokens.append(request.headers["Authorization"])
        self.running += 1
        try:
            await self._lead(stream, pod, port)
        finally:
            self.running -= 1
        return stream

    async def _lead(self, stream: web.WebSocketResponse, pod: str, port: int) -> None:
        for channel in (0, 1):
            await stream.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
        try:
            real = self.ports.get((pod, port), _NOBODY)
            reader, writer = await asyncio.open_connection("127.0.0.1", real)
        except OSError:
            await stream.send_bytes(b"\x01failed to connect to localhost: connection refused")
            await stream.close()
            return
        downward = asyncio.create_task(self._send(reader, stream))
        try:
            async for message in stream:
                if message.type is WSMsgType.BINARY:
                    await asyncio.sleep(self.delay)
                    writer.write(message.data[1:])
        finally:
            downward.cancel()
            await asyncio.gather(downward, return_exceptions=True)
            writer.close()

    async def _send(self, reader: asyncio.StreamReader, stream: web.WebSocketResponse) -> None:
        while chunk := await reader.read(65536):
            await asyncio.sleep(self.delay)
            await stream.send_bytes(b"\x00" + chunk)
        await stream.close()


def put_before(kube: FakeKubeApi, pods: FakePods) -> None:
    """Have a fake API server answer port-forwards by these pods."""
    usual = kube.dispatch

    async def dispatch(request: web.Request) -> web.StreamResponse:
        forwards = request.path.endswith("/portforward")
        return await (pods.answer(request) if forwards else usual(request))

    kube.dispatch = dispatch  # type: ignore[method-assign]  # which is there for this
