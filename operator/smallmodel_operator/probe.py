"""The verifying request: a real answer to a small request, or why there is none."""

import json
import time
from dataclasses import dataclass
from typing import Final

import httpx

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import PROBE_HEADER
from smallmodel_operator.api.smallmodel import Performance

_TOKENS: Final = 8
_PROMPT: Final = "Say hello."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one verifying request came to."""

    passed: bool
    reason: Reason
    message: str
    performance: Performance | None = None
    worth_repeating: bool = False
    """True: nothing answered for the model yet, as while its route is on the way."""


async def probe(base_url: str, model: str, task: Task, timeout: float) -> Answer:
    """Send one small request for the model, and judge the answer's form.

    Args:
        base_url: The base URL of a gateway or of the model's own application, `/v1` included.
        model: The name in `model`.
        task: Chooses the endpoint.
        timeout: Seconds until the whole request is given up.
    """
    try:
        # What is asked is on this machine or in this cluster: no proxy of the environment may come
        # between.
        async with httpx.AsyncClient(
            timeout=timeout, headers={PROBE_HEADER: "1"}, trust_env=False
        ) as client:
            if task is Task.EMBEDDING:
                return await _probe_embedding(client, base_url, model)
            return await _probe_text(client, base_url, model, task)
    except httpx.HTTPError as error:
        return no_answer(str(error) or type(error).__name__)


def no_answer(why: str) -> Answer:
    """Return what a request came to that nobody answered."""
    return Answer(
        passed=False,
        reason=Reason.PROBE_FAILED,
        message=f"the verifying request got no answer: {why}",
        worth_repeating=True,
    )


async def _probe_embedding(client: httpx.AsyncClient, base_url: str, model: str) -> Answer:
    started = time.monotonic()
    response = await client.post(f"{base_url}/embeddings", json={"model": model, "input": _PROMPT})
    elapsed = time.monotonic() - started
    if response.status_code != 200:
        return _refused(response.status_code, response.text)
    vectors = response.json().get("data", [])
    if not vectors or not vectors[0].get("embedding"):
        return _malformed("a vector", response.text)
    return _passed(f"a vector of {len(vectors[0]['embedding'])} came back", elapsed, 0.0)


async def _probe_text(client: httpx.AsyncClient, base_url: str, model: str, task: Task) -> Answer:
    body: dict[str, object] = {"model": model, "max_tokens": _TOKENS, "stream": True}
    if task is Task.CHAT:
        path, body["messages"] = "chat/completions", [{"role": "user", "content": _PROMPT}]
    else:
        path, body["prompt"] = "completions", _PROMPT
    started = time.monotonic()
    first: float | None = None
    chunks = 0
    async with client.stream("POST", f"{base_url}/{path}", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            return _refused(response.status_code, response.text)
        async for line in response.aiter_lines():
            if line.startswith("data: {") and _has_token(line.removeprefix("data: ")):
                first = first or time.monotonic()
                chunks += 1
    if first is None:
        return _malformed("a token", "an empty stream")
    generating = time.monotonic() - first
    rate = (chunks - 1) / generating if chunks > 1 and generating > 0 else 0.0
    return _passed(f"{chunks} chunks came back", first - started, rate)


def _has_token(chunk: str) -> bool:
    choices = json.loads(chunk).get("choices") or [{}]
    choice = choices[0]
    return bool(choice.get("delta", {}).get("content") or choice.get("text"))


def _passed(what: str, first_token: float, rate: float) -> Answer:
    performance = Performance(
        time_to_first_token_seconds=round(first_token, 3), tokens_per_second=round(rate, 1)
    )
    message = f"{what}, the first after {first_token:.2f} s"
    return Answer(passed=True, reason=Reason.VERIFIED, message=message, performance=performance)


def _malformed(wanted: str, got: str) -> Answer:
    message = f"the answer lacks {wanted}: {got[:200]}"
    return Answer(passed=False, reason=Reason.PROBE_FAILED, message=message)


def _refused(status: int, text: str) -> Answer:
    """Judge an error answer; its `code` is one of our reasons where our own code made it."""
    try:
        error = json.loads(text)["error"]
        code, message = str(error.get("code", "")), str(error.get("message", text))
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message = "", text
    known = code in Reason.__members__.values()
    return Answer(
        passed=False,
        reason=Reason(code) if known else Reason.PROBE_FAILED,
        message=f"{message[:600]} (HTTP {status})",
        worth_repeating=status in {404, 429, 500, 502, 503} and not known,
    )
