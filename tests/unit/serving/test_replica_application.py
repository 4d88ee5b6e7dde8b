"""The replica's ASGI application, driven directly or over HTTP, with a fake engine behind it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from builders.fake_clock import FakeClock
from builders.fake_engine import FakeEngine, FakeUpstream, fake_upstream
from builders.replicas import RunningReplica, model_args, model_tuning, running_replica, wait_until
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import PROBE_HEADER, RETRY_AFTER_SECONDS, EngineReport
from smallmodel_serving.runtime import telemetry
from smallmodel_serving.runtime.engine import EngineError
from smallmodel_serving.runtime.ledger import NoLedger
from smallmodel_serving.runtime.lifecycle import State

CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[tuple[FakeUpstream, FakeEngine]]:
    async with fake_upstream() as (server, address):
        yield server, FakeEngine(address)


Upstream = tuple[FakeUpstream, FakeEngine]


async def post(
    replica: RunningReplica,
    path: str = CHAT,
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    async with replica.http.post(path, data=body, headers=headers) as response:
        return response.status, await response.json()


async def health(replica: RunningReplica) -> dict[str, Any]:
    async with replica.http.get("/health") as response:
        assert response.status == 200
        value = await response.json()
    assert isinstance(value, dict)
    return value


async def test_requests_are_held_while_the_engine_loads_and_then_answered(
    upstream: Upstream,
) -> None:
    _, engine = upstream
    engine.may_load.clear()
    async with running_replica(model_args(), lambda: engine) as replica:
        held = [asyncio.create_task(post(replica)) for _ in range(5)]
        await wait_until(lambda: replica.lifecycle.waiting == 5)
        assert (await health(replica))["state"] == "Loading"
        engine.may_load.set()
        assert [status for status, _ in await asyncio.gather(*held)] == [200] * 5
        assert (await health(replica))["state"] == "Awake"
    assert engine.log == ["start beside 0", "stop"]


async def test_a_failed_load_answers_held_and_later_requests_with_the_reason(
    upstream: Upstream,
) -> None:
    _, engine = upstream
    engine.may_load.clear()
    engine.error = EngineError(Reason.LOAD_FAILED, "The tensors are cut short.")
    async with running_replica(model_args(), lambda: engine) as replica:
        held = asyncio.create_task(post(replica))
        await wait_until(lambda: replica.lifecycle.waiting == 1)
        engine.may_load.set()
        for status, answer in (await held, await post(replica)):
            assert status == 503
            assert answer == {
                "error": {
                    "message": "The tensors are cut short.",
                    "type": "server_error",
                    "param": None,
                    "code": "LoadFailed",
                }
            }
        async with replica.http.post(CHAT) as response:
            assert response.headers["retry-after"] == "5"
        assert replica.lifecycle.alive()
        assert (await health(replica))["reason"] == "LoadFailed"
    # What never loaded is not tried again until its arguments change.
    assert engine.log.count("start beside 0") == 1


@pytest.mark.parametrize("reason", [Reason.MEMORY_FIT, Reason.WEIGHTS_MISSING])
async def test_a_failure_that_may_pass_is_tried_again_by_the_next_request(
    upstream: Upstream, reason: Reason
) -> None:
    _, engine = upstream
    engine.error = EngineError(reason, "Not now.")
    async with running_replica(model_args(), lambda: engine) as replica:
        status, answer = await post(replica)
        assert (status, answer["error"]["code"]) == (503, reason.value)
        engine.error = None
        assert (await post(replica))[0] == 200


async def test_weights_are_obtained_before_memory_is_asked_for(upstream: Upstream) -> None:
    _, engine = upstream
    order: list[str] = []

    class Watched(NoLedger):
        async def acquire(self) -> int:
            order.append("memory")
            return await super().acquire()

    async with running_replica(
        model_args(), lambda: engine, memory=Watched(), obtain=lambda: order.append("weights")
    ) as replica:
        assert (await post(replica))[0] == 200
    assert order == ["weights", "memory"]


async def test_a_source_that_did_not_answer_is_asked_again_only_after_a_pause(
    upstream: Upstream,
) -> None:
    _, engine = upstream
    clock = FakeClock()
    asked: list[float] = []

    def obtain() -> None:
        asked.append(clock.monotonic())
        if len(asked) == 1:
            raise EngineError(Reason.SOURCE_UNREACHABLE, "The hub does not answer.")

    async with running_replica(
        model_args(), lambda: engine, obtain=obtain, clock=clock.monotonic
    ) as replica:
        for _ in range(2):
            status, answer = await post(replica)
            assert (status, answer["error"]["code"]) == (503, "SourceUnreachable")
        assert len(asked) == 1
        clock.turn(RETRY_AFTER_SECONDS)
        assert (await post(replica))[0] == 200
    assert len(asked) == 2


async def test_weights_that_are_wrong_are_not_fetched_again_by_the_same_replica(
    upstream: Upstream,
) -> None:
    _, engine = upstream
    clock = FakeClock()
    asked: list[float] = []

    def obtain() -> None:
        asked.append(clock.monotonic())
        raise EngineError(Reason.DIGEST_MISMATCH, "Another file lies there.")

    async with running_replica(
        model_args(), lambda: engine, obtain=obtain, clock=clock.monotonic
    ) as replica:
        assert (await post(replica))[0] == 503
        clock.turn(RETRY_AFTER_SECONDS)
        assert (await post(replica))[0] == 503
    assert len(asked) == 1


async def test_an_engine_that_cannot_be_imported_says_so() -> None:
    def missing() -> FakeEngine:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    async with running_replica(model_args(), missing) as replica:
        _, answer = await post(replica)
        assert answer["error"]["code"] == "EngineNotInstalled"
        assert "libgomp" in answer["error"]["message"]


async def test_an_idle_engine_sleeps_and_the_next_request_wakes_it(upstream: Upstream) -> None:
    _, engine = upstream
    async with running_replica(
        model_args(), lambda: engine, tuning=model_tuning(idle_timeout=0.05)
    ) as replica:
        await post(replica)
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)
        assert (await post(replica))[0] == 200
    assert engine.log[:3] == ["start beside 0", "sleep", "start beside 0"]


async def test_questions_neither_wake_an_engine_nor_reset_its_clock(upstream: Upstream) -> None:
    server, engine = upstream
    async with running_replica(
        model_args(), lambda: engine, tuning=model_tuning(idle_timeout=0.3)
    ) as replica:
        await post(replica)
        while replica.lifecycle.state is State.AWAKE:
            await health(replica)
            async with replica.http.get("/v1/models") as response:
                assert [model["id"] for model in (await response.json())["data"]] == ["chat"]
            async with replica.http.get("/props"):
                pass
        assert any(path == "/props" for path, _, _ in server.seen)
        for path, status in (("/metrics", 200), ("/health", 200), ("/props", 503)):
            async with replica.http.get(path) as response:
                assert response.status == status
        assert replica.lifecycle.state is State.ASLEEP
    assert engine.log.count("start beside 0") == 1


async def test_a_probe_wakes_an_engine_and_leaves_the_clock_alone(upstream: Upstream) -> None:
    _, engine = upstream
    async with running_replica(
        model_args(), lambda: engine, tuning=model_tuning(idle_timeout=0.3)
    ) as replica:
        await post(replica)
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)
        used = (await health(replica))["lastUseAgeSeconds"]
        assert (await post(replica, headers={PROBE_HEADER: "1"}))[0] == 200
        assert (await health(replica))["lastUseAgeSeconds"] >= used
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)


async def test_a_running_request_is_never_cut_off_by_sleep(upstream: Upstream) -> None:
    server, engine = upstream
    async with running_replica(
        model_args(), lambda: engine, tuning=model_tuning(idle_timeout=0.01)
    ) as replica:
        running = asyncio.create_task(post(replica, "/v1/hang"))
        await wait_until(lambda: server.open == 1)
        # Several turns of the idle loop pass.
        await asyncio.sleep(0.5)
        assert replica.lifecycle.state is State.AWAKE
        server.release.set()
        assert (await running)[0] == 200


async def test_tuning_reaches_a_running_replica(upstream: Upstream) -> None:
    _, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        await post(replica)
        replica.lifecycle.tune(model_tuning(idle_timeout=0.01))
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)
        replica.lifecycle.tune(model_tuning(idle_timeout=0.01, keep_awake=True))
        await post(replica)
        await asyncio.sleep(0.5)
        assert replica.lifecycle.state is State.AWAKE


async def test_a_model_that_has_to_give_way_rests_sleeps_and_comes_back(
    upstream: Upstream,
) -> None:
    server, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        running = asyncio.create_task(post(replica, "/v1/hang"))
        await wait_until(lambda: server.open == 1)
        replica.lifecycle.give_way(asyncio.get_running_loop().time() + 10)
        held = asyncio.create_task(post(replica))
        await wait_until(lambda: replica.lifecycle.waiting == 1)
        assert replica.lifecycle.in_flight == 1
        server.release.set()
        assert (await running)[0] == 200
        assert (await held)[0] == 200
    assert engine.log[:3] == ["start beside 0", "sleep", "start beside 0"]


async def test_a_model_that_could_not_rest_in_time_goes_on(upstream: Upstream) -> None:
    server, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        running = asyncio.create_task(post(replica, "/v1/hang"))
        await wait_until(lambda: server.open == 1)
        replica.lifecycle.give_way(asyncio.get_running_loop().time() + 0.1)
        assert (await post(replica))[0] == 200
        server.release.set()
        await running
    assert "sleep" not in engine.log


@pytest.mark.parametrize("path", ["/v1/hang", "/v1/flow"])
async def test_a_client_that_leaves_closes_the_connection_to_the_engine(
    upstream: Upstream, path: str
) -> None:
    server, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        leaving = asyncio.create_task(post(replica, path))
        await wait_until(lambda: server.open == 1)
        leaving.cancel()
        await wait_until(lambda: server.open == 0, within=1.0)
        await wait_until(lambda: replica.lifecycle.in_flight == 0, within=1.0)


async def test_a_client_that_leaves_while_held_is_forgotten(upstream: Upstream) -> None:
    server, engine = upstream
    engine.may_load.clear()
    async with running_replica(model_args(), lambda: engine) as replica:
        leaving = asyncio.create_task(post(replica))
        await wait_until(lambda: replica.lifecycle.waiting == 1)
        leaving.cancel()
        await wait_until(lambda: replica.lifecycle.waiting == 0)
        engine.may_load.set()
        assert (await post(replica))[0] == 200
        assert sum(path == CHAT for path, _, _ in server.seen) == 1


async def test_a_stream_arrives_piece_by_piece(upstream: Upstream) -> None:
    server, engine = upstream
    async with (
        running_replica(model_args(), lambda: engine) as replica,
        replica.http.post("/v1/flow") as response,
    ):
        assert response.content_type == "text/event-stream"
        assert await response.content.readuntil(b"\n\n") == b"data: one\n\n"
        server.release.set()
        assert await response.content.read() == b"data: two\n\n"


async def test_body_query_and_headers_reach_the_engine_unchanged(upstream: Upstream) -> None:
    server, engine = upstream
    large = bytes(range(256)) * 4096 * 5
    async with running_replica(model_args(), lambda: engine) as replica:
        for body in (b"", b'{"a": 1}', large):

            async def pieces(body: bytes = body) -> AsyncIterator[bytes]:
                yield body[: len(body) // 2]
                yield body[len(body) // 2 :]

            for data in (io.BytesIO(body), pieces()):
                async with replica.http.post(
                    "/v1/a%20b/%E2%82%AC%0D%0Ax?q=%20a&b=1",
                    data=data,
                    headers={"content-type": "text/plain; charset=utf-8", "x-own": "1"},
                ) as response:
                    assert (await response.json())["length"] == len(body)
                path, headers, seen = server.seen[-1]
                assert path == "/v1/a%20b/%E2%82%AC%0D%0Ax?q=%20a&b=1"
                assert seen == body
                assert headers["Content-Type"] == "text/plain; charset=utf-8"
                assert headers["x-own"] == "1"
                assert headers["Connection"] == "close"


async def test_the_engines_own_error_passes_through(upstream: Upstream) -> None:
    _, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        assert await post(replica, "/v1/refuse") == (400, {"error": {"code": 400}})


async def test_the_wrong_endpoint_does_not_wait_for_the_engine(upstream: Upstream) -> None:
    _, engine = upstream
    engine.may_load.clear()
    async with running_replica(model_args(task=Task.EMBEDDING), lambda: engine) as replica:
        status, answer = await post(replica)
        engine.may_load.set()
    assert (status, answer["error"]["code"]) == (400, "WrongEndpoint")


async def test_a_limit_beyond_the_context_is_refused(upstream: Upstream) -> None:
    _, engine = upstream
    async with running_replica(model_args(context_length=128), lambda: engine) as replica:
        body = json.dumps({"max_tokens": 129}).encode()
        status, answer = await post(replica, body=body)
    assert status == 400
    assert answer["error"]["param"] == "max_tokens"


async def test_an_engine_that_died_gives_a_clear_error_and_fails_the_health_check() -> None:
    engine = FakeEngine("http://127.0.0.1:9")
    async with running_replica(model_args(), lambda: engine) as replica:
        status, answer = await post(replica)
        assert (status, answer["error"]["code"]) == (503, "EngineDied")
        engine.dead = True
        assert not replica.lifecycle.alive()


async def test_a_plain_curl_body_is_json_to_the_engine(upstream: Upstream) -> None:
    server, engine = upstream
    form = {"content-type": "application/x-www-form-urlencoded", "x-conversation-id": "mine"}
    async with running_replica(model_args(), lambda: engine) as replica:
        assert (await post(replica, headers=form))[0] == 200
    seen = next(headers for path, headers, _ in server.seen if path == CHAT)
    sent = {name.lower(): value for name, value in seen.items()}
    assert sent["content-type"] == "application/json"
    # With it, llama.cpp would go on when the client leaves.
    assert "x-conversation-id" not in sent


async def test_the_engines_administration_is_not_reachable(upstream: Upstream) -> None:
    server, engine = upstream
    async with running_replica(model_args(), lambda: engine) as replica:
        for path in ("/slots/0?action=erase", "/lora-adapters", "/props", "/v1/stream"):
            assert (await post(replica, path))[0] == 404
        async with replica.http.delete("/v1/stream?conv_id=1") as response:
            assert response.status == 405
    assert {path for path, _, _ in server.seen} <= {"/metrics"}


async def test_each_change_of_the_engine_is_told_to_the_pool(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_PERIOD_SECONDS", 0.01)
    _, engine = upstream
    told: list[EngineReport] = []
    refusals = [ConnectionError("the head restarts")] * 3

    def publish(report: EngineReport) -> None:
        if refusals:
            raise refusals.pop()
        told.append(report)

    tuning = model_tuning(idle_timeout=0.2)
    async with running_replica(
        model_args(), lambda: engine, tuning=tuning, publish=publish
    ) as replica:
        await wait_until(lambda: replica.lifecycle.state is State.ASLEEP)
        await wait_until(lambda: bool(told) and told[-1].state == "Asleep")
        assert not refusals
        assert told[-1].model == "chat"
        await post(replica)
        await wait_until(lambda: "Awake" in [report.state for report in told])
