import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from smallmodel_operator.gateway import drain as drain_module
from smallmodel_operator.gateway.__main__ import JsonLines, main
from smallmodel_operator.gateway.admin import EnvoyAdmin
from smallmodel_operator.gateway.drain import drain
from smallmodel_operator.gateway.endpoints import build_app
from smallmodel_operator.gateway.envoy import command
from smallmodel_operator.gateway.envoy import main as envoy_main
from smallmodel_operator.gateway.metrics import AgentMetrics
from support.free_ports import free_port


class FakeAdminPage:
    """What a drain asks of Envoy's admin, with requests that end one after another."""

    def __init__(self, active: list[int]) -> None:
        self.active = active
        self.asked: list[str] = []
        self.status = 200

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.method == "POST":
            return web.Response(text="OK\n", status=self.status)
        left = self.active.pop(0) if len(self.active) > 1 else self.active[0]
        return web.Response(text=f"http.gateway.downstream_rq_active: {left}\n")


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
async def page() -> AsyncIterator[tuple[FakeAdminPage, str]]:
    found = FakeAdminPage([0])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        yield found, f"127.0.0.1:{server.port}"


async def drained(address: str, clock: Clock, within: float = 300) -> int | None:
    return await asyncio.to_thread(
        drain, address, within=within, settle=5, clock=clock, sleep=clock.sleep
    )


class TestDrain:
    async def test_it_waits_for_the_service_to_forget_the_pod(
        self, page: tuple[FakeAdminPage, str]
    ) -> None:
        clock = Clock()

        assert await drained(page[1], clock) == 0
        assert clock.now >= 105
        assert page[0].asked[0] == "POST /drain_listeners?graceful&skip_exit"

    async def test_it_waits_for_the_last_request(self, page: tuple[FakeAdminPage, str]) -> None:
        clock = Clock()
        page[0].active[:] = [3] * 100 + [1] * 100 + [0]

        assert await drained(page[1], clock) == 0
        assert 139 < clock.now < 142

    async def test_it_gives_up_in_time(self, page: tuple[FakeAdminPage, str]) -> None:
        clock = Clock()
        page[0].active[:] = [2]

        assert await drained(page[1], clock, within=20) == 2
        assert 120 <= clock.now < 121

    async def test_an_envoy_that_refuses_or_is_gone_is_not_waited_for(
        self, page: tuple[FakeAdminPage, str]
    ) -> None:
        clock = Clock()
        page[0].status = 503

        assert await drained(page[1], clock) is None
        assert await drained(f"127.0.0.1:{free_port()}", clock) is None
        assert clock.now == 100

    @pytest.mark.parametrize(
        ("left", "status", "said"),
        [(None, 0, "nothing to drain"), (0, 0, ""), (2, 1, "2 requests were left after 3 s")],
    )
    def test_its_status_says_whether_requests_were_left(
        self,
        left: int | None,
        status: int,
        said: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(drain_module, "drain", lambda *_, **__: left)

        assert drain_module.main(["--within", "3"]) == status
        assert said in capsys.readouterr().out


class TestEnvoy:
    def test_its_command_has_the_bootstrap_and_the_workers(self) -> None:
        words = command(Path("/config"), 3)

        assert Path(words[0]).name == "envoy"
        assert words[words.index("--config-path") + 1] == "/config/bootstrap.yaml"
        assert words[words.index("--concurrency") + 1] == "3"

    def test_without_files_it_is_not_started(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert envoy_main(["--folder", str(tmp_path)]) == 1
        assert "the init container writes it" in capsys.readouterr().err

    async def test_an_admin_page_that_fails_is_an_envoy_that_is_starting(
        self, page: tuple[FakeAdminPage, str]
    ) -> None:
        for address in (page[1], f"127.0.0.1:{free_port()}"):
            admin = EnvoyAdmin(f"http://{address}")
            state = await admin.state()
            assert state is None or state.routes == ""
            await admin.close()
        await EnvoyAdmin("http://127.0.0.1:1").close()


class TestEndpoints:
    @pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
    async def test_readiness_is_about_files_and_health_is_not(
        self, ready: bool, status: int
    ) -> None:
        app = build_app(lambda: ready, AgentMetrics())
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/ready")).status == status
            assert (await client.get("/healthz")).status == 200

    async def test_metrics_have_the_version_and_the_age_of_the_snapshot(self) -> None:
        clock = Clock()
        metrics = AgentMetrics(clock)
        assert "smallmodel_gateway_snapshot_age_seconds NaN" in metrics.text().decode()
        metrics.taken("abc")
        metrics.watch_failed("Gone")
        metrics.connected(True)
        clock.now += 7
        async with TestClient(TestServer(build_app(lambda: True, metrics))) as client:
            text = await (await client.get("/metrics")).text()

        for line in (
            'smallmodel_gateway_snapshot_info{version="abc"} 1.0',
            "smallmodel_gateway_snapshot_age_seconds 7.0",
            'smallmodel_gateway_watch_errors_total{reason="Gone"} 1.0',
            "smallmodel_gateway_watch_connected 1.0",
        ):
            assert line in text.splitlines()


class TestMain:
    @pytest.fixture(autouse=True)
    def quiet_root(self) -> Iterator[None]:
        """Leave the root logger as it was."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        root.handlers[:], root.level = handlers, level

    def test_outside_of_a_pod_it_asks_for_a_kubeconfig(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

        assert main(["--namespace", "x", "--folder", str(tmp_path), "--seed", str(tmp_path)]) == 1
        assert "give --kubeconfig" in caplog.text

    def test_a_log_line_is_one_json_object(self) -> None:
        try:
            raise ValueError("why")
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("a.b", logging.ERROR, "", 1, "%s\n", ("what",), info)
        line = JsonLines().format(record)

        assert "\n" not in line
        found = json.loads(line)
        assert (found["level"], found["logger"], found["message"]) == ("error", "a.b", "what\n")
        assert "ValueError: why" in found["error"]
