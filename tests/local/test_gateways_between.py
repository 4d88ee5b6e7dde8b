"""Two clusters' gateways, each a real Envoy: what one leads to the other, and whom it lets in."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from builders.clusters import declared
from builders.placements import HASH, placed_status
from builders.plan_values import gateway_model, namespace_routes, routed_model
from builders.pool_values import placement_of
from smallmodel_operator.api.names import gateway_identity
from smallmodel_operator.clusters.certificates import (
    Pair,
    make_leaf,
    make_request,
    sign_request,
)
from smallmodel_operator.handlers.routes import ModelRoutes
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import (
    EVERYONE,
    NamespaceRoutes,
    Peer,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.told import TOLD_ENTRY, read_told, told, told_entry
from smallmodel_operator.plan.gateway.values import Endpoint
from support.free_ports import free_port
from support.gateway_pair import AUTHORITY, HUB, NOW, OTHER_AUTHORITY, Site
from support.mock_upstream import Stream, plain
from support.waiting import eventually

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]

PATH = "/team-a/v1/chat/completions"


def elsewhere(*peers: Peer, name: str = "chat", pool: Site | None = None) -> NamespaceRoutes:
    leaving = Endpoint(address="127.0.0.1", port=pool.pool.port) if pool else None
    routed = RoutedModel(model=gateway_model(name), elsewhere=peers, leaving=leaving)
    return namespace_routes("team-a", routed)


def here(site: Site, *names: str) -> NamespaceRoutes:
    return namespace_routes(
        "team-a", *(routed_model(name, site.pool.port) for name in names or ("chat",))
    )


class Two:
    """Where clients ask, and where models are served."""

    def __init__(self, folder: Path) -> None:
        self.asked = Site("asked", folder / "asked")
        self.serving = Site("serving", folder / "serving")

    async def start(self) -> None:
        # What leads nowhere else needs a pool that is known before it listens.
        await self.asked.pool.start()
        await self.serving.pool.start()
        for site in (self.asked, self.serving):
            await site.pool.stop()
        await self.serving.start([self.asked], here(self.serving))
        await self.asked.start([self.serving], elsewhere(self.serving.peer))

    async def renew(self) -> None:
        """Be as just started."""
        for site in (self.asked, self.serving):
            await site.pool.renew()
            site.certify()
        await self.serving.lead(here(self.serving))
        await self.asked.lead(elsewhere(self.serving.peer))

    async def stop(self) -> None:
        for site in (self.asked, self.serving):
            await site.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    found = Two(tmp_path_factory.mktemp("between"))
    await found.start()
    yield found
    await found.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def two(running: Two) -> Two:
    """The module's two, as if they had just been started."""
    await running.renew()
    return running


class TestLeading:
    async def test_a_request_reaches_the_pool_of_the_other_cluster(self, two: Two) -> None:
        by_body = await two.asked.gateway.ask("team-a", "chat@tuned")
        by_path = await two.asked.gateway.request("POST", "/team-a/chat/v1/completions?a=b")

        assert by_body.json == {"path": "/chat/v1/chat/completions"}
        assert by_path.json == {"path": "/chat/v1/completions"}
        assert [seen.path for seen in two.serving.pool.seen] == [
            "/chat/v1/chat/completions",
            "/chat/v1/completions?a=b",
        ]
        first = two.serving.pool.seen[0]
        assert json.loads(first.body) == {"model": "chat@tuned"}
        assert first.headers["x-request-timeout-seconds"] == "300"

    async def test_each_event_of_a_stream_arrives_before_the_next_is_sent(self, two: Two) -> None:
        two.serving.pool.answer = stream = Stream()
        stream.events.put_nowait("0")
        gateway = two.asked.gateway
        async with gateway.client.post(gateway.url + PATH, json={"model": "chat"}) as answer:
            for number in range(20):
                line = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
                assert line == f"data: {number}\n\n".encode()
                stream.events.put_nowait(str(number + 1) if number < 19 else None)
            assert await answer.content.read() == b""

    async def test_a_client_that_leaves_ends_the_request_at_the_pool(self, two: Two) -> None:
        two.serving.pool.answer = stream = Stream()
        stream.events.put_nowait("0")
        gateway = two.asked.gateway
        async with gateway.client.post(gateway.url + PATH, json={"model": "chat"}) as answer:
            await answer.content.readuntil(b"\n\n")
            answer.close()
            stream.events.put_nowait("1")
            await asyncio.wait_for(two.serving.pool.abandoned.wait(), 5)

    async def test_errors_have_the_same_form_and_are_not_sent_again(self, two: Two) -> None:
        two.serving.pool.answer = plain(500, "it broke", content_type="text/plain; charset=utf-8")
        broken = await two.asked.gateway.ask("team-a", "chat")
        too_large = await two.asked.gateway.request(
            "POST", PATH, data=io.BytesIO(b"x" * (33 * 2**20))
        )

        assert (broken.status, broken.error["message"]) == (500, "it broke")
        assert too_large.status == 413
        assert "32 MiB" in too_large.error["message"]
        assert len(two.serving.pool.seen) == 1

    async def test_requests_wait_there_for_a_pool_that_starts(self, two: Two) -> None:
        await two.serving.pool.stop()
        asked = [asyncio.ensure_future(two.asked.gateway.ask("team-a", "chat")) for _ in range(8)]
        await asyncio.wait(asked, timeout=1)
        assert not any(one.done() for one in asked)
        await two.serving.pool.start()

        assert {(await one).status for one in asked} == {200}

    async def test_connections_are_used_again(self, two: Two) -> None:
        before = await stat(two.asked, "cluster.gateways_serving.upstream_rq_2xx")
        for _ in range(20):
            assert (await two.asked.gateway.ask("team-a", "chat")).status == 200

        assert await stat(two.asked, "cluster.gateways_serving.upstream_rq_2xx") == before + 20
        assert await stat(two.serving, "http.gateways.downstream_cx_active") == 1


class TestUnreachable:
    async def test_a_gateway_that_is_away_is_named(self, two: Two) -> None:
        away = Peer(
            cluster="munich",
            address=Endpoint(address="127.0.0.1", port=free_port()),
            identity=gateway_identity("munich", HUB),
        )
        await two.asked.lead(elsewhere(away))
        reply = await two.asked.gateway.ask("team-a", "chat")

        assert (reply.status, reply.error["code"]) == (503, "GatewayUnreachable")
        assert "another cluster (munich)" in reply.error["message"]
        assert reply.headers["retry-after"]

    async def test_another_copy_answers_where_one_is_away(self, two: Two) -> None:
        away = Peer(
            cluster="munich",
            address=Endpoint(address="127.0.0.1", port=free_port()),
            identity=gateway_identity("munich", HUB),
        )
        await two.asked.lead(elsewhere(away, two.serving.peer))
        asked = [two.asked.gateway.ask("team-a", "chat") for _ in range(20)]

        assert {one.status for one in await asyncio.gather(*asked)} == {200}

    async def test_who_shows_the_name_of_another_cluster_is_not_asked(self, two: Two) -> None:
        impostor = Peer(
            cluster="munich",
            address=two.serving.peer.address,
            identity=gateway_identity("munich", HUB),
        )
        await two.asked.lead(elsewhere(impostor))
        reply = await two.asked.gateway.ask("team-a", "chat")

        assert (reply.status, reply.error["code"]) == (503, "GatewayUnreachable")
        assert two.serving.pool.seen == []

    async def test_two_gateways_that_send_to_each_other_end_it_at_once(self, two: Two) -> None:
        await two.serving.lead(elsewhere(two.asked.peer))
        led = "http.gateways.downstream_rq_total"
        before = [await stat(site, led) for site in (two.asked, two.serving)]
        reply = await two.asked.gateway.ask("team-a", "chat")
        after = [await stat(site, led) for site in (two.asked, two.serving)]

        assert (reply.status, reply.error["code"]) == (503, "NotServedHere")
        assert "x-smallmodel-not-here" not in reply.headers
        assert [now - then for now, then in zip(after, before, strict=True)] == [0, 7]

    async def test_what_the_other_has_not_heard_of_yet_is_asked_again(self, two: Two) -> None:
        await two.serving.lead(here(two.serving, "other"))
        before = await stat(two.serving, "http.gateways.downstream_rq_total")
        asked = asyncio.ensure_future(two.asked.gateway.ask("team-a", "chat"))
        await until_stat(two.serving, "http.gateways.downstream_rq_total", before + 1)
        await two.serving.lead(here(two.serving))

        assert (await asked).status == 200


class TestWhoIsLetIn:
    async def test_a_known_gateway_is(self, two: Two, tmp_path: Path) -> None:
        leaf = make_leaf(AUTHORITY, gateway_identity("asked", HUB), NOW)

        assert (await two.serving.asked_as(leaf, tmp_path)).status == 200

    async def test_without_a_certificate_of_the_installation_nobody_is(
        self, two: Two, tmp_path: Path
    ) -> None:
        stranger = make_leaf(OTHER_AUTHORITY, gateway_identity("asked", HUB), NOW)
        for leaf in (None, stranger):
            with pytest.raises(aiohttp.ClientError):
                await two.serving.asked_as(leaf, tmp_path)
        assert two.serving.pool.seen == []

    async def test_a_gateway_that_is_not_known_is_told_so(self, two: Two, tmp_path: Path) -> None:
        leaf = make_leaf(AUTHORITY, gateway_identity("removed", HUB), NOW)
        reply = await two.serving.asked_as(leaf, tmp_path)

        assert (reply.status, reply.error["code"]) == (403, "gateway_forbidden")
        assert gateway_identity("removed", HUB) in reply.error["message"]

    async def test_a_gateway_gets_nothing_of_what_clients_get(
        self, two: Two, tmp_path: Path
    ) -> None:
        leaf = make_leaf(AUTHORITY, gateway_identity("asked", HUB), NOW)
        as_client = await two.serving.asked_as(leaf, tmp_path, host="example.com", path=PATH)
        unknown = await two.serving.asked_as(leaf, tmp_path, path="/team-b/chat/v1/completions")

        assert as_client.status == 403
        assert (unknown.status, unknown.error["code"]) == (503, "NotServedHere")

    async def test_a_client_gets_nothing_of_what_gateways_get(self, two: Two) -> None:
        reply = await two.serving.gateway.request(
            "POST",
            "/team-a/chat/v1/chat/completions",
            json={"model": "chat"},
            headers={"host": "gateways.smallmodel.dev"},
        )

        assert reply.status == 403
        assert two.serving.pool.seen == []


class TestCertificates:
    async def test_another_certificate_is_taken_under_a_running_stream(self, two: Two) -> None:
        two.serving.pool.answer = stream = Stream()
        stream.events.put_nowait("0")
        gateway, before = two.asked.gateway, two.serving.shown_certificate()
        async with gateway.client.post(gateway.url + PATH, json={"model": "chat"}) as answer:
            await answer.content.readuntil(b"\n\n")
            leaf = two.serving.certify()
            two.asked.certify()
            await eventually(
                lambda: two.serving.shown_certificate() != before, "the new one is shown"
            )
            assert two.serving.shown_certificate() == leaf.certificate
            for event in ("1", "2"):
                stream.events.put_nowait(event)
                line = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
                assert line == f"data: {event}\n\n".encode()
            stream.events.put_nowait(None)
            assert await answer.content.read() == b""

    @pytest.mark.parametrize(
        ("whose", "why"),
        [
            ("serving", "certificate_has_expired"),
            # Who refuses it says so by TLS 1.3 only after the asking side has gone on.
            ("asked", "(UC -)"),
        ],
    )
    async def test_one_that_has_ended_is_refused_and_the_client_is_told(
        self, two: Two, whose: str, why: str
    ) -> None:
        site: Site = getattr(two, whose)
        ended = make_leaf(AUTHORITY, gateway_identity(whose, HUB), NOW - timedelta(days=91))
        site.certify(ended)
        await eventually(lambda: shows(site) == ended.certificate, "the ended one is shown")
        # No connection to it is open yet.
        anew = replace(two.serving.peer, cluster=f"ended-{whose}")
        await two.asked.lead(elsewhere(anew))
        reply = await two.asked.gateway.ask("team-a", "chat")

        assert (reply.status, reply.error["code"]) == (503, "GatewayUnreachable")
        assert f"another cluster (ended-{whose})" in reply.error["message"]
        assert why in reply.error["message"]
        assert "when the certificates of both gateways end" in reply.error["message"]
        assert two.serving.pool.seen == []

        site.certify()
        await until_answered(two)

    async def test_a_gateway_starts_without_a_certificate_and_takes_it_later(
        self, two: Two, tmp_path: Path
    ) -> None:
        late = Site("late", tmp_path / "late")
        await late.pool.start()
        await late.pool.stop()
        late.gateway.files.write(late.gateway.build(here(late)))
        try:
            await late.gateway.start()
            leaf = late.certify()
            await eventually(lambda: shows(late) == leaf.certificate, "the certificate is shown")
        finally:
            await late.stop()


class TestBehindANat:
    """The asked gateway is that of a cluster which the hub cannot call."""

    async def test_what_the_hub_tells_and_signs_leads_a_request_to_another_cluster(
        self, two: Two
    ) -> None:
        identity = gateway_identity("asked", HUB)
        request = make_request(identity)
        signed = sign_request(AUTHORITY, request.certificate, identity, NOW)
        leaf = two.asked.certify(Pair(certificate=signed, key=request.key))
        await eventually(lambda: shows(two.asked) == leaf.certificate, "the signed one is shown")
        peers = two.serving.gateway.settings.peers
        served = declared("serving", gateway={"address": f"https://127.0.0.1:{peers.port}"})
        copy = placement_of(cluster="serving").model_copy(
            update={"status": placed_status(verified_hash=HASH)}
        )
        said = read_told({TOLD_ENTRY: told_entry(told([served], [copy]))})
        stores = HubStores(hub_id=HUB, of_agent=True, told=said)
        routes = ModelRoutes(stores, stores.placements_on("asked"), "asked", of_placements=True)

        await two.asked.lead(*routes.now(lambda _: EVERYONE))

        assert (await two.asked.gateway.ask("team-a", "chat")).status == 200
        assert [seen.path for seen in two.serving.pool.seen] == ["/chat/v1/chat/completions"]


class TestMoves:
    async def test_a_move_to_the_other_cluster_loses_no_request(self, two: Two) -> None:
        """The order of `reconcile/draining.py`: there first, then the route, the pool last."""
        await two.serving.lead(here(two.serving, "other"))
        await two.asked.lead(here(two.asked))
        statuses: list[int] = []
        ended = asyncio.Event()

        async def client() -> None:
            while not ended.is_set():
                statuses.append((await two.asked.gateway.ask("team-a", "chat")).status)

        clients = [asyncio.ensure_future(client()) for _ in range(8)]
        await until(lambda: len(two.asked.pool.seen) > 100)
        await two.serving.lead(here(two.serving))
        await two.asked.lead(elsewhere(two.serving.peer, pool=two.asked))
        await until(lambda: len(two.serving.pool.seen) > 100)
        at_the_switch = len(two.asked.pool.seen)
        await two.asked.lead(elsewhere(two.serving.peer))
        await two.asked.pool.stop()
        await until(lambda: len(two.serving.pool.seen) > 300)
        ended.set()
        await asyncio.gather(*clients)

        assert len(statuses) > 400
        assert {status: statuses.count(status) for status in set(statuses) - {200}} == {}
        assert len(two.asked.pool.seen) == at_the_switch

    async def test_a_gateway_that_has_not_heard_of_a_move_is_answered_by_what_leaves(
        self, two: Two
    ) -> None:
        await two.serving.lead(elsewhere(two.asked.peer, pool=two.serving))

        assert (await two.asked.gateway.ask("team-a", "chat")).status == 200
        assert len(two.serving.pool.seen) == 1


async def until(condition: object) -> None:
    assert callable(condition)
    await eventually(condition, "enough requests were answered", within=30)


def shows(site: Site) -> bytes | None:
    try:
        return site.shown_certificate()
    except OSError:
        return None


async def stat(site: Site, name: str) -> int:
    """What Envoy has counted."""
    url = f"http://127.0.0.1:{site.gateway.settings.admin.port}/stats"
    async with site.gateway.client.get(url, params={"filter": f"^{name}$"}) as answer:
        return int((await answer.text()).rpartition(": ")[2] or 0)


async def until_answered(two: Two) -> None:
    async with asyncio.timeout(20):
        while (await two.asked.gateway.ask("team-a", "chat")).status != 200:
            await asyncio.sleep(0.1)


async def until_stat(site: Site, name: str, at_least: int) -> None:
    async with asyncio.timeout(10):
        while await stat(site, name) < at_least:
            await asyncio.sleep(0.02)
