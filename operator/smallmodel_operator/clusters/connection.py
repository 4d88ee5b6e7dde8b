"""What carries all calls to one API server: it renews connections, and counts what is asked for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp

from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Call, Request
from smallmodel_operator.clusters.wire import (
    Around,
    Limits,
    Lines,
    Wire,
    load_configuration,
    send_on,
)

_DEFAULT_LIMITS: Final = Limits()

_Opened = TypeVar("_Opened")


class Connection:
    """To one API server, for as long as it is spoken to; `Api` adds the verbs.

    Whatever is sent is counted and passes whoever sees every call.

    Attributes:
        calls: How often each call was made, whatever came of it.
        permissions: What a role must allow for the calls that were made. Applying an object that
            is not there takes `create` besides `patch`, and opening a stream `get` besides
            `create`.
    """

    def __init__(self, wire: Wire, *, around: Around = send_on) -> None:
        self._wire = wire
        self._around = around
        self._retiring = set[asyncio.Task[None]]()
        self.calls: Counter[Call] = Counter()
        self.permissions: set[Call] = set()

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        *,
        context: str | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        around: Around = send_on,
    ) -> Self:
        """Return one by a kubeconfig, of the pod that this runs in, or by the default file.

        Nothing is sent yet.

        Raises:
            NoConnection: There is none of these, or it cannot be read.
        """
        return cls(Wire(await load_configuration(kubeconfig, context), limits), around=around)

    @classmethod
    def of(
        cls,
        credentials: Credentials,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        around: Around = send_on,
    ) -> Self:
        """Return one by credentials that are in memory. Nothing is sent yet."""
        return cls(Wire.of(credentials, limits), around=around)

    def renew(self, credentials: Credentials, *, limits: Limits = _DEFAULT_LIMITS) -> None:
        """Make all further calls with other credentials; calls that run end with those before."""
        before, self._wire = self._wire, Wire.of(credentials, limits)
        retiring = asyncio.create_task(before.retire())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(self._wire.close(), *self._retiring, return_exceptions=True)

    async def _send(self, request: Request) -> Answer:
        self._count(request)
        return await self._around(request, self._wire.send)

    async def _open_lines(self, request: Request, silence: float) -> Lines:
        return await self._open(request, lambda asked: self._wire.open_lines(asked, silence))

    async def _open_websocket(
        self, request: Request, protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        return await self._open(request, lambda asked: self._wire.open_websocket(asked, protocol))

    async def _open(
        self, request: Request, opens: Callable[[Request], Awaitable[_Opened]]
    ) -> _Opened:
        """Open what is no answer yet, as if it were one for whoever sees every call."""
        opened: list[_Opened] = []

        async def send(asked: Request) -> Answer:
            opened.append(await opens(asked))
            return Answer(status=200, content=b"")

        self._count(request)
        await self._around(request, send)
        return opened[0]

    def _count(self, request: Request) -> None:
        self.calls[request.call] += 1
        self.permissions.add(request.call)
