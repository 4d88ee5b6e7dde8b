"""A plain answer of llama.cpp, put together from its stream.

llama.cpp asks once a second at most whether the client of a plain request is still there, and each
result of another request begins that second anew; so one that leaves keeps its slot for long. The
client of a stream is missed at the next token. A plain request is therefore sent as a stream, and
its events become the answer that llama.cpp would have given, key by key.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

_CHAT: Final = frozenset(("/v1/chat/completions", "/chat/completions"))
_TEXT: Final = "/v1/completions"

# nlohmann::json, with which llama.cpp reads, takes the last of two equal keys: no body is written
# anew. With `timings_per_token` each event says how many tokens were written when it was sent.
_AS_STREAM: Final = (
    b',"stream":true,"stream_options":{"include_usage":true},"timings_per_token":true}'
)

# With these a stream holds less than a plain answer, or other things. Log probabilities, for one:
# a stream leaves out those of tokens that it keeps back, as the end of a chat and a stop text.
_DIFFERENT: Final = (
    "continue_final_message",
    "echo",
    "logprobs",
    "n_cmpl",
    "n_indent",
    "n_probs",
    "reasoning_format",
    "return_progress",
    "stream",
    "stream_options",
    "top_logprobs",
)


class MalformedStreamError(Exception):
    """The engine sent what is no stream of completion events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRequest:
    """A plain request that is sent as a stream."""

    body: bytes
    """What is sent instead."""
    chat: bool
    """Whether messages come back, and not text."""
    tools: bool
    """Whether the model may call tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a plain request: a status, and JSON."""

    status: int
    body: bytes


def plain_request(path: str, request: dict[str, Any] | None, body: bytes) -> PlainRequest | None:
    """Return how to send a plain request as a stream, or None for what has to pass as it is.

    Args:
        path: The endpoint, `/v1` included.
        request: The parsed body; None where it is no JSON object.
        body: The same, as the client sent it.
    """
    if request is None or any(request.get(name) for name in _DIFFERENT):
        return None
    if request.get("n") not in (None, 1):
        return None
    chat = path in _CHAT
    if not (_is_answerable_chat(request) if chat else path == _TEXT and _is_one_prompt(request)):
        return None
    return PlainRequest(
        body=body.rstrip()[:-1] + _AS_STREAM,
        chat=chat,
        tools=bool(request.get("tools")),
    )


def _is_answerable_chat(request: dict[str, Any]) -> bool:
    """Return whether the model has the next word; a plain answer repeats words put in its mouth."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return False
    return messages[-1].get("role") != "assistant"


def _is_one_prompt(request: dict[str, Any]) -> bool:
    """Return whether there is one answer: a list has one for each of its prompts."""
    return isinstance(request.get("prompt"), str)


class Assembly:
    """The events of one stream, on their way to one answer."""

    def __init__(self, *, chat: bool, tools: bool) -> None:
        """Begin with nothing; the arguments are those of `PlainRequest`."""
        self.ended = False
        """Whether all that an answer needs came; the stream need not be read to its end."""
        self._chat = chat
        self._tools = tools
        self._rest = b""
        self._last: dict[str, Any] = {}
        self._error: dict[str, Any] | None = None
        self._finish_reason: str | None = None
        self._role = "assistant"
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[dict[str, Any]] = []
        # Tokens that had been written when the last event with something in it was sent.
        self._told = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream, cut anywhere.

        Raises:
            MalformedStreamError: They are no stream of completion events.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                if line != b"data: [DONE]":
                    self._read(line)
            elif line and not line.startswith(b":"):
                raise MalformedStreamError(f"{line[:80]!r} is no line of an event stream")

    def answer(self) -> Answer | None:
        """Return the answer, after the last event.

        Returns:
            None where the stream lacks a part of it. llama.cpp keeps text back that may become a
            character, a stop text or a tool call; when an answer ends before that is decided, the
            plain one has it and the stream does not.

        Raises:
            MalformedStreamError: The stream ended before its answer did.
        """
        if self._error is not None:
            return Answer(status=_status(self._error), body=_dump(self._error))
        try:
            return None if self._lacks_text() else Answer(status=200, body=_dump(self._whole()))
        except (KeyError, TypeError) as error:
            raise MalformedStreamError("the stream ended before its answer did") from error

    def _read(self, line: bytes) -> None:
        try:
            event = json.loads(line[6:])
            if event is not None:
                self._take(event)
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise MalformedStreamError(f"{line[:80]!r} is no completion event") from error

    def _take(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self._error = event
            self.ended = True
            return
        self._last = event
        # llama.cpp counts the usage last.
        self.ended = "usage" in event
        for choice in event["choices"]:
            self._finish_reason = choice["finish_reason"]
            told = self._delta(choice["delta"]) if self._chat else self._piece(choice["text"])
            if told and "timings" in event:
                self._told = event["timings"]["predicted_n"]

    def _piece(self, text: str) -> bool:
        self._text.append(text)
        return text != ""

    def _delta(self, delta: dict[str, Any]) -> bool:
        self._role = delta.get("role", self._role)
        content, reasoning = delta.get("content"), delta.get("reasoning_content")
        calls = delta.get("tool_calls", ())
        if content:
            self._text.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        for call in calls:
            self._call(call)
        return bool(content or reasoning or calls)

    def _call(self, delta: dict[str, Any]) -> None:
        function = delta["function"]
        if delta["index"] == len(self._calls):
            begun = {"name": function["name"], "arguments": ""}
            self._calls.append({"type": delta["type"], "function": begun, "id": delta["id"]})
        self._calls[delta["index"]]["function"]["arguments"] += function.get("arguments", "")

    def _lacks_text(self) -> bool:
        untold = self._last["usage"]["completion_tokens"] - self._told
        if self._finish_reason == "length":
            return bool(untold > 0)
        # The end is a token without text. More than that is a tool call that came to nothing.
        return self._tools and not self._calls and bool(untold > 1)

    def _whole(self) -> dict[str, Any]:
        last = self._last
        if self._finish_reason is None:
            raise KeyError("finish_reason")
        return {
            "choices": [self._message() if self._chat else self._completion()],
            "created": last["created"],
            "model": last["model"],
            "system_fingerprint": last["system_fingerprint"],
            "object": "chat.completion" if self._chat else "text_completion",
            "usage": last["usage"],
            "id": last["id"],
            "timings": last["timings"],
        }

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self._role, "content": "".join(self._text)}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = self._calls
        return {"finish_reason": self._finish_reason, "index": 0, "message": message}

    def _completion(self) -> dict[str, Any]:
        text = "".join(self._text)
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": self._finish_reason}


def _status(error: dict[str, Any]) -> int:
    """Return the status of an error that came as an event; llama.cpp's `code` is one."""
    told = error["error"]
    code = told.get("code") if isinstance(told, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
