"""A cluster's gateway, at a real Envoy in front of two pools: who gets where, and who does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from builders.plan_values import gateway_model, namespace_routes, routed_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, RoutedModel
from smallmodel_operator.plan.gateway.values import Unavailable
from support.mock_upstream import Answer, MockUpstream, plain
from support.running_cluster_gateway import ClusterGateway, settings_for

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]

FETCHING = Unavailable(reason=Reason.FETCHING, message="42 % of its weights are there")


async def hang_up(request: web.Request) -> web.StreamResponse:
    """End the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


class Pools:
    """Two namespaces: team-a has two pools, team-b one of the names of team-a's models."""

    def __init__(self) -> None:
        self.first = MockUpstream()
        self.second = MockUpstream()
        self.other = MockUpstream()

    async def start(self) -> None:
        for pool in self.all:
            await pool.start()

    async def stop(self) -> None:
        for pool in self.all:
            await pool.stop()

    async def renew(self) -> None:
        for pool in self.all:
            await pool.renew()

    @property
    def all(self) -> tuple[MockUpstream, ...]:
        return (self.first, self.second, self.other)

    def namespaces(self, **of_team_a: tuple[str, ...]) -> tuple[NamespaceRoutes, ...]:
        return (
            namespace_routes(
                "team-a",
                routed_model("chat", self.first.port),
                routed_model("embed", self.second.port),
                RoutedModel(model=gateway_model("big", unavailable=FETCHING)),
                **of_team_a,
            ),
            namespace_routes(
                "team-b",
                routed_model("chat", self.other.port),
                routed_model("secret", self.other.port),
            ),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_pools() -> AsyncIterator[Pools]:
    started = Pools()
    await started.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def pools(running_pools: Pools) -> Pools:
    """The module's pools, as if they had just been started."""
    await running_pools.renew()
    return running_pools


@asynccontextmanager
async def serving(
    folder: Path, namespaces: Sequence[NamespaceRoutes], **changed: Any
) -> AsyncIterator[ClusterGateway]:
    """An Envoy with these namespaces and settings."""
    running = ClusterGateway(folder, settings_for(folder, **changed))
    try:
        await running.start(namespaces)
        yield running
    finally:
        await running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_gateway(
    tmp_path_factory: pytest.TempPathFactory, running_pools: Pools
) -> AsyncIterator[ClusterGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    namespaces = running_pools.namespaces()
    async with serving(folder, namespaces, admit_loopback=False, connect_retries=1) as running:
        yield running


@pytest.fixture
def gateway(running_gateway: ClusterGateway, pools: Pools) -> ClusterGateway:
    """The module's Envoy: no test changes what it serves."""
    return running_gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_guarded(
    tmp_path_factory: pytest.TempPathFactory, running_pools: Pools
) -> AsyncIterator[ClusterGateway]:
    folder = tmp_path_factory.mktemp("guarded")
    namespaces = running_pools.namespaces(admitted=("127.0.0.2", "127.0.9.0/24"))
    async with serving(folder, namespaces, admit_loopback=False) as running:
        yield running


@pytest.fixture
def guarded(running_guarded: ClusterGateway, pools: Pools) -> ClusterGateway:
    """Another that admits two sources to team-a."""
    return running_guarded


class TestRouting:
    async def test_a_model_is_reached_by_body_and_by_path_in_its_pool(
        self, gateway: ClusterGateway, pools: Pools
    ) -> None:
        for name, pool in (("chat", pools.first), ("embed", pools.second)):
            by_body = await gateway.ask("team-a", name)
            by_path = await gateway.request("POST", f"/team-a/{name}/v1/completions?a=b")

            assert by_body.json == {"path": f"/{name}/v1/chat/completions"}
            assert by_path.json == {"path": f"/{name}/v1/completions"}
            assert [seen.path for seen in pool.seen] == [
                f"/{name}/v1/chat/completions",
                f"/{name}/v1/completions?a=b",
            ]
            assert pool.seen[0].headers["x-request-timeout-seconds"] == "300"
            assert len({seen.client_port for seen in pool.seen}) == 2

    async def test_an_adapter_goes_to_its_model(
        self, gateway: ClusterGateway, pools: Pools
    ) -> None:
        assert (await gateway.ask("team-a", "chat@tuned")).status == 200
        assert json.loads(pools.first.seen[0].body) == {"model": "chat@tuned"}

    async def test_the_same_name_in_two_namespaces_is_two_models(
        self, gateway: ClusterGateway, pools: Pools
    ) -> None:
        await gateway.ask("team-b", "chat")

        assert (len(pools.first.seen), len(pools.other.seen)) == (0, 1)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/team-a/v1/chat/completions", {"model": "secret"}),
            ("POST", "/team-a/v1/chat/completions", {"model": "team-b/secret"}),
            ("POST", "/team-a/v1/chat/completions", {"model": "../team-b/secret"}),
            ("POST", "/team-a/secret/v1/chat/completions", {}),
            ("POST", "/team-a/team-b/secret/v1/chat/completions", {}),
            ("GET", "/team-a/secret/health", None),
            ("GET", "/team-a/v1/models/secret", None),
            ("POST", "/secret/v1/chat/completions", {"model": "secret"}),
            ("POST", "/v1/chat/completions", {"model": "secret"}),
            ("POST", "/team/v1/chat/completions", {"model": "secret"}),
            ("POST", "/TEAM-B/v1/chat/completions", {"model": "secret"}),
        ],
    )
    async def test_no_other_path_reaches_a_namespaces_model(
        self, gateway: ClusterGateway, pools: Pools, method: str, path: str, body: object
    ) -> None:
        reply = await gateway.request(method, path, json=body)

        assert reply.status == 404
        assert "secret" not in json.dumps(reply.error).replace(path, "").replace(
            "`team-b/secret`", ""
        ).replace("`../team-b/secret`", "").replace("`secret`", "")
        assert [pool.seen for pool in pools.all] == [[], [], []]

    async def test_a_namespace_and_its_models_may_be_called_like_a_path(
        self, tmp_path: Path, pools: Pools
    ) -> None:
        names = ("v1", "health", "models")
        namespaces = [
            namespace_routes(name, *(routed_model(model, pools.first.port) for model in names))
            for name in names
        ]
        async with serving(tmp_path, namespaces, admit_loopback=False) as running:
            for namespace in names:
                for model in names:
                    expected = {"path": f"/{model}/v1/completions"}
                    path = f"/{namespace}/{model}/v1/completions"
                    assert (await running.request("POST", path)).json == expected
                    assert (await running.ask(namespace, model)).status == 200
            assert (await running.request("GET", "/health")).json == {"status": "ok"}


class TestOwnAnswers:
    async def test_each_namespace_lists_its_own_models(self, gateway: ClusterGateway) -> None:
        listed = {
            name: [
                model["id"]
                for model in (await gateway.request("GET", f"/{name}/v1/models")).json["data"]
            ]
            for name in ("team-a", "team-b")
        }

        assert listed == {"team-a": ["big", "chat", "embed"], "team-b": ["chat", "secret"]}

    async def test_health_needs_no_pool(self, gateway: ClusterGateway, pools: Pools) -> None:
        await pools.stop()

        for path in ("/health", "/team-a/health", "/team-a/chat/health"):
            assert (await gateway.request("GET", path)).json == {"status": "ok"}
        assert (await gateway.request("GET", "/team-a/big/health")).status == 503

    async def test_the_root_names_no_namespace(self, gateway: ClusterGateway) -> None:
        assert b"team" not in (await gateway.request("GET", "/")).body

    async def test_an_unknown_namespace_is_told_the_base_url(self, gateway: ClusterGateway) -> None:
        reply = await gateway.ask("team-c", "chat")

        assert (reply.status, reply.error["code"]) == (404, "namespace_not_found")
        assert "/NAMESPACE/v1" in reply.error["message"]
        assert "team-a" not in reply.error["message"]

    async def test_an_unknown_model_is_told_which_exist(self, gateway: ClusterGateway) -> None:
        reply = await gateway.ask("team-a", "gpt-4")

        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        assert "Models here: big, chat, embed." in reply.error["message"]

    async def test_a_model_that_cannot_be_asked_says_why(self, gateway: ClusterGateway) -> None:
        reply = await gateway.ask("team-a", "big")

        assert (reply.status, reply.error["code"]) == (503, "Fetching")
        assert FETCHING.message in reply.error["message"]
        assert reply.headers["retry-after"]

    async def test_a_pool_that_is_gone_is_an_error_in_the_same_form(
        self, gateway: ClusterGateway, pools: Pools
    ) -> None:
        await pools.stop()
        reply = await gateway.ask("team-a", "chat")

        assert (reply.status, reply.error["code"]) == (503, "service_unavailable")

    async def test_requests_to_a_pool_that_is_away_wait_until_it_is_back(
        self, tmp_path: Path, pools: Pools
    ) -> None:
        async with serving(tmp_path, pools.namespaces()) as running:
            await pools.first.stop()
            asked = [asyncio.ensure_future(running.ask("team-a", "chat")) for _ in range(20)]
            tried = f"cluster.127_0_0_1_{pools.first.port}.upstream_cx_connect_fail"
            await until_stat(running, tried, at_least=21)
            assert not any(one.done() for one in asked)
            await pools.first.start()
            statuses = {(await one).status for one in asked}

        assert statuses == {200}

    async def test_requests_wait_until_a_new_head_was_told_its_models(
        self, tmp_path: Path, pools: Pools
    ) -> None:
        no_route = plain(404, "Path '/chat/v1/chat/completions' not found.")
        told = pools.first.answer

        async def a_while_later(request: web.Request) -> web.StreamResponse:
            return await (no_route if len(pools.first.seen) <= 2 else told)(request)

        pools.first.answer = a_while_later
        async with serving(tmp_path, pools.namespaces()) as running:
            reply = await running.ask("team-a", "chat")

        assert reply.status == 200
        assert len(pools.first.seen) == 3
        assert len({seen.body for seen in pools.first.seen}) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(hang_up, id="a connection that ends"),
            pytest.param(
                plain(404, "?", content_type="text/plain; charset=utf-8"), id="a model's own 404"
            ),
        ],
    )
    async def test_what_reached_a_model_is_never_sent_again(
        self, tmp_path: Path, pools: Pools, answer: Answer
    ) -> None:
        pools.first.answer = answer
        async with serving(tmp_path, pools.namespaces()) as running:
            reply = await running.ask("team-a", "chat")

        assert reply.status in {404, 503}
        assert len(pools.first.seen) == 1

    async def test_metrics_are_few_and_the_admin_page_stays_hidden(
        self, gateway: ClusterGateway
    ) -> None:
        await gateway.ask("team-a", "chat")
        base = f"http://127.0.0.1:{gateway.settings.metrics.port}"
        async with gateway.client.get(f"{base}/metrics") as answer:
            text = await answer.text()
        statuses = set()
        for path in ("/", "/stats", "/config_dump", "/metrics/../quitquitquit"):
            async with gateway.client.post(base + path) as answer:
                statuses.add(answer.status)

        pool = [line for line in text.splitlines() if "_8000" in line or "127_0_0_1" in line]
        assert any(line.startswith("envoy_cluster_upstream_rq_xx") for line in pool)
        assert 0 < len(pool) <= 3 * 15
        assert statuses == {404}


class TestAdmission:
    @pytest.mark.parametrize("source", ["127.0.0.2", "127.0.9.77"])
    async def test_an_admitted_address_is_answered(
        self, guarded: ClusterGateway, source: str
    ) -> None:
        assert (await guarded.ask("team-a", "chat", source=source)).status == 200

    @pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.3", "127.0.8.77"])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/team-a/v1/chat/completions"),
            ("POST", "/team-a/chat/v1/chat/completions"),
            ("GET", "/team-a/v1/models"),
            ("GET", "/team-a/health"),
            ("GET", "/team-a/anything"),
            ("GET", "//team-a/v1/models"),
            ("GET", "/team-b/%2e%2e/team-a/v1/models"),
            ("GET", "/team-a/v1/models?x=/team-b/"),
        ],
    )
    async def test_any_other_is_told_what_would_admit_it(
        self, guarded: ClusterGateway, pools: Pools, source: str, method: str, path: str
    ) -> None:
        headers = {"x-forwarded-for": "127.0.0.2", "x-real-ip": "127.0.0.2"}
        reply = await guarded.request(
            method, path, source=source, json={"model": "chat"}, headers=headers
        )

        assert (reply.status, reply.error["code"]) == (403, "namespace_forbidden")
        assert reply.error["type"] == "permission_error"
        assert source in reply.error["message"]
        assert "`gateway.allowFrom`" in reply.error["message"]
        assert [pool.seen for pool in pools.all] == [[], [], []]

    async def test_what_a_pool_forbids_is_not_the_gateways_doing(
        self, guarded: ClusterGateway, pools: Pools
    ) -> None:
        pools.other.answer = plain(403, "not with this prompt")
        reply = await guarded.ask("team-b", "chat")

        assert (reply.status, reply.error["code"]) == (403, "forbidden")
        assert reply.error["message"] == "not with this prompt"

    async def test_other_namespaces_and_unknown_ones_are_as_before(
        self, guarded: ClusterGateway
    ) -> None:
        assert (await guarded.ask("team-b", "chat", source="127.0.0.3")).status == 200
        assert (await guarded.ask("team-c", "chat", source="127.0.0.3")).status == 404

    @pytest.mark.parametrize(("admitted", "status"), [(True, 200), (False, 403)])
    async def test_loopback_is_admitted_where_the_setting_says_so(
        self, tmp_path: Path, pools: Pools, admitted: bool, status: int
    ) -> None:
        namespaces = pools.namespaces(admitted=())
        async with serving(tmp_path, namespaces, admit_loopback=admitted) as running:
            reply = await running.ask("team-a", "chat")

        assert reply.status == status


async def until_stat(gateway: ClusterGateway, name: str, at_least: int) -> None:
    """Wait until Envoy has counted so many."""
    url = f"http://127.0.0.1:{gateway.settings.admin.port}/stats"
    found = 0
    async with asyncio.timeout(10):
        while found < at_least:
            async with gateway.client.get(url, params={"filter": f"^{name}$"}) as answer:
                found = int((await answer.text()).rpartition(": ")[2] or 0)
            await asyncio.sleep(0.02)
