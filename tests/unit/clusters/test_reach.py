"""The way to pods of another cluster through its API server, and what is left of it: nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, hang_up
from builders.fake_pods import FakePods, put_before
from builders.fake_ray_dashboard import FakeRayDashboard, fake_ray_dashboard
from smallmodel_operator.clusters import reach as module
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.ray import DashboardUnreachable, RayDashboard, RayDashboards
from smallmodel_operator.clusters.reach import DirectReach, ForwardedReach, NoWay
from smallmodel_operator.clusters.ref import PODS, Ref
from support.waiting import eventually

POOL = ("team", "cpu-1")
HEAD = PODS.ref("cpu-1-head", "team")
OTHER = PODS.ref("cpu-1-head-2", "team")
ADDRESS = "10.1.0.7"
PORT = 8265


@pytest.fixture
async def ray() -> AsyncIterator[FakeRayDashboard]:
    async with fake_ray_dashboard() as fake:
        yield fake


@pytest.fixture
def pods(kube: FakeKubeApi, ray: FakeRayDashboard) -> FakePods:
    fake = FakePods()
    for pod in (HEAD, OTHER):
        fake.ports[pod.path, PORT] = ray.port
    put_before(kube, fake)
    return fake


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def reach(api: Api, pods: FakePods, clock: FakeClock) -> AsyncIterator[ForwardedReach]:
    """The way to pods; whatever a test did with it, nothing is left once it is closed."""
    before = asyncio.all_tasks()
    made = ForwardedReach(api, cluster="munich", clock=clock)
    yield made
    await made.close()
    await eventually(lambda: pods.running == 0, "all streams ended")
    left = {one for one in asyncio.all_tasks() - before if "smallmodel" in str(one.get_coro())}
    assert left == set()


@pytest.fixture
async def dashboards(reach: ForwardedReach, clock: FakeClock) -> AsyncIterator[RayDashboards]:
    async with RayDashboards(reach=reach, clock=clock) as dashboards:
        yield dashboards


def of(
    dashboards: RayDashboards, ray: FakeRayDashboard, pod: Ref = HEAD, address: str = ADDRESS
) -> RayDashboard:
    return dashboards.of(
        POOL, pod=pod, address=address, port=PORT, serve_port=PORT, token=ray.token
    )


async def refuses(url: str) -> bool:
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_inside_the_cluster_pods_are_called_by_their_addresses() -> None:
    direct = DirectReach()
    assert await direct.base(HEAD, ADDRESS, PORT) == "http://10.1.0.7:8265"
    assert await direct.base(HEAD, "fd00::7", PORT) == "http://[fd00::7]:8265"
    assert direct.trouble(HEAD, PORT) is None
    direct.forget(HEAD)
    await direct.close()


async def test_many_looks_at_a_dashboard_take_one_stream(
    dashboards: RayDashboards, ray: FakeRayDashboard, pods: FakePods
) -> None:
    for _ in range(5):
        assert list(await of(dashboards, ray).observe()) == ["tiny"]
    assert (ray.asked, pods.opened) == (5, 1)


async def test_a_head_is_seen_over_a_link_of_a_tenth_of_a_second(
    dashboards: RayDashboards, ray: FakeRayDashboard, pods: FakePods
) -> None:
    pods.delay = 0.1
    for _ in range(2):
        assert list(await of(dashboards, ray).observe()) == ["tiny"]


async def test_who_may_not_forward_learns_which_right_is_missing_and_how_to_get_it(
    dashboards: RayDashboards, reach: ForwardedReach, ray: FakeRayDashboard, pods: FakePods,
    clock: FakeClock, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.WARNING)
    pods.forbidden = True
    for _ in range(2):
        with pytest.raises(DashboardUnreachable, match=r"10\.1\.0\.7:8265 cannot be reached") as it:
            await of(dashboards, ray).observe()
        clock.turn(60.0)
    assert "may not forward ports of pods in namespace team of cluster munich" in str(it.value)
    assert "needs `create` and `get` on pods/portforward" in str(it.value)
    assert "run `slm cluster join munich` again" in str(it.value)
    assert reach.failures == 2
    assert len(caplog.records) == 1, "said once"

    pods.forbidden = False
    assert list(await of(dashboards, ray).observe()) == ["tiny"]
    assert reach.trouble(HEAD, PORT) is None


async def test_a_pod_that_is_not_there_is_told(
    dashboards: RayDashboards, ray: FakeRayDashboard, pods: FakePods
) -> None:
    pods.ports.clear()
    with pytest.raises(DashboardUnreachable, match="Pod team/cpu-1-head: there is none"):
        await of(dashboards, ray).observe()


async def test_a_port_at_which_nothing_listens_is_told_in_the_clusters_words(
    dashboards: RayDashboards, reach: ForwardedReach, ray: FakeRayDashboard, pods: FakePods
) -> None:
    pods.ports[HEAD.path, PORT] = 1
    with pytest.raises(DashboardUnreachable, match="failed to connect to localhost"):
        await of(dashboards, ray).observe()
    assert reach.failures >= 1


async def test_a_pod_without_a_name_is_told(reach: ForwardedReach, pods: FakePods) -> None:
    with pytest.raises(NoWay, match=r"which pod has the address 10\.1\.0\.7"):
        await reach.base(PODS.ref("", "team"), ADDRESS, PORT)
    assert pods.opened == 0


async def test_a_link_that_swallows_everything_is_given_up_in_time(
    reach: ForwardedReach,
    ray: FakeRayDashboard,
    pods: FakePods,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.ray.TOTAL_SECONDS", 0.2)
    pods.silent = True
    async with RayDashboards(reach=reach) as dashboards:
        with pytest.raises(DashboardUnreachable, match=r"did not answer within 0\.2 s"):
            await of(dashboards, ray).observe()
    assert pods.opened == 0


async def test_engines_behind_a_way_that_swallows_everything_are_not_waited_for(
    dashboards: RayDashboards,
    reach: ForwardedReach,
    ray: FakeRayDashboard,
    pods: FakePods,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.ray.CONNECT_SECONDS", 0.1)
    await reach.base(HEAD, ADDRESS, PORT)
    pods.silent = True
    dashboard = dashboards.of(
        POOL, pod=HEAD, address=ADDRESS, port=PORT, serve_port=8000, token=ray.token
    )
    assert (await dashboard.observe())["tiny"].engine is None
    assert reach.failures == 0, "the API's own limit, which is longer, did not end it"


async def test_a_head_that_hangs_up_is_asked_by_another_stream(
    dashboards: RayDashboards, ray: FakeRayDashboard, pods: FakePods, clock: FakeClock
) -> None:
    await of(dashboards, ray).observe()
    ray.reply = hang_up
    with pytest.raises(DashboardUnreachable):
        await of(dashboards, ray).observe()
    ray.reply = None
    clock.turn(60.0)
    assert list(await of(dashboards, ray).observe()) == ["tiny"]
    assert pods.opened > 1


@pytest.mark.parametrize("changed", ["name", "address"])
async def test_another_head_is_reached_and_the_one_before_let_go(
    dashboards: RayDashboards, reach: ForwardedReach, ray: FakeRayDashboard, pods: FakePods,
    changed: str,
) -> None:  # fmt: skip
    await of(dashboards, ray).observe()
    before = await reach.base(HEAD, ADDRESS, PORT)

    pod, address = (OTHER, ADDRESS) if changed == "name" else (HEAD, "10.1.0.8")
    assert list(await of(dashboards, ray, pod, address).observe()) == ["tiny"]

    assert pods.opened == 2
    assert await refuses(before)
    await eventually(lambda: pods.running == 1, "the stream to the head before ended")


async def test_a_pool_that_is_gone_leaves_nothing(
    dashboards: RayDashboards, reach: ForwardedReach, ray: FakeRayDashboard, pods: FakePods
) -> None:
    await of(dashboards, ray).observe()
    url = await reach.base(HEAD, ADDRESS, PORT)
    dashboards.forget(POOL)
    assert await refuses(url)
    await eventually(lambda: pods.running == 0, "the stream ended")


async def test_closing_ends_what_runs(reach: ForwardedReach, pods: FakePods) -> None:
    url = await reach.base(HEAD, ADDRESS, PORT)
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET ")
    await eventually(lambda: pods.running == 1, "it leads to the pod")
    await reach.close()
    assert await reader.read() == b""
    writer.close()
    assert await refuses(url)


async def test_closing_ends_a_stream_that_nobody_came_for(
    reach: ForwardedReach, pods: FakePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_SECONDS", 60.0)
    await reach.base(HEAD, ADDRESS, PORT)
    assert pods.running == 1
    await reach.close()
    await eventually(lambda: pods.running == 0, "the stream ended")


async def test_several_who_ask_at_once_get_one_port_and_one_stream(
    reach: ForwardedReach, pods: FakePods
) -> None:
    urls = await asyncio.gather(*(reach.base(HEAD, ADDRESS, PORT) for _ in range(5)))
    assert len(set(urls)) == 1
    assert pods.opened == 1


async def test_a_stream_that_nobody_came_for_is_ended(
    reach: ForwardedReach, pods: FakePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_SECONDS", 0.05)
    await reach.base(HEAD, ADDRESS, PORT)
    await eventually(lambda: pods.running == 0, "the stream ended")
    await reach.base(HEAD, ADDRESS, PORT)
    assert pods.opened == 2


async def test_a_pod_that_is_forgotten_while_it_is_called_is_not_reached(
    reach: ForwardedReach, pods: FakePods
) -> None:
    pods.delay = 0.1
    asked = asyncio.create_task(reach.base(HEAD, ADDRESS, PORT))
    await eventually(lambda: bool(reach._listeners), "it is on the way")
    reach.forget(HEAD)
    with pytest.raises(NoWay, match="replaced in this moment"):
        await asked


async def test_ports_that_nobody_asks_for_are_let_go(
    reach: ForwardedReach, clock: FakeClock
) -> None:
    first = await reach.base(HEAD, ADDRESS, PORT)
    clock.turn(module.IDLE_SECONDS - 1)
    second = await reach.base(OTHER, ADDRESS, PORT)
    assert not await refuses(first)
    clock.turn(1.0)
    assert await reach.base(OTHER, ADDRESS, PORT) == second
    assert await refuses(first)


async def test_ports_have_a_bound(reach: ForwardedReach, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LISTENERS", 1)
    first = await reach.base(HEAD, ADDRESS, PORT)
    second = await reach.base(OTHER, ADDRESS, PORT)
    assert await refuses(first)
    assert not await refuses(second)


async def test_where_no_local_port_is_free_that_is_told(
    reach: ForwardedReach, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr("smallmodel_operator.clusters.reach.socket.create_server", taken)
    with pytest.raises(NoWay, match="no local port is free: too many open files"):
        await reach.base(HEAD, ADDRESS, PORT)


async def test_new_credentials_are_used_by_the_next_stream_and_no_request_is_cut(
    kube: FakeKubeApi, ray: FakeRayDashboard, pods: FakePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.wire._LOOK_SECONDS", 0.01)
    held, let_go = asyncio.Event(), asyncio.Event()
    answer = ray.dispatch

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if request.query.get("held"):
            held.set()
            await let_go.wait()
        return await answer(request)

    monkeypatch.setattr(ray, "dispatch", dispatch)
    api = Api.of(Credentials(server=kube.url, token="before"))
    reach = ForwardedReach(api, cluster="munich")
    async with api, aiohttp.ClientSession() as session, RayDashboards(reach=reach) as dashboards:
        url = f"{await reach.base(HEAD, ADDRESS, PORT)}/api/serve/applications/?held=1"
        headers = {"x-ray-authorization": f"Bearer {ray.token}"}
        running = asyncio.create_task(session.get(url, headers=headers))
        await held.wait()
        api.renew(Credentials(server=kube.url, token="after"))
        assert list(await of(dashboards, ray).observe()) == ["tiny"]
        assert pods.tokens == ["Bearer before", "Bearer after"]
        let_go.set()
        async with await running as response:
            assert response.status == 200

        monkeypatch.setattr("smallmodel_operator.clusters.wire._STREAM_SECONDS", 0.0)
        api.renew(Credentials(server=kube.url, token="last"))
        await eventually(lambda: pods.running == 1, "the stream with the credentials before ended")
        assert list(await of(dashboards, ray).observe()) == ["tiny"]
        assert pods.tokens[-1] == "Bearer last"
        await reach.close()


async def test_streams_take_no_connection_that_calls_wait_for(
    kube: FakeKubeApi, pods: FakePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.wire._CONNECTIONS", 1)
    async with Api.of(Credentials(server=kube.url, token="a")) as api:
        reach = ForwardedReach(api, cluster="munich")
        for pod in (HEAD, OTHER):
            await reach.base(pod, ADDRESS, PORT)
        assert pods.running == 2
        async with asyncio.timeout(5.0):
            assert await api.get(HEAD) is None
        await reach.close()
