"""What passes through the gateway, seen at a real Envoy: errors, headers, streams, changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import aiohttp.web
import pytest
import pytest_asyncio

from builders.plan_values import gateway_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import PROBE_HEADER
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import Unavailable
from support.mock_upstream import Silence, Stream, json_answer, plain
from support.running_gateway import RunningGateway, with_routes
from support.waiting import eventually

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]

CHAT = {"model": "chat", "messages": []}
NO_MEMORY = Unavailable(reason=Reason.MEMORY_FIT, message="it needs 100 % more than there is")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    started = await RunningGateway.start(tmp_path_factory.mktemp("gateway"))
    yield started
    await started.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: RunningGateway) -> RunningGateway:
    """The module's Envoy, as if it had just been started."""
    await running.renew()
    return running


class TestErrorsOfOthers:
    @pytest.mark.parametrize(
        ("status", "text", "kind", "code"),
        [
            (408, "Request timeout", "timeout_error", "request_timeout"),
            (429, "Request dropped due to backpressure", "rate_limit_error", "rate_limit_exceeded"),
            (500, "KeyError: 'x'", "server_error", "internal_error"),
            (503, "Service Unavailable", "server_error", "service_unavailable"),
            (404, "Path '/chat' not found.", "invalid_request_error", "not_found"),
            (418, "a teapot", "invalid_request_error", None),
            (599, "something", "server_error", None),
        ],
    )
    async def test_plain_text_becomes_openais_form(
        self, gateway: RunningGateway, status: int, text: str, kind: str, code: str | None
    ) -> None:
        gateway.upstream.answer = plain(status, text + "\n")
        reply = await gateway.ask(CHAT)

        assert reply.status == status
        assert reply.error == {"message": text, "type": kind, "param": None, "code": code}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('a "quoted" \\ line\nand another\x00\x7f', 'a "quoted" \\ line\nand another\x00\x7f'),
            ("über", "über"),
            (b"caf\xe9", "caf?"),
            ("", "The request failed with status 500."),
            ("x" * 100_000, "x" * 100_000),
        ],
        ids=["quotes", "UTF-8", "another encoding", "empty", "long"],
    )
    async def test_any_text_becomes_valid_json(
        self, gateway: RunningGateway, text: str | bytes, message: str
    ) -> None:
        gateway.upstream.answer = plain(500, text)

        assert (await gateway.ask(CHAT)).error["message"] == message

    async def test_a_replica_that_ended_without_an_answer_is_worth_asking_again(
        self, gateway: RunningGateway
    ) -> None:
        gateway.upstream.answer = plain(500, "Internal Server Error")
        reply = await gateway.ask(CHAT)

        assert reply.status == 503
        assert reply.headers["retry-after"] == "5"
        assert reply.error["code"] == "EngineDied"

    async def test_serves_timeout_does_not_name_the_limit_of_the_whole_pool(
        self, gateway: RunningGateway
    ) -> None:
        gateway.upstream.answer = plain(408, "Request 5522cec8-b558 timed out after 600.0s.")

        message = (await gateway.ask(CHAT)).error["message"]
        assert message == "The request took longer than the model's requestTimeout allows."

    async def test_json_without_an_error_is_wrapped(self, gateway: RunningGateway) -> None:
        gateway.upstream.answer = json_answer(404, {"detail": "Not Found"})

        assert (await gateway.ask(CHAT)).error["message"] == '{"detail": "Not Found"}'

    async def test_an_error_in_openais_form_is_left_as_it_is(self, gateway: RunningGateway) -> None:
        given = {"error": {"message": "m", "type": "t", "param": "p", "code": "c"}, "more": 1}
        gateway.upstream.answer = json_answer(400, given)

        assert (await gateway.ask(CHAT)).json == given

    @pytest.mark.parametrize("status", [429, 503])
    async def test_who_should_come_again_is_told_when(
        self, gateway: RunningGateway, status: int
    ) -> None:
        gateway.upstream.answer = plain(status, "later")
        assert (await gateway.ask(CHAT)).headers["retry-after"] == "5"

        gateway.upstream.answer = plain(status, "later", retry_after="17")
        assert (await gateway.ask(CHAT)).headers["retry-after"] == "17"

    async def test_an_upstream_that_is_gone_is_503(self, gateway: RunningGateway) -> None:
        await gateway.upstream.stop()
        reply = await gateway.ask(CHAT)

        assert reply.status == 503
        assert reply.error["code"] == "service_unavailable"
        assert reply.headers["retry-after"] == "5"

    async def test_a_request_that_was_sent_is_never_sent_again(
        self, gateway: RunningGateway
    ) -> None:
        async def cut(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return aiohttp.web.Response()

        gateway.upstream.answer = cut
        reply = await gateway.ask(CHAT)

        assert reply.status == 503
        assert reply.error["type"] == "server_error"
        assert len(gateway.upstream.seen) == 1

    async def test_a_model_that_cannot_be_asked_says_why(self, gateway: RunningGateway) -> None:
        await gateway.serve(gateway_model("chat", unavailable=NO_MEMORY))

        for reply in (
            await gateway.ask(CHAT),
            await gateway.ask(CHAT, "/chat/v1/chat/completions"),
            await gateway.get("/chat/health"),
        ):
            assert reply.status == 503
            assert reply.headers["retry-after"] == "5"
            assert reply.error["code"] == "MemoryFit"
            assert NO_MEMORY.message in reply.error["message"]
        assert gateway.upstream.seen == []


class TestHeaders:
    async def test_the_models_timeout_is_the_gateways_to_say(self, gateway: RunningGateway) -> None:
        await gateway.serve(gateway_model("chat", request_timeout_seconds=90.5))
        for path in ("/v1/completions", "/chat/v1/completions"):
            await gateway.ask(CHAT, path, headers={"x-request-timeout-seconds": "99999"})

        assert [seen.headers["x-request-timeout-seconds"] for seen in gateway.upstream.seen] == [
            "90.5",
            "90.5",
        ]

    async def test_no_client_can_steer_serve_or_envoy(self, gateway: RunningGateway) -> None:
        steering = {
            "x-request-disconnect-disabled": "?1",
            "serve_multiplexed_model_id": "m",
            "x-envoy-max-retries": "3",
            "x-envoy-retry-on": "5xx",
        }
        gateway.upstream.answer = plain(500, "once")
        await gateway.ask(CHAT, headers=steering)

        [seen] = gateway.upstream.seen
        assert steering.keys().isdisjoint(seen.headers)

    async def test_a_probe_stays_one_and_a_key_passes(self, gateway: RunningGateway) -> None:
        await gateway.ask(CHAT, headers={PROBE_HEADER: "1", "authorization": "Bearer k"})

        [seen] = gateway.upstream.seen
        assert seen.headers[PROBE_HEADER] == "1"
        assert seen.headers["authorization"] == "Bearer k"


class TestStreams:
    async def test_each_event_arrives_before_the_next_is_made(
        self, gateway: RunningGateway
    ) -> None:
        stream = Stream()
        gateway.upstream.answer = stream
        async with gateway.client.post(f"{gateway.url}/v1/completions", json=CHAT) as answer:
            for number in range(5):
                stream.events.put_nowait(str(number))
                assert await next_event(answer) == str(number)
            stream.events.put_nowait(None)
            assert await answer.content.read() == b""

        assert answer.headers["content-type"] == "text/event-stream"

    async def test_a_client_that_leaves_a_stream_is_noticed(self, gateway: RunningGateway) -> None:
        stream = Stream()
        gateway.upstream.answer = stream
        answer = await gateway.client.post(f"{gateway.url}/v1/completions", json=CHAT)
        stream.events.put_nowait("first")
        assert await next_event(answer) == "first"
        answer.close()

        await asyncio.wait_for(gateway.upstream.abandoned.wait(), timeout=1)

    async def test_a_client_that_does_not_wait_for_its_answer_is_noticed(
        self, gateway: RunningGateway
    ) -> None:
        gateway.upstream.answer = Silence()
        asked = asyncio.create_task(gateway.ask(CHAT))
        await eventually(lambda: len(gateway.upstream.seen) == 1, "the request arrives")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

        await asyncio.wait_for(gateway.upstream.abandoned.wait(), timeout=1)

    async def test_silence_ends_a_little_after_the_models_timeout(
        self, gateway: RunningGateway
    ) -> None:
        models = [gateway_model("chat", request_timeout_seconds=300)]
        config = with_routes(build_gateway(models, gateway.settings), "305s", "0.3s")
        await gateway.serve()
        await gateway.apply(config)
        gateway.upstream.answer = Silence()
        reply = await gateway.ask(CHAT)

        assert reply.status == 504
        assert reply.error["code"] == "gateway_timeout"
        assert "requestTimeout" in reply.error["message"]
        await asyncio.wait_for(gateway.upstream.abandoned.wait(), timeout=1)


class TestChanges:
    async def test_models_come_and_go_under_a_running_stream(self, gateway: RunningGateway) -> None:
        stream = Stream()
        gateway.upstream.answer = stream
        answer = await gateway.client.post(f"{gateway.url}/v1/completions", json=CHAT)
        served: list[tuple[Any, ...]] = [
            (gateway_model("chat"), gateway_model("more")),
            (gateway_model("chat", unavailable=NO_MEMORY),),
            (gateway_model("other"),),
            (),
        ]
        for number, models in enumerate(served):
            await gateway.serve(*models)
            stream.events.put_nowait(str(number))
            assert await next_event(answer) == str(number)
        stream.events.put_nowait(None)
        assert await answer.content.read() == b""

        assert (await gateway.ask(CHAT)).status == 404

    async def test_an_idle_connection_survives_a_change(self, gateway: RunningGateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.listen.port)
        try:
            for models, listed in (((), b"[]"), ((gateway_model("more"),), b'"more"')):
                await gateway.serve(*models)
                writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=5)
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                assert listed in await reader.readexactly(length)
                assert b"connection: close" not in head.lower()
        finally:
            writer.close()
            await writer.wait_closed()


async def next_event(answer: aiohttp.ClientResponse) -> str:
    line = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), timeout=5)
    return line.decode().removeprefix("data: ").strip()
