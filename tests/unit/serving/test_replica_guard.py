"""The guard of held requests, around a fake of Serve's proxy."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pytest

from builders.replicas import wait_until
from smallmodel_operator.api.serving import EngineReport
from smallmodel_operator.status.serve import read_engines
from smallmodel_serving.runtime.asgi import Message, Receive, Scope, Send
from smallmodel_serving.runtime.guard import Guard, Starting
from smallmodel_serving.runtime.index import IndexApplication


class FakeProxy:
    """Holds every request until it is told to answer, as Serve's proxy does at zero replicas."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.finish = asyncio.Event()
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.held += 1
        try:
            await self.answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await self.finish.wait()
            await send({"type": "http.response.body", "body": b"done"})
        finally:
            self.held -= 1


class FakeServe:
    """What the controller says."""

    def __init__(self) -> None:
        self.starting: dict[str, Starting] = {}
        self.asked = 0

    def __call__(self) -> Mapping[str, Starting]:
        self.asked += 1
        return self.starting


async def ask(guard: Guard, path: str = "/m/v1/chat/completions") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard({"type": "http", "path": path, "headers": []}, receive, send)
    return sent


def at(*, running: int = 0, failed: str | None = None, timeout: float = 60.0) -> Starting:
    return Starting(running=running, failed=failed, start_timeout=timeout)


async def test_an_answer_in_time_passes_and_serve_is_never_asked() -> None:
    proxy, serve = FakeProxy(), FakeServe()
    proxy.answer.set()
    proxy.finish.set()
    assert [m.get("status") for m in await ask(Guard(proxy, serve))] == [200, None]
    assert serve.asked == 0


@pytest.mark.parametrize(
    ("starting", "code"),
    [(at(timeout=0.05), b"StartTimeout"), (at(failed="no libgomp"), b"DeployFailed")],
)
async def test_a_held_request_gets_503_and_leaves_the_proxy(
    starting: Starting, code: bytes
) -> None:
    proxy, serve = FakeProxy(), FakeServe()
    serve.starting = {"m": starting}
    start, body = await ask(Guard(proxy, serve, period=0.02))
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert code in body["body"]
    assert proxy.held == 0


async def test_a_model_that_came_up_keeps_its_requests_however_long_they_take() -> None:
    proxy, serve = FakeProxy(), FakeServe()
    serve.starting = {"m": at(running=1, timeout=0)}
    held = asyncio.create_task(ask(Guard(proxy, serve, period=0.01)))
    await wait_until(lambda: serve.asked > 3)
    proxy.answer.set()
    await asyncio.sleep(0.05)
    asked = serve.asked
    proxy.finish.set()
    assert (await held)[0]["status"] == 200
    # Once an answer began, nobody is asked any more.
    assert serve.asked == asked


async def test_all_that_wait_share_one_question() -> None:
    proxy, serve = FakeProxy(), FakeServe()
    serve.starting = {"m": at(timeout=0.3)}
    guard = Guard(proxy, serve, period=0.1)
    answers = await asyncio.gather(*(ask(guard) for _ in range(20)))
    assert all(answer[0]["status"] == 503 for answer in answers)
    assert serve.asked < 10


async def test_a_client_that_leaves_leaves_the_proxy() -> None:
    proxy = FakeProxy()
    held = asyncio.create_task(ask(Guard(proxy, FakeServe(), period=0.02)))
    await wait_until(lambda: proxy.held == 1)
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert proxy.held == 0


async def test_a_controller_that_does_not_answer_ends_no_request() -> None:
    proxy = FakeProxy()
    proxy.finish.set()
    asked = 0

    def broken() -> Mapping[str, Starting]:
        nonlocal asked
        asked += 1
        raise RuntimeError("the controller restarts")

    held = asyncio.create_task(ask(Guard(proxy, broken, period=0.01)))
    await wait_until(lambda: asked > 2)
    proxy.answer.set()
    assert (await held)[0]["status"] == 200


ASLEEP: Final = EngineReport(model="chat", pid=7, state="Asleep")


async def ask_index(path: str) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Any:
        raise AssertionError("the index reads no body")

    async def send(message: Message) -> None:
        sent.append(message)

    async def nothing() -> None:
        raise AssertionError("one request starts nothing beside it")

    scope = {"type": "http", "path": f"/-index{path}", "root_path": "/-index"}
    await IndexApplication(nothing, lambda: (ASLEEP,))(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_the_index_says_what_is_below_it() -> None:
    status, body = await ask_index("/nope")
    assert status == 404
    assert b"UnknownModel" in body


async def test_the_index_says_what_the_engines_of_the_pool_do() -> None:
    """As the operator reads it."""
    status, body = await ask_index("/engines")
    assert status == 200
    assert read_engines(body) == {"chat": ASLEEP}
