"""A local port that leads to a pod."""

import asyncio
import logging

import pytest
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, refuse
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.forward import forward
from smallmodel_operator.clusters.ref import PODS
from support.waiting import eventually

POD = PODS.ref("gateway-0", "system")
PORT = 8080


class FakePod:
    """What an API server and a kubelet do with a port-forward: here, echo in capitals."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.complaint = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == f"{POD.path}/portforward"
        assert request.query == {"ports": str(PORT)}
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        assert socket.ws_protocol == "v4.channel.k8s.io"
        self.opened += 1
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + PORT.to_bytes(2, "little"))
        if self.complaint:
            await socket.send_bytes(b"\x01" + self.complaint.encode())
        async for message in socket:
            assert message.data[0] == 0
            await socket.send_bytes(b"\x00" + message.data[1:].upper())
            if message.data[1:] == b"bye":
                await socket.close()
        self.closed += 1
        return socket


@pytest.fixture
def pod(kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch) -> FakePod:
    fake = FakePod()
    usual = kube.answer

    async def answer(request: web.Request) -> web.StreamResponse:
        return await usual(request) if kube.replies else await fake.answer(request)

    monkeypatch.setattr(kube, "dispatch", answer)
    return fake


async def test_what_is_sent_arrives_and_comes_back(api: Api, pod: FakePod) -> None:
    async with forward(api, POD, PORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for word in (b"hello", b"x" * 100_000):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word.upper()
        writer.close()
        await eventually(lambda: pod.closed == 2, "the stream to the pod ended")


async def test_connections_do_not_mix(api: Api, pod: FakePod) -> None:
    async with forward(api, POD, PORT) as port:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for number, (_, writer) in enumerate(pairs):
            writer.write(b"abcde"[number : number + 1])
        answers = [await reader.readexactly(1) for reader, _ in pairs]
        for _, writer in pairs:
            writer.close()
    assert answers == [b"A", b"B", b"C", b"D", b"E"]


async def test_when_the_pod_hangs_up_so_does_the_port(api: Api, pod: FakePod) -> None:
    async with forward(api, POD, PORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"bye")
        assert await reader.read() == b"BYE"
        writer.close()


async def test_a_port_where_nothing_listens_is_told(
    api: Api, pod: FakePod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pod.complaint = "connect: connection refused"
    async with forward(api, POD, PORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
    assert "Pod system/gateway-0: connect: connection refused" in caplog.text


async def test_who_may_not_forward_is_told_at_once(
    api: Api, pod: FakePod, kube: FakeKubeApi
) -> None:
    kube.replies = [refuse(403)]
    with pytest.raises(errors.Forbidden, match="open portforward of Pod system/gateway-0"):
        async with forward(api, POD, PORT):
            raise AssertionError("the block does not run")


async def test_a_connection_that_cannot_be_led_on_is_closed(
    api: Api, pod: FakePod, kube: FakeKubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with forward(api, POD, PORT) as port:
        kube.replies = [refuse(403)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
    assert "open portforward of Pod" in caplog.text


async def test_leaving_ends_the_connections(api: Api, pod: FakePod) -> None:
    async with forward(api, POD, PORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        await reader.readexactly(1)
    assert await reader.read() == b""
    writer.close()
    await eventually(lambda: pod.closed == 2, "the stream to the pod ended")
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_wanted_local_port_is_taken(api: Api, pod: FakePod) -> None:
    async with forward(api, POD, PORT) as port:
        with pytest.raises(OSError, match="address already in use"):
            async with forward(api, POD, PORT, local_port=port):
                raise AssertionError("the block does not run")
