"""The ASGI types, and the two answers that a replica makes by itself."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import RETRY_AFTER_SECONDS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")


class RequestError(Exception):
    """A request that gets an error: its status, and a body as OpenAI writes it."""

    def __init__(self, status: int, reason: Reason, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.param = param


def error_body(status: int, reason: str, message: str, param: str | None = None) -> bytes:
    """Return an error as OpenAI writes it.

    https://platform.openai.com/docs/guides/error-codes: `type` tells the client's fault from ours,
    `code` is the word that programs compare.
    """
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": param, "code": reason}
    return json.dumps({"error": error}).encode()


async def send_body(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: tuple[bytes, bytes] = _JSON,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole response."""
    length = (b"content-length", str(len(body)).encode())
    head = [content_type, length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: object) -> None:
    """Send 200 with a JSON body."""
    await send_body(send, 200, json.dumps(value).encode())


async def send_error(send: Send, error: RequestError) -> None:
    """Send an error; what is worth trying again says when."""
    retry = ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),) if error.status == 503 else ()
    body = error_body(error.status, error.reason, error.message, error.param)
    await send_body(send, error.status, body, headers=retry)
