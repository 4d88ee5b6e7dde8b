"""The way to a port of a pod: by the pod's address, or through its cluster's API server.

The networks of two clusters' pods seldom reach each other, and whoever works on another cluster
calls its API server anyway.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.forward import Stream, carry, hang_up, open_stream
from smallmodel_operator.clusters.ref import Ref

_LOG: Final = logging.getLogger(__name__)
_LOOPBACK: Final = "127.0.0.1"

MOST_LISTENERS: Final = 256
"""Of one cluster. Each is a local port; a pool has two."""
IDLE_SECONDS: Final = 600.0
"""After which a port that nobody asked for is let go."""
SPARE_SECONDS: Final = 5.0
"""How long a connection waits that was opened for somebody who did not come."""


class NoWay(Exception):
    """A port of a pod cannot be reached; the text is why."""


class NotAllowed(NoWay):
    """Whoever asks lacks the right to; nothing but a grant changes that."""


class Reach(Protocol):
    """How pods of one cluster are reached."""

    @property
    def failures(self) -> int:
        """How many connections led nowhere; those are not counted which callers make themselves."""
        ...

    async def base(self, pod: Ref, address: str, port: int) -> str:
        """Return the URL `http://host:port` that leads to a port of a pod now.

        Args:
            pod: The pod.
            address: Its IP address. Another one makes it another pod, whatever its name.
            port: The pod's.

        Raises:
            NoWay: It is known that nothing leads there.
        """
        ...

    def trouble(self, pod: Ref, port: int) -> str | None:
        """Return why the last connection to a port led nowhere; None: nothing is known of that."""
        ...

    def forget(self, pod: Ref) -> None:
        """Let go of a pod that is gone."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class DirectReach:
    """By the addresses of pods, from inside their cluster."""

    failures: Final = 0

    async def base(self, pod: Ref, address: str, port: int) -> str:
        """Return the URL of the pod's own address."""
        del pod
        return url_of(address, port)

    def trouble(self, pod: Ref, port: int) -> str | None:
        """Return None: whoever calls an address learns everything by that."""
        del pod, port
        return None

    def forget(self, pod: Ref) -> None:
        """Do nothing, since nothing is kept."""

    async def close(self) -> None:
        """Do nothing, since nothing is kept."""


DIRECT: Final = DirectReach()


def url_of(address: str, port: int) -> str:
    """Return the base URL of a port of an address."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


class ForwardedReach:
    """Through the API server of the pods' cluster, by a local port for each of theirs."""

    def __init__(self, api: Api, *, cluster: str, clock: Clock = SYSTEM_CLOCK) -> None:
        """Make it; nothing is opened yet.

        Args:
            api: The cluster's.
            cluster: The ModelCluster's name, for messages.
            clock: Tells which ports were not asked for in a long time.
        """
        self._failures = 0
        self._api = api
        self._cluster = cluster
        self._clock = clock
        self._listeners: dict[tuple[Ref, int], _Listener] = {}
        """By pod and port; the one that was asked for last is the last."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def failures(self) -> int:
        """How many connections led nowhere."""
        return self._failures

    async def base(self, pod: Ref, address: str, port: int) -> str:
        """Return the URL of a local port behind which a connection to the pod's is open.

        Raises:
            NoWay: The API server does not lead there.
        """
        if not pod.name:
            raise NoWay(
                f"KubeRay does not say which pod has the address {address}; install a version "
                "that fills status.activeServiceStatus.rayClusterStatus.head.podName"
            )
        return await self._listener(pod, address, port).base()

    def trouble(self, pod: Ref, port: int) -> str | None:
        """Return why the last connection to a port led nowhere; None: it led there."""
        listener = self._listeners.get((pod, port))
        return listener.trouble if listener is not None else None

    def forget(self, pod: Ref) -> None:
        """Close the local ports that led to a pod, and what runs through them."""
        for key in [key for key in self._listeners if key[0] == pod]:
            self._listeners.pop(key).close()

    async def close(self) -> None:
        """Close all local ports, and what runs through them."""
        while self._listeners:
            self._listeners.popitem()[1].close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _listener(self, pod: Ref, address: str, port: int) -> "_Listener":
        now = self._clock.monotonic()
        listener = self._listeners.pop((pod, port), None)
        if listener is not None and listener.address != address:
            listener.close()
            listener = None
        if listener is None:
            way = _Way(open=lambda: self._open(pod, port), failed=self._failed, start=self._start)
            listener = _Listener(address, way)
        listener.asked_at = now
        self._listeners[pod, port] = listener
        self._sweep(now)
        return listener

    def _sweep(self, now: float) -> None:
        """Let go of what nobody asked for in a long time, and of what is too much."""
        for key, listener in list(self._listeners.items()):
            if now - listener.asked_at < IDLE_SECONDS and len(self._listeners) <= MOST_LISTENERS:
                return
            self._listeners.pop(key).close()

    async def _open(self, pod: Ref, port: int) -> Stream:
        try:
            return await open_stream(self._api, pod, port)
        except errors.Forbidden as error:
            raise NotAllowed(
                f"the hub may not forward ports of pods in namespace {pod.namespace} of cluster "
                f"{self._cluster}, whose API server answered 403; its account needs `create` and "
                f"`get` on pods/portforward: run `slm cluster join {self._cluster}` again, which "
                "grants both"
            ) from error
        except errors.ApiError as error:
            raise NoWay(str(error)) from error

    def _failed(self) -> None:
        self._failures += 1

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What a listener has of whoever made it.

    Attributes:
        open: Opens a connection to the pod's port, or raises `NoWay`.
        failed: Is told of each that led nowhere.
        start: Does something beside everything else.
    """

    open: Callable[[], Awaitable[Stream]]
    failed: Callable[[], None]
    start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class _Listener:
    """A local port that leads to one port of one pod.

    Attributes:
        address: The pod's.
        asked_at: When somebody last asked for it.
        trouble: Why the last connection led nowhere; None: it led there.
    """

    def __init__(self, address: str, way: _Way) -> None:
        self.address = address
        self.asked_at = 0.0
        self.trouble: str | None = None
        self._way = way
        self._lock = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._spare: Stream | None = None
        self._leading = 0
        """Connections that lead to the pod now."""
        self._tunnels = set[asyncio.Task[None]]()
        self._is_closed = False

    async def base(self) -> str:
        """Return the local port's URL once something leads to the pod.

        Where nothing does, a connection is opened for whoever comes next: who asks learns why
        there is none, and the time of a request begins when it can be sent.

        Raises:
            NoWay: Nothing leads there.
        """
        async with self._lock:
            server = self._server or await self._listen()
            if self._spare is None and not self._leading:
                self._keep(await self._stream())
            if self._is_closed:
                self.close()
                raise NoWay("the pod was replaced in this moment")
            host, port = server.sockets[0].getsockname()
            return url_of(host, port)

    def close(self) -> None:
        """Close the local port, and end what runs through it."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        for tunnel in self._tunnels:
            tunnel.cancel()
        self._drop_spare(self._spare)

    async def _listen(self) -> asyncio.Server:
        try:
            local = socket.create_server((_LOOPBACK, 0))
        except OSError as error:
            raise NoWay(f"no local port is free: {error}") from error
        # Nothing is waited for until the server is known, so that it is closed in any case.
        server = await asyncio.start_server(self._accept, sock=local, start_serving=False)
        self._server = server
        await server.start_serving()
        return server

    async def _stream(self) -> Stream:
        try:
            stream = await self._way.open()
        except NoWay as error:
            self._way.failed()
            if str(error) != self.trouble:
                _LOG.warning("%s", error)
            self.trouble = str(error)
            raise
        self.trouble = None
        return stream

    def _keep(self, stream: Stream) -> None:
        self._spare = stream
        asyncio.get_running_loop().call_later(SPARE_SECONDS, self._drop_spare, stream)

    def _drop_spare(self, stream: Stream | None) -> None:
        """Hang up a connection that nobody came for, unless somebody has it by now."""
        if stream is not None and stream is self._spare:
            self._spare = None
            self._way.start(hang_up(stream))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.close()
            return
        tunnel = self._way.start(self._tunnel(reader, writer))
        self._tunnels.add(tunnel)
        tunnel.add_done_callback(self._tunnels.discard)
        # One that is cancelled before its first step closes nothing itself.
        tunnel.add_done_callback(lambda _: writer.close())

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, self._spare = self._spare, None
        try:
            stream = stream or await self._stream()
        except NoWay:
            return
        self._leading += 1
        try:
            await carry(stream, reader, writer, self._complain)
        finally:
            self._leading -= 1

    def _complain(self, told: str) -> None:
        self._way.failed()
        self.trouble = told
