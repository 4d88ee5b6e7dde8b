"""The ASGI application of one model: it answers small questions, holds, refuses or relays."""

import asyncio
import time
from typing import Final
from urllib.parse import quote

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import PROBE_HEADER, LlamaCppArgs, ModelArgs
from smallmodel_serving.runtime.asgi import (
    Receive,
    RequestError,
    Scope,
    Send,
    send_body,
    send_error,
    send_json,
)
from smallmodel_serving.runtime.assemble import plain_request
from smallmodel_serving.runtime.client import ClientLeftError, read_body, while_connected
from smallmodel_serving.runtime.endpoints import check_endpoint, check_token_limit, json_object
from smallmodel_serving.runtime.lifecycle import Lifecycle, State
from smallmodel_serving.runtime.metrics import Instruments
from smallmodel_serving.runtime.relay import Passage, Relay
from smallmodel_serving.runtime.telemetry import Telemetry

_PROBE: Final = PROBE_HEADER.encode()
_QUESTIONS: Final = ("GET", "HEAD", "OPTIONS")
_PROMETHEUS: Final = (b"content-type", b"text/plain; version=0.0.4")
# RFC 3986 `pchar`: what a path may hold as it is. Everything else is escaped again.
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"


class ModelApplication:
    """Serves one model under any prefix.

    A POST is a use: it wakes the engine and restarts the idle clock, unless it is a probe. A GET is
    a question: it does neither, and gets 503 where only an engine that sleeps could answer.
    """

    def __init__(
        self,
        *,
        args: ModelArgs,
        lifecycle: Lifecycle,
        relay: Relay,
        telemetry: Telemetry,
        instruments: Instruments,
    ) -> None:
        self._args = args
        self._lifecycle = lifecycle
        self._relay = relay
        self._telemetry = telemetry
        self._instruments = instruments
        self._context = (
            args.engine.context_length if isinstance(args.engine, LlamaCppArgs) else None
        )
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; also runs the application's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._lifecycle.start()
        watching = asyncio.create_task(self._telemetry.watch(self._lifecycle))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        await self._lifecycle.stop()
        self._telemetry.end()
        await self._relay.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"][len(scope.get("root_path", "")) :]
        try:
            if scope["method"] == "POST":
                await self._use(path, scope, receive, send)
            elif scope["method"] in _QUESTIONS:
                await self._question(path, scope, receive, send)
            else:
                raise RequestError(
                    405, Reason.WRONG_ENDPOINT, f"{scope['method']} {path} is not served here."
                )
        except RequestError as error:
            self._instruments.request(error.status)
            await send_error(send, error)
        except ClientLeftError:
            # nginx's code for it. Nobody is there to be answered.
            self._instruments.request(499)
        except asyncio.CancelledError:
            self._instruments.request(499)
            raise

    async def _use(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        check_endpoint(self._args.task, self._args.name, path)
        body = await read_body(receive)
        plain = None
        if self._context is not None and isinstance(body, bytes):
            request = json_object(body)
            if request is not None:
                check_token_limit(request, self._context)
            plain = plain_request(path, request, body)
        counts = all(name != _PROBE for name, _ in scope["headers"])
        passage = Passage()
        async with (
            while_connected(receive, body),
            self._lifecycle.use(counts=counts) as address,
        ):
            url = address + quote(path, _PATH_SAFE)
            if plain is None or not await self._relay.assemble(url, scope, plain, send, passage):
                await self._relay.forward(url, scope, body, send, passage)
        self._measure(passage, began)

    def _measure(self, passage: Passage, began: float) -> None:
        self._instruments.request(passage.status)
        first, last = passage.first_chunk_at, passage.last_chunk_at
        if passage.streamed and passage.status == 200 and first is not None and last is not None:
            gaps = passage.chunks - 1
            self._instruments.stream(
                first_token=first - began,
                between_tokens=(last - first) / gaps if gaps > 0 else None,
            )

    async def _question(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            if path in ("/health", "/v1/health"):
                await send_json(send, self._lifecycle.health())
                return
            if path in ("/v1/models", "/models"):
                await send_json(send, {"object": "list", "data": [self._model()]})
                return
            if path == f"/v1/models/{self._args.name}":
                await send_json(send, self._model())
                return
            if path == "/metrics":
                await send_body(send, 200, self._telemetry.last_text, content_type=_PROMETHEUS)
                return
        address = self._lifecycle.address
        if address is None:
            raise RequestError(
                503,
                Reason.ASLEEP if self._lifecycle.state is State.ASLEEP else Reason.WAITING,
                f"The engine of {self._args.name} is {self._lifecycle.state.lower()}, and "
                f"{scope['method']} {path} does not wake it; send a POST first.",
            )
        body = await read_body(receive)
        async with while_connected(receive, body):
            await self._relay.forward(
                address + quote(path, _PATH_SAFE), scope, body, send, Passage()
            )

    def _model(self) -> dict[str, object]:
        return {
            "id": self._args.name,
            "object": "model",
            "created": self._created,
            "owned_by": "smallmodel",
        }
