"""Envoy's process: how it starts, changes, drains and ends, seen at the real one."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from builders.plan_values import gateway_model
from smallmodel_operator.local.envoy import UpdateRefused, discovery_folder, start_gateway
from smallmodel_operator.local.errors import PortTaken, StackFailed
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayConfig
from support.mock_upstream import Stream
from support.running_gateway import RunningGateway, settings_for, with_routes
from support.waiting import eventually

pytestmark = pytest.mark.local

CHAT = {"model": "chat"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    gateway = await RunningGateway.start(tmp_path / "first")
    yield gateway
    await gateway.stop()


async def test_two_gateways_run_side_by_side(running: RunningGateway, tmp_path: Path) -> None:
    second = await RunningGateway.start(tmp_path / "second", [gateway_model("embed")])
    try:
        assert (await running.get("/")).json["models"] == ["chat"]
        assert (await second.get("/")).json["models"] == ["embed"]
    finally:
        await second.stop()


async def test_it_listens_with_its_routes_from_the_first_moment(running: RunningGateway) -> None:
    assert running.gateway.is_live()
    assert running.gateway.ended() is None
    assert psutil.Process(running.gateway.pid).name() == "envoy"
    assert (await running.ask(CHAT)).status == 200


async def test_its_admin_page_is_on_loopback_alone(running: RunningGateway) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(running.gateway.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening == {"127.0.0.1"}


async def test_ctrl_c_in_the_terminal_does_not_reach_it(running: RunningGateway) -> None:
    assert os.getpgid(running.gateway.pid) != os.getpgid(0)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_refused_with_its_owner(address: str, tmp_path: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        settings = settings_for(tmp_path, 9, listen=Endpoint(address=address, port=port))

        with pytest.raises(PortTaken, match=rf"port {port} .*pid {os.getpid()}.*--port"):
            start_gateway(build_gateway((), settings), settings, tmp_path)

    assert not discovery_folder(tmp_path).exists()


def test_a_taken_port_is_refused_even_where_its_owner_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        settings = settings_for(tmp_path, 9, listen=Endpoint(address="127.0.0.1", port=port))
        hidden = psutil._ntuples.sconn(
            -1,
            socket.AF_INET,
            socket.SOCK_STREAM,
            psutil._ntuples.addr("127.0.0.1", port),
            (),
            psutil.CONN_LISTEN,
            None,
        )
        monkeypatch.setattr(psutil, "net_connections", lambda **_: [hidden])

        with pytest.raises(PortTaken, match="by a process of another user"):
            start_gateway(build_gateway((), settings), settings, tmp_path)


def test_a_configuration_that_envoy_does_not_know_ends_the_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9)
    config = build_gateway((), settings)
    wrong = GatewayConfig(
        bootstrap=config.bootstrap.replace("stat_prefix", "stat_prefixed"),
        routes=config.routes,
        clusters=config.clusters,
    )

    with pytest.raises(
        StackFailed, match=r"(?s)ended with 1; its log is .*envoy.log.*stat_prefixed"
    ):
        start_gateway(wrong, settings, tmp_path)


def test_routes_that_envoy_rejects_end_the_start_in_time(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 9)
    config = with_routes(build_gateway((), settings), "virtual_hosts", "virtual_host")

    with pytest.raises(StackFailed, match=r"(?s)was not ready within 1 s.*virtual_host"):
        start_gateway(config, settings, tmp_path, within=1.0)

    assert no_envoy_in(tmp_path)


async def test_rejected_routes_leave_those_from_before(running: RunningGateway) -> None:
    wrong = with_routes(
        build_gateway((gateway_model("other"),), running.settings), "virtual_hosts", "virtual_host"
    )
    with pytest.raises(UpdateRefused, match=r"(?s)within 0.5 s.*virtual_host"):
        await asyncio.to_thread(running.gateway.apply, wrong, within=0.5)

    assert (await running.ask(CHAT)).status == 200
    await running.serve(gateway_model("other"))
    assert (await running.get("/")).json["models"] == ["other"]


async def test_the_same_configuration_again_writes_nothing(running: RunningGateway) -> None:
    folder = discovery_folder(running.gateway.folder)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    await running.serve(gateway_model("chat"))
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before

    await running.serve(gateway_model("other"))
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert after.keys() == before.keys()
    assert after["clusters.yaml"] == before["clusters.yaml"]
    assert after["routes.yaml"] != before["routes.yaml"]


async def test_other_settings_need_another_gateway(running: RunningGateway) -> None:
    other = settings_for(running.gateway.folder, 9)

    with pytest.raises(ValueError, match="start another gateway"):
        running.gateway.apply(build_gateway((), other))


async def test_draining_refuses_new_connections_and_finishes_streams(
    running: RunningGateway,
) -> None:
    stream = Stream()
    running.upstream.answer = stream
    assert running.gateway.active_requests() == 0
    answer = await running.client.post(f"{running.url}/v1/completions", json=CHAT)
    assert running.gateway.active_requests() == 1

    stopping = asyncio.create_task(asyncio.to_thread(running.gateway.stop, grace=10))
    await eventually(lambda: not accepts(running), "new connections are refused")
    assert not stopping.done()
    stream.events.put_nowait("last")
    stream.events.put_nowait(None)

    assert await answer.read() == b"data: last\n\n"
    assert await stopping is True
    assert running.gateway.ended() is not None


async def test_stopping_ends_what_outlasts_the_grace(running: RunningGateway) -> None:
    running.upstream.answer = Stream()
    answer = await running.client.post(f"{running.url}/v1/completions", json=CHAT)

    assert await asyncio.to_thread(running.gateway.stop, grace=0.1) is False
    assert running.gateway.ended() is not None
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()


async def test_an_envoy_that_died_is_noticed_and_can_still_be_stopped(
    running: RunningGateway,
) -> None:
    os.kill(running.gateway.pid, signal.SIGKILL)
    await eventually(lambda: running.gateway.ended() is not None, "its death is noticed")

    assert running.gateway.ended() == -signal.SIGKILL
    with pytest.raises(StackFailed, match="does not answer"):
        running.gateway.active_requests()
    assert running.gateway.stop(grace=1) is False


async def test_an_envoy_that_hangs_is_killed(
    running: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.local.envoy._ADMIN_SECONDS", 0.2)
    monkeypatch.setattr("smallmodel_operator.local.envoy._TERMINATE_SECONDS", 0.2)
    os.kill(running.gateway.pid, signal.SIGSTOP)

    assert await asyncio.to_thread(running.gateway.stop, grace=1) is False
    assert running.gateway.ended() == -signal.SIGKILL


def accepts(gateway: RunningGateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", gateway.settings.listen.port)) == 0


def no_envoy_in(folder: Path) -> bool:
    return not [
        process
        for process in psutil.Process().children(recursive=True)
        if any(str(folder) in word for word in process.cmdline())
    ]
