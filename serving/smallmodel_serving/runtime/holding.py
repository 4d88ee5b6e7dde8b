"""The ASGI application of one model: it answers small questions, holds, refuses or relays."""

from collections.abc import AsyncIterator
from typing import Final

from smallmodel_operator.api.serving import PROBE_HEADER, ModelArgs
from smallmodel_serving.runtime.asgi import (
    Receive,
    RequestError,
    Scope,
    Send,
    send_error,
    send_json,
)
from smallmodel_serving.runtime.lifecycle import Lifecycle
from smallmodel_serving.runtime.relay import Passage, Relay

_PROBE: Final = PROBE_HEADER.encode()
# A body up to this size is read before it is sent on; a larger one streams through.
_WHOLE_BODY_BYTES: Final = 1 << 20


class ModelApplication:
    """Serves one model under any prefix."""

    def __init__(self, *, args: ModelArgs, lifecycle: Lifecycle) -> None:
        self._args = args
        self._lifecycle = lifecycle
        self._relay: Relay | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; also runs the application's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except RequestError as error:
            await send_error(send, error)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._relay = Relay()
                self._lifecycle.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._lifecycle.stop()
                if self._relay is not None:
                    await self._relay.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"][len(scope.get("root_path", "")) :]
        if scope["method"] == "GET" and path in ("/health", "/v1/health"):
            await send_json(send, self._lifecycle.health())
            return
        assert self._relay is not None
        counts = all(name != _PROBE for name, _ in scope["headers"])
        passage = Passage()
        async with self._lifecycle.use(counts=counts) as address:
            body = await _read(receive)
            await self._relay.forward(address, path, scope, body, receive, send, passage)


async def _read(receive: Receive) -> bytes | AsyncIterator[bytes]:
    message = await receive()
    if not message.get("more_body", False):
        return message.get("body", b"")
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while size <= _WHOLE_BODY_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts)
    return _rest(b"".join(parts), receive)


async def _rest(first: bytes, receive: Receive) -> AsyncIterator[bytes]:
    yield first
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)
