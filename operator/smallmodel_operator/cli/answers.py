"""Asking an OpenAI-compatible endpoint and reading its streamed answer."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    import httpx

# A parked model starts a replica first (`startTimeout`), and `requestTimeout` ends the rest; the
# server's own limits speak before this one does.
_READ_SECONDS: Final = 900.0
_CONNECT_SECONDS: Final = 5.0
_DATA: Final = "data:"
_END: Final = "[DONE]"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    content: str


class ApiError(Exception):
    """The endpoint did not answer as asked; the text is its reason in one line."""


class _ErrorBody(BaseModel):
    message: str


class _Failure(BaseModel):
    error: _ErrorBody


class _Delta(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()


class _Chunk(BaseModel):
    choices: tuple[_Choice, ...] = ()
    error: _ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model at one base URL."""

    client: "httpx.Client"
    model: str

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        """Yield the pieces of the answer as they come.

        Closing the iterator closes the connection, which cancels the generation.

        Raises:
            ApiError: The endpoint is not there, refuses, or breaks off.
        """
        import httpx

        body = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
        }
        try:
            with self.client.stream("POST", "chat/completions", json=body) as response:
                if response.is_error:
                    raise ApiError(refusal(response.status_code, response.read().decode()))
                yield from pieces(response.iter_lines())
        except httpx.HTTPError as error:
            raise ApiError(f"{self.client.base_url} failed: {error or type(error).__name__}") from (
                error
            )


def connect(base_url: str, model: str) -> Endpoint:
    """Return the endpoint of a model. Nothing is sent yet."""
    import httpx

    timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    # The endpoint is on this machine: a proxy of the environment must not come between.
    return Endpoint(httpx.Client(base_url=base_url, timeout=timeout, trust_env=False), model)


def pieces(lines: Iterator[str]) -> Iterator[str]:
    """Yield the text in the server-sent events of a chat completion.

    Raises:
        ApiError: An event carries an error, is not of the protocol, or the last one is missing.
    """
    for line in lines:
        if not line.startswith(_DATA):
            continue
        payload = line.removeprefix(_DATA).strip()
        if payload == _END:
            return
        yield from _text(payload)
    raise ApiError("the answer broke off before its end; `slm logs` of the model may say why")


def refusal(status: int, body: str) -> str:
    """Return one line for an answer that is an error, whatever wrote it."""
    try:
        message = _Failure.model_validate_json(body).error.message
    except ValidationError:
        message = body
    return f"{status}: {' '.join(message.split()) or 'no reason was given'}"


def _text(payload: str) -> Iterator[str]:
    try:
        chunk = _Chunk.model_validate(json.loads(payload))
    except (json.JSONDecodeError, ValidationError) as error:
        raise ApiError(f"this is no event of a chat completion: {payload[:80]}") from error
    if chunk.error:
        raise ApiError(" ".join(chunk.error.message.split()))
    for choice in chunk.choices:
        if choice.delta.content:
            yield choice.delta.content
