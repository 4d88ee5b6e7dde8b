"""A port on loopback that leads to a pod's port through the API server, as `kubectl port-forward`.

Over WebSockets each connection to the local port takes one to the API server. Protocol
`v4.channel.k8s.io`: the first byte of a message is its channel, 0 for data and 1 for an error,
and the first message of each channel holds the port's number.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import aiohttp

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import Ref

_log = logging.getLogger(__name__)

Stream: TypeAlias = aiohttp.ClientWebSocketResponse
"""One connection to a pod's port."""

_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA: Final = 0
_ERROR: Final = 1
_CHUNK: Final = 32 * 1024
_GOODBYE_SECONDS: Final = 1.0
"""For the other end to confirm that a stream ends: one behind a dead link never does."""


@asynccontextmanager
async def forward(api: Api, pod: Ref, port: int, *, local_port: int = 0) -> AsyncIterator[int]:
    """Lead a port on loopback to a pod's port for as long as the block runs.

    Args:
        api: The cluster.
        pod: A running pod.
        port: The pod's port.
        local_port: 0: any free one.

    Yields:
        The local port.

    Raises:
        ApiError: The API server does not let this port be reached.
        OSError: The local port is taken.
    """
    # Refused now, with a reason, rather than at the first connection, without one.
    await hang_up(await open_stream(api, pod, port))
    tunnels: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.create_task(_tunnel(api, pod, port, reader, writer))
        tunnels.add(tunnel)
        tunnel.add_done_callback(tunnels.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", local_port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for tunnel in tunnels:
            tunnel.cancel()
        await asyncio.gather(*tunnels, return_exceptions=True)


async def open_stream(api: Api, pod: Ref, port: int) -> Stream:
    """Open a connection to a pod's port.

    Raises:
        ApiError: The API server does not let it be reached.
    """
    return await api.websocket(pod, "portforward", {"ports": str(port)}, _PROTOCOL)


async def carry(
    stream: Stream,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    complain: Callable[[str], None],
) -> None:
    """Carry what is said both ways, until one end hangs up, and hang up at the other.

    Args:
        stream: Leads to the pod.
        reader: Has what is for the pod.
        writer: Takes what comes of it, and is closed.
        complain: Called with what the cluster says of a port that it cannot reach, while the
            writer is still open.
    """
    upward = asyncio.create_task(_send(reader, stream))
    try:
        complaint = await _receive(stream, writer)
        if complaint is not None:
            complain(complaint)
    except OSError as error:
        _log.debug("a connection to a pod ended: %s", error)
    finally:
        upward.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await upward
        writer.close()
        await hang_up(stream)


async def hang_up(stream: Stream) -> None:
    """End a connection to a pod's port, whether or not the other end confirms it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await stream.close()


async def _tunnel(
    api: Api, pod: Ref, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        stream = await open_stream(api, pod, port)
    except errors.ApiError as error:
        _log.warning("%s", error)
        writer.close()
        return
    await carry(
        stream, reader, writer, lambda told: _log.warning("port-forward to %s: %s", pod, told)
    )


async def _send(reader: asyncio.StreamReader, stream: Stream) -> None:
    while chunk := await reader.read(_CHUNK):
        await stream.send_bytes(bytes([_DATA]) + chunk)
    # There is no half-closed connection in this protocol: who hangs up wants no answer any more.
    await hang_up(stream)


async def _receive(stream: Stream, writer: asyncio.StreamWriter) -> str | None:
    opened: set[int] = set()
    async for message in stream:
        content = message.data
        if message.type is not aiohttp.WSMsgType.BINARY or not content:
            continue
        channel, payload = content[0], content[1:]
        if channel not in opened:
            opened.add(channel)
        elif channel == _DATA:
            writer.write(payload)
            await writer.drain()
        elif channel == _ERROR:
            complaint: str = payload.decode(errors="replace").strip()
            return complaint
    return None
