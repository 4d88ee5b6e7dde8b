"""What happens to a call on its way: faults, retries, limits of time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from builders.fake_kube_api import (
    FakeKubeApi,
    Reply,
    fake_kube_api,
    hang_up,
    refuse,
    serving,
    stay_silent,
)
from builders.kube_objects import CONFIG_MAP_PATH, config_map, secret
from builders.kubeconfigs import pair, server_tls
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.ref import CONFIGMAPS, PODS, SECRETS
from smallmodel_operator.clusters.wire import Limits, proxy_to

SETTINGS = CONFIGMAPS.ref("settings", "team")

PASSING: dict[str, Reply] = {
    "the connection ends": hang_up,
    "too many calls": refuse(429, headers={"Retry-After": "0"}),
    "no storage": refuse(503),
    "a failure": refuse(500),
}


@pytest.mark.parametrize("case", PASSING)
async def test_a_read_is_tried_again_when(case: str, api: Api, kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map())
    kube.replies = [PASSING[case], PASSING[case]]
    assert await api.get(SETTINGS) is not None
    assert api.calls.total() == 1


@pytest.mark.parametrize("case", PASSING)
async def test_a_write_is_never_tried_again_by_itself_when(
    case: str, api: Api, kube: FakeKubeApi
) -> None:
    kube.replies = [PASSING[case]]
    with pytest.raises(errors.ApiError):
        await api.apply(config_map())
    assert kube.methods == {"PATCH": 1}


async def test_a_read_is_given_up_after_three_tries(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(503)] * 5
    with pytest.raises(errors.Busy):
        await api.get(SETTINGS)
    assert kube.methods == {"GET": 3}


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422])
async def test_a_refusal_is_not_asked_for_twice(status: int, api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(status)]
    with pytest.raises(errors.ApiError):
        await api.get(SETTINGS)
    assert kube.methods == {"GET": 1}


async def test_an_api_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with serving(stay_silent) as url:
        gone = FakeKubeApi(url=url)
    async with await Api.connect(gone.kubeconfig(tmp_path)) as api:
        with pytest.raises(errors.Unreachable, match=f"{url} cannot be reached") as caught:
            await api.apply(config_map())
    assert caught.value.status is None
    assert isinstance(caught.value.__cause__, OSError)


async def test_an_api_server_that_is_silent_is_given_up(tmp_path: Path) -> None:
    limits = Limits(connect=0.1, total=0.2)
    async with serving(stay_silent) as url:
        kubeconfig = FakeKubeApi(url=url).kubeconfig(tmp_path)
        async with await Api.connect(kubeconfig, limits=limits) as api:
            begun = time.monotonic()
            with pytest.raises(errors.Unreachable, match=r"did not answer within 0\.2 s") as caught:
                await api.apply(config_map())
            assert time.monotonic() - begun < 10
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_secret_is_in_no_error_and_no_log(
    api: Api, kube: FakeKubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    quoting = refuse(422, "Invalid", 'data: Invalid value: "dG9wc2VjcmV0"')
    kube.replies = [quoting, quoting, hang_up]
    told: list[str] = []
    for write in (api.apply(secret()), api.create(secret()), api.apply(secret())):
        with pytest.raises(errors.ApiError) as caught:
            await write
        chain = [caught.value, caught.value.__cause__]
        told.extend(repr(error) for error in chain)
    assert "dG9wc2VjcmV0" not in "".join(told) + caplog.text
    assert "a-token" not in "".join(told) + caplog.text


async def test_reading_a_secret_says_who_may_not(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(403, "Forbidden", 'User "x" cannot get resource "secrets"')]
    with pytest.raises(errors.Forbidden, match='User "x" cannot get'):
        await api.get(SECRETS.ref("token", "team"))


async def test_many_calls_at_once_share_the_connections(api: Api, kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map())
    found = await asyncio.gather(*(api.get(SETTINGS) for _ in range(200)))
    assert len(found) == 200
    assert None not in found


async def test_a_stream_that_is_refused_says_so(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(403, "Forbidden", "cannot create pods/portforward")]
    with pytest.raises(errors.Forbidden, match="open portforward of Pod team/pod-1"):
        await api.websocket(PODS.ref("pod-1", "team"), "portforward", {"ports": "1"}, "v4")
    # API servers before 1.35 ask for `get` alone, and later ones for both.
    verbs = {call.verb for call in api.permissions if call.subresource == "portforward"}
    assert verbs == {"create", "get"}


async def test_a_stream_of_a_pod_that_is_gone_is_not_found(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(404, "NotFound")]
    with pytest.raises(errors.NotFound, match="open portforward of Pod team/pod-1: there is none"):
        await api.websocket(PODS.ref("pod-1", "team"), "portforward", {"ports": "1"}, "v4")


async def test_a_stream_from_a_server_that_is_gone_is_unreachable(
    api: Api, kube: FakeKubeApi
) -> None:
    # The HTTP client itself repeats a GET once whose connection ended.
    kube.replies = [hang_up, hang_up]
    with pytest.raises(errors.Unreachable):
        await api.websocket(PODS.ref("pod-1", "team"), "portforward", {"ports": "1"}, "v4")


async def test_a_stream_that_does_not_open_is_given_up(tmp_path: Path) -> None:
    async with serving(stay_silent) as url:
        kubeconfig = FakeKubeApi(url=url).kubeconfig(tmp_path)
        async with await Api.connect(kubeconfig, limits=Limits(total=0.2)) as api:
            with pytest.raises(errors.Unreachable, match="did not answer"):
                await api.websocket(PODS.ref("pod-1", "team"), "portforward", {}, "v4")


async def test_an_answer_that_is_cut_short_is_unreachable(api: Api, kube: FakeKubeApi) -> None:
    def short(_request: web.Request) -> web.Response:
        return web.Response(body=b"{}", headers={"Content-Encoding": "gzip"})

    kube.replies = [short]
    with pytest.raises(errors.Unreachable):
        await api.apply(config_map())


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names proxies, as curl reads it, in either case."""
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "plain.example:3128")
    monkeypatch.setenv("NO_PROXY", "hub.internal,10.0.0.1")
    return monkeypatch


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("https://hub.example:6443", "http://proxy.example:3128"),
        ("http://hub.example", "http://plain.example:3128"),
        ("https://hub.internal:6443", None),
        ("https://10.0.0.1", None),
    ],
)
def test_the_environment_names_the_proxy_of(server: str, proxy: str | None) -> None:
    assert proxy_to(server) == proxy


async def test_calls_go_by_the_proxy_that_was_named_when_the_client_was_made(
    proxied: pytest.MonkeyPatch,
) -> None:
    asked = list[str]()

    async def proxy(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.url))
        return web.json_response(config_map())

    async with serving(proxy) as url:
        proxied.setenv("http_proxy", url)
        async with Api.of(Credentials(server="http://hub.example")) as api:
            proxied.delenv("http_proxy")
            assert await api.get(SETTINGS) is not None

    assert asked == [f"http://hub.example{SETTINGS.path}"]


async def test_a_proxy_that_is_named_later_sees_no_call(
    proxied: pytest.MonkeyPatch, kube: FakeKubeApi
) -> None:
    proxied.delenv("http_proxy")
    kube.put(CONFIG_MAP_PATH, config_map())
    async with Api.of(Credentials(server=kube.url)) as api:
        proxied.setenv("http_proxy", "http://192.0.2.1:3128")
        assert await api.get(SETTINGS) is not None


@contextlib.asynccontextmanager
async def tunnelling(asked: list[str]) -> AsyncIterator[str]:
    """Be a proxy that tunnels TLS: what is asked for by CONNECT is noted, and joined."""

    async def pipe(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        while chunk := await source.read(2**16):
            drain.write(chunk)
        drain.close()

    async def serve(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        words = (await source.readuntil(b"\r\n\r\n")).split()
        asked.append(f"{words[0].decode()} {words[1].decode()}")
        host, _, port = words[1].decode().rpartition(":")
        there, way = await asyncio.open_connection(host, int(port))
        drain.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pipe(source, way), pipe(there, drain))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_proxy_tunnels_calls_to_an_api_server_with_tls(
    proxied: pytest.MonkeyPatch,
) -> None:
    asked = list[str]()
    authority = pair()
    async with fake_kube_api(server_tls(authority)) as kube, tunnelling(asked) as proxy:
        kube.put(CONFIG_MAP_PATH, config_map())
        proxied.setenv("HTTPS_PROXY", proxy)
        known = Credentials(server=kube.url, authority=authority.certificate.decode())
        async with Api.of(known) as api:
            assert await api.get(SETTINGS) is not None

    assert asked == [f"CONNECT {kube.url.removeprefix('https://')}"]
