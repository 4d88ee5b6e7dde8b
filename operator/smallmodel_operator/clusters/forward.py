"""A port on loopback that leads to a pod's port through the API server, as `kubectl port-forward`.

Over WebSockets each connection to the local port takes one to the API server. Protocol
`v4.channel.k8s.io`: the first byte of a message is its channel, 0 for data and 1 for an error,
and the first message of each channel holds the port's number.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import Ref

_log = logging.getLogger(__name__)

_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA: Final = 0
_ERROR: Final = 1
_CHUNK: Final = 32 * 1024


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
    await (await _open(api, pod, port)).close()
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


async def _open(api: Api, pod: Ref, port: int) -> aiohttp.ClientWebSocketResponse:
    return await api.websocket(pod, "portforward", {"ports": str(port)}, _PROTOCOL)


async def _tunnel(
    api: Api, pod: Ref, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        socket = await _open(api, pod, port)
    except errors.ApiError as error:
        _log.warning("%s", error)
        writer.close()
        return
    upward = asyncio.create_task(_send(reader, socket))
    try:
        await _receive(socket, writer, pod)
    except OSError as error:
        _log.debug("the connection to port %d of %s ended: %s", port, pod, error)
    finally:
        upward.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await upward
        writer.close()
        await socket.close()


async def _send(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    while chunk := await reader.read(_CHUNK):
        await socket.send_bytes(bytes([_DATA]) + chunk)
    # There is no half-closed connection in this protocol: who hangs up wants no answer any more.
    await socket.close()


async def _receive(
    socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter, pod: Ref
) -> None:
    opened: set[int] = set()
    async for message in socket:
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
            _log.warning("port-forward to %s: %s", pod, payload.decode(errors="replace").strip())
            return
