"""What the gateway decides on a request, seen at a real Envoy in front of a mock of Serve."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from builders.plan_values import gateway_model
from smallmodel_operator.plan.gateway.values import Endpoint
from support.mock_upstream import MockUpstream, plain
from support.running_gateway import RunningGateway

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]

MIB = 2**20
CHAT = {"model": "chat", "messages": []}


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


class TestRouting:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            "application/x-www-form-urlencoded",
            "text/plain",
        ],
    )
    async def test_the_body_names_the_model_whatever_its_content_type(
        self, gateway: RunningGateway, content_type: str
    ) -> None:
        body = json.dumps(CHAT)
        reply = await gateway.ask(body, headers={"content-type": content_type})

        assert reply.status == 200
        [seen] = gateway.upstream.seen
        assert seen.path == "/chat/v1/chat/completions"
        assert seen.body == body.encode()
        assert seen.headers["content-type"] == content_type

    async def test_a_body_needs_no_content_type(self, gateway: RunningGateway) -> None:
        reply = await gateway.request(
            "POST",
            "/v1/completions",
            data=json.dumps(CHAT).encode(),
            skip_auto_headers=["content-type"],
        )

        assert reply.status == 200
        assert "content-type" not in gateway.upstream.seen[0].headers

    @pytest.mark.parametrize("name", ["chat@tuned", "chat@", "chat@a@b"])
    async def test_an_adapter_goes_to_its_model(self, gateway: RunningGateway, name: str) -> None:
        reply = await gateway.ask({"model": name})

        assert reply.json == {"path": "/chat/v1/chat/completions"}
        assert json.loads(gateway.upstream.seen[0].body) == {"model": name}

    async def test_only_the_top_level_counts(self, gateway: RunningGateway) -> None:
        body = '{"a": {"model": "other"}, "t": "\\"model\\": \\"other\\"", "model": "chat"}'

        assert (await gateway.ask(body)).json == {"path": "/chat/v1/chat/completions"}

    async def test_each_model_gets_its_own_requests(self, gateway: RunningGateway) -> None:
        await gateway.serve(gateway_model("chat"), gateway_model("chat-2"), gateway_model("embed"))

        for name in ("chat", "chat-2", "embed"):
            reply = await gateway.ask({"model": name}, "/v1/embeddings?a=b")
            assert reply.json == {"path": f"/{name}/v1/embeddings"}
        assert gateway.upstream.seen[0].path.endswith("?a=b")

    async def test_the_path_names_the_model_whatever_the_body(
        self, gateway: RunningGateway
    ) -> None:
        for body in ('{"model": "other"}', "{}", "no JSON at all"):
            reply = await gateway.ask(body, "/chat/v1/completions")
            assert reply.json == {"path": "/chat/v1/completions"}

    async def test_a_model_may_be_called_like_a_path(self, gateway: RunningGateway) -> None:
        await gateway.serve(*(gateway_model(name) for name in ("v1", "health", "metrics")))

        for name in ("v1", "health", "metrics"):
            by_body = await gateway.ask({"model": name}, "/v1/completions")
            by_path = await gateway.ask({}, f"/{name}/v1/completions")
            assert by_body.json == by_path.json == {"path": f"/{name}/v1/completions"}
        assert (await gateway.get("/health")).json == {"status": "ok"}

    async def test_no_connection_to_serve_is_used_twice(self, gateway: RunningGateway) -> None:
        for _ in range(3):
            await gateway.ask(CHAT)

        assert len({seen.client_port for seen in gateway.upstream.seen}) == 3


class TestBodySize:
    async def test_twenty_mebibytes_pass_with_the_model_at_their_end(
        self, gateway: RunningGateway
    ) -> None:
        body = '{"image": "' + "a" * (20 * MIB) + '", "model": "chat"}'
        reply = await gateway.ask(body)

        assert reply.status == 200
        assert gateway.upstream.seen[0].body == body.encode()

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/v1/chat/completions"])
    @pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
    async def test_more_than_the_limit_is_refused(
        self, tmp_path: Path, path: str, chunked: bool
    ) -> None:
        gateway = await RunningGateway.start(tmp_path, body_limit=MIB)
        body = json.dumps({"model": "chat", "image": "a" * MIB}).encode()

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        try:
            reply = await gateway.request(
                "POST", path, data=pieces() if chunked else io.BytesIO(body)
            )
        finally:
            await gateway.stop()

        assert reply.status == 413
        assert reply.error["code"] == "request_too_large"
        assert "1.0 MiB" in reply.error["message"]
        assert gateway.upstream.seen == []


class TestBadRequests:
    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            '{"model": null}',
            '{"model": 3}',
            '{"model": ["chat"]}',
            '{"m": {"model": "chat"}}',
            "[]",
            "",
        ],
        ids=["absent", "null", "number", "list", "nested", "an array", "no body"],
    )
    async def test_a_body_without_a_model_is_told_which_exist(
        self, gateway: RunningGateway, body: str
    ) -> None:
        reply = await gateway.ask(body)

        assert reply.status == 400
        assert reply.error["code"] == "model_missing"
        assert reply.error["param"] == "model"
        assert "Models here: chat." in reply.error["message"]
        assert gateway.upstream.seen == []

    @pytest.mark.parametrize(
        "body",
        ["{", "model=chat", '{"model": "chat"', '{"model": "chat",}', '{"a": ' + "[" * 100_000],
        ids=["a brace", "a form", "cut off", "a comma", "absurdly deep"],
    )
    async def test_a_body_that_is_no_json_is_refused(
        self, gateway: RunningGateway, body: str
    ) -> None:
        reply = await gateway.ask(body)

        assert reply.status == 400
        assert reply.error["code"] == "invalid_json"
        assert gateway.upstream.seen == []

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("gpt-4", "gpt-4"),
            ("", ""),
            ('a"b\\c\r\nx: y', 'a"b\\c\r\nx: y'),
            ("é%REQ(host)%", "é%REQ(host)%"),
            ("a" * 5000, "a" * 100),
        ],
        ids=["plain", "empty", "quotes and line ends", "a formatter's command", "long"],
    )
    async def test_an_unknown_model_is_told_which_exist(
        self, gateway: RunningGateway, name: str, shown: str
    ) -> None:
        reply = await gateway.ask({"model": name})

        assert reply.status == 404
        assert reply.error == {
            "message": f"The model `{shown}` does not exist here. Models here: chat.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        assert gateway.upstream.seen == []

    async def test_a_gateway_without_models_says_so(self, gateway: RunningGateway) -> None:
        await gateway.serve()

        assert "No model is served yet." in (await gateway.ask(CHAT)).error["message"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/chat/completions"),
            ("DELETE", "/v1/files/1"),
            ("POST", "/completions"),
            ("GET", "/chat"),
            ("GET", "/chat/"),
            ("POST", "/chat/tokenize"),
            ("POST", "/chat2/v1/completions"),
            ("GET", "/-/routes"),
            ("GET", "/-/healthz"),
            ("GET", "/-index"),
            ("GET", "/metrics"),
        ],
    )
    async def test_other_paths_never_reach_serve(
        self, gateway: RunningGateway, method: str, path: str
    ) -> None:
        reply = await gateway.request(method, path)

        assert reply.status == 404
        assert reply.error["code"] == "unknown_url"
        assert f"{method} {path}" in reply.error["message"]
        assert gateway.upstream.seen == []

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/chat/v1/../../-/routes", 404),
            ("/chat/v1/%2e%2e/%2e%2e/-/routes", 404),
            ("/chat/v1/..%2f..%2f-/routes", 400),
            ("//-/routes", 404),
        ],
    )
    async def test_no_trick_of_the_path_leads_past_the_models(
        self, gateway: RunningGateway, path: str, status: int
    ) -> None:
        answer = await gateway.raw(
            f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
        )

        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert gateway.upstream.seen == []

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"NOT HTTP\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        ],
        ids=["not HTTP", "no host", "long header"],
    )
    async def test_broken_http_is_refused_in_the_same_form(
        self, gateway: RunningGateway, request_: bytes, status: int
    ) -> None:
        head, _, body = (await gateway.raw(request_)).partition(b"\r\n\r\n")

        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


class TestOwnAnswers:
    async def test_the_models_are_listed_and_found_without_serve(
        self, gateway: RunningGateway
    ) -> None:
        await gateway.serve(gateway_model("chat"), gateway_model("embed"))
        chat = {"id": "chat", "object": "model", "created": 0, "owned_by": "smallmodel"}
        embed = chat | {"id": "embed"}
        expected = {
            "/v1/models": {"object": "list", "data": [chat, embed]},
            "/v1/models/chat": chat,
            "/embed/v1/models": {"object": "list", "data": [embed]},
            "/embed/v1/models/embed": embed,
            "/health": {"status": "ok"},
            "/chat/health": {"status": "ok"},
        }
        for path, answer in expected.items():
            reply = await gateway.get(path)
            assert (reply.status, reply.json) == (200, answer)
            assert reply.headers["content-type"] == "application/json"
        assert (await gateway.get("/")).json["models"] == ["chat", "embed"]
        assert (await gateway.request("HEAD", "/health")).status == 200
        assert gateway.upstream.seen == []

    @pytest.mark.parametrize("path", ["/v1/models/gone", "/chat/v1/models/gone"])
    async def test_an_unknown_id_is_told_which_exist(
        self, gateway: RunningGateway, path: str
    ) -> None:
        reply = await gateway.get(path)

        assert reply.status == 404
        assert reply.error["code"] == "model_not_found"
        assert reply.error["message"] == f"There is no model at {path}. Models here: chat."

    async def test_two_hundred_models_fit_in_the_answers(self, gateway: RunningGateway) -> None:
        names = [f"model-{number:03}-{'x' * 30}" for number in range(200)]
        await gateway.serve(*map(gateway_model, names))

        listed = (await gateway.get("/v1/models")).json["data"]
        assert [model["id"] for model in listed] == names
        assert (await gateway.ask({"model": names[-1]})).status == 200

    async def test_metrics_are_those_of_rays_exporter(self, tmp_path: Path) -> None:
        exporter = MockUpstream()
        exporter.answer = plain(200, "ray_x 1\n")
        await exporter.start()
        gateway = await RunningGateway.start(
            tmp_path, metrics=Endpoint(address="127.0.0.1", port=exporter.port)
        )
        try:
            reply = await gateway.get("/metrics")
        finally:
            await gateway.stop()
            await exporter.stop()

        assert (reply.status, reply.body) == (200, b"ray_x 1\n")
        assert exporter.seen[0].path == "/metrics"
        assert gateway.upstream.seen == []
