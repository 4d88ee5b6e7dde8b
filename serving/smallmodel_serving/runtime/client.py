"""The client's side of a request: its body, and whether it is still there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from smallmodel_serving.runtime.asgi import Receive

WHOLE_BODY_BYTES: Final = 1 << 20
"""A body up to this size is read before it is sent on; a larger one streams through."""


class ClientLeftError(Exception):
    """The client closed its connection: there is nobody to be answered."""


class LargeBody:
    """A body that is too large to be held; it can be read once."""

    def __init__(self, first: bytes, receive: Receive, *, more: bool) -> None:
        self._first = first
        self._receive = receive
        self._more = more
        self.ended = asyncio.Event()

    async def parts(self) -> AsyncIterator[bytes]:
        """Return the body as it comes.

        Raises:
            ClientLeftError: The client left before its end.
        """
        yield self._first
        more = self._more
        while more:
            part, more = await _next_part(self._receive)
            yield part
        self.ended.set()


Body = bytes | LargeBody


async def read_body(receive: Receive) -> Body:
    """Return the body, or what reads it where it is large.

    Raises:
        ClientLeftError: The client left before its end.
    """
    parts: list[bytes] = []
    size = 0
    more = True
    while more and size <= WHOLE_BODY_BYTES:
        part, more = await _next_part(receive)
        parts.append(part)
        size += len(part)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return body if size <= WHOLE_BODY_BYTES else LargeBody(body, receive, more=more)


@contextlib.asynccontextmanager
async def while_connected(receive: Receive, body: Body) -> AsyncIterator[None]:
    """Cancel what runs inside when the client leaves, as `asyncio.timeout` does for time.

    Serve cancels the request's task by itself; other ASGI servers only say `http.disconnect`.

    Raises:
        ClientLeftError: It left.
    """
    work = asyncio.current_task()
    left = False

    async def watch() -> None:
        nonlocal left
        if isinstance(body, LargeBody):
            await body.ended.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        if work is not None:
            work.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        # Also cancelled by somebody else: then that one is waiting for a cancelled task.
        if left and work is not None and work.uncancel() == 0:
            raise ClientLeftError from None
        raise
    finally:
        watching.cancel()


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeftError
    return message.get("body", b""), message.get("more_body", False)
