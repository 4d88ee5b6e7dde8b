"""What a pool's dashboard says, and how a silent one is spared."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from builders.fake_clock import FakeClock
from builders.fake_kube_api import Reply, hang_up, stay_silent
from builders.fake_ray_dashboard import RUNNING, FakeRayDashboard, fake_ray_dashboard
from smallmodel_operator.api.serving import EngineReport, EngineReports
from smallmodel_operator.clusters.ray import (
    DashboardUnauthorized,
    DashboardUnreachable,
    RayDashboard,
    RayDashboards,
)
from smallmodel_operator.clusters.ref import PODS

POOL = ("team", "cpu-1")
HEAD = PODS.ref("cpu-1-head", "team")


@pytest.fixture
async def ray() -> AsyncIterator[FakeRayDashboard]:
    async with fake_ray_dashboard() as fake:
        yield fake


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def dashboards(clock: FakeClock) -> AsyncIterator[RayDashboards]:
    async with RayDashboards(clock=clock) as dashboards:
        yield dashboards


def at(dashboards: RayDashboards, fake: FakeRayDashboard, **changed: Any) -> RayDashboard:
    place: dict[str, Any] = {"address": fake.address, "port": fake.port, "token": fake.token}
    place |= {"pod": HEAD, "serve_port": fake.port}
    return dashboards.of(POOL, **(place | changed))


async def test_all_applications_come_in_one_answer(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    seen = await at(dashboards, ray).observe()
    assert list(seen) == ["tiny"]
    assert (seen["tiny"].healthy, seen["tiny"].replicas) == (True, 1)
    assert ray.asked == 1


ASLEEP = EngineReport(model="tiny", pid=7, state="Asleep")


async def test_the_engines_of_what_runs_are_asked_for(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    reports = EngineReports(engines=(ASLEEP,)).model_dump_json()
    ray.engines = answering(200, reports)
    assert (await at(dashboards, ray).observe())["tiny"].engine == ASLEEP


@pytest.mark.parametrize("case", ["old image", "broken", "hangs up", "too long"])
async def test_engines_that_nobody_speaks_of_are_unknown_and_nothing_else(
    case: str, dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    replies = {
        "old image": answering(404, "not served here"),
        "broken": answering(200, "<html>"),
        "hangs up": hang_up,
        "too long": too_long,
    }
    ray.engines = replies[case]
    seen = await at(dashboards, ray).observe()
    assert (seen["tiny"].replicas, seen["tiny"].engine) == (1, None)


async def test_an_index_that_does_not_answer_is_not_waited_for(
    dashboards: RayDashboards, ray: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.ray.ENGINES_SECONDS", 0.1)
    answer = ray.dispatch

    async def dispatch(request: web.Request) -> web.StreamResponse:
        silent = request.path.startswith("/-index")
        return await (stay_silent(request) if silent else answer(request))

    monkeypatch.setattr(ray, "dispatch", dispatch)
    assert (await at(dashboards, ray).observe())["tiny"].engine is None


async def test_a_pool_where_nothing_runs_is_not_asked_for_engines(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    def asked(_request: web.Request) -> web.Response:
        raise AssertionError("nothing runs")

    ray.engines = asked
    idle = {"deployments": {"Model": {"status": "HEALTHY", "replicas": []}}}
    ray.content = json.dumps({"applications": {"tiny": RUNNING["tiny"] | idle}})
    assert (await at(dashboards, ray).observe())["tiny"].replicas == 0


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_not_accepted_is_told_apart(
    status: int, dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    ray.reply = lambda _request: web.Response(status=status, text="no")
    with pytest.raises(DashboardUnauthorized, match="compare the pool's token Secret") as caught:
        await at(dashboards, ray).observe()
    assert ray.token not in str(caught.value)


async def test_a_wrong_token_costs_no_pause(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    for _ in range(2):
        with pytest.raises(DashboardUnauthorized):
            await at(dashboards, ray, token="wrong").observe()
    assert list(await at(dashboards, ray).observe()) == ["tiny"]


def too_long(_request: web.Request) -> web.Response:
    return web.Response(body=b" " * (16 * 2**20 + 1))


def answering(status: int, text: str) -> Reply:
    return lambda _request: web.Response(status=status, text=text)


BROKEN: dict[str, tuple[Reply, str]] = {
    "hangs up": (hang_up, "cannot be reached"),
    "has started, and Serve has not": (answering(503, ""), "answered 503"),
    "is something else": (answering(200, "<html>"), "something else than the state of Serve"),
    "talks without end": (too_long, "answered more than"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_dashboard_is_unreachable_that(
    case: str, dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    ray.reply, told = BROKEN[case]
    with pytest.raises(DashboardUnreachable, match=told) as caught:
        await at(dashboards, ray).observe()
    assert f"{ray.address}:{ray.port}" in str(caught.value)


async def test_a_dashboard_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smallmodel_operator.clusters.ray.TOTAL_SECONDS", 0.1)
    async with fake_ray_dashboard() as ray, RayDashboards() as dashboards:
        monkeypatch.setattr(ray, "dispatch", stay_silent)
        with pytest.raises(DashboardUnreachable, match=r"did not answer within 0\.1 s"):
            await at(dashboards, ray).observe()


async def test_a_dashboard_that_is_gone_is_unreachable(dashboards: RayDashboards) -> None:
    async with fake_ray_dashboard() as ray:
        pass
    with pytest.raises(DashboardUnreachable, match="cannot be reached"):
        await at(dashboards, ray).observe()


async def test_a_silent_dashboard_is_left_alone_for_longer_and_longer(
    dashboards: RayDashboards, ray: FakeRayDashboard, clock: FakeClock
) -> None:
    ray.reply = answering(503, "")
    pauses = []
    for _ in range(7):
        with pytest.raises(DashboardUnreachable):
            await at(dashboards, ray).observe()
        asked, begun = ray.asked, clock.monotonic()
        while ray.asked == asked:
            clock.turn(0.5)
            with pytest.raises(DashboardUnreachable):
                await at(dashboards, ray).observe()
        pauses.append(clock.monotonic() - begun)
        clock.turn(60)
    assert pauses == [1.0, 4.0, 15.0, 15.0, 15.0, 15.0, 15.0]


async def test_while_it_is_left_alone_the_last_fault_is_told(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    ray.reply = answering(503, "")
    for told in ("answered 503$", r"answered 503; asked again in 1 s"):
        with pytest.raises(DashboardUnreachable, match=told):
            await at(dashboards, ray).observe()
    assert ray.asked == 1


async def test_an_answer_ends_the_pauses(
    dashboards: RayDashboards, ray: FakeRayDashboard, clock: FakeClock
) -> None:
    for _ in range(3):
        ray.reply = answering(503, "")
        with pytest.raises(DashboardUnreachable):
            await at(dashboards, ray).observe()
        ray.reply = None
        clock.turn(1.0)
        assert list(await at(dashboards, ray).observe()) == ["tiny"]


async def test_a_head_at_another_address_is_asked_at_once(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    async with fake_ray_dashboard() as gone:
        pass
    with pytest.raises(DashboardUnreachable):
        await at(dashboards, gone).observe()
    assert list(await at(dashboards, ray).observe()) == ["tiny"]


async def test_a_pool_that_is_gone_is_forgotten(
    dashboards: RayDashboards, ray: FakeRayDashboard
) -> None:
    first = at(dashboards, ray)
    assert at(dashboards, ray) is first
    dashboards.forget(POOL)
    dashboards.forget(POOL)
    assert at(dashboards, ray) is not first


async def test_an_address_of_version_six_is_understood(dashboards: RayDashboards) -> None:
    with pytest.raises(DashboardUnreachable, match=r"\[::1\]:1 cannot be reached"):
        await dashboards.of(
            POOL, pod=HEAD, address="::1", port=1, serve_port=2, token="t"
        ).observe()
