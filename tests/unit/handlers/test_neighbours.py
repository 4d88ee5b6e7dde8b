"""What the hub tells agents: facts in step, a certificate for who asks, and no more than that."""

import base64
import datetime
import logging
from collections import Counter
from typing import Any, ClassVar

import pytest

from builders.clusters import declared
from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi
from builders.placements import HASH, placed_status
from builders.pool_values import placement_of
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.certificates import Pair, make_authority, make_request, why_renew
from smallmodel_operator.clusters.ref import CONFIGMAPS
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.neighbours import Neighbours
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.config_map import entries_of
from smallmodel_operator.plan.gateway.told import Told, read_told

SYSTEM = "smallmodel-system"
MAP = CONFIGMAPS.ref("smallmodel-neighbours", "slm-cluster-edge").path
CA = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-gateway-ca"
EDGE = "edge.hub-1.gateway.smallmodel.dev"


class FakeLinks:
    """Which agents call, and what they ask for."""

    def __init__(self) -> None:
        self.heard = {"edge"}
        self.requests: dict[str, str] = {}

    def hears(self, name: str) -> bool:
        return name in self.heard

    def gateway_request(self, name: str) -> str | None:
        return self.requests.get(name)


class Hub:
    """A hub with one cluster whose agent calls."""

    def __init__(self, api: Api, kube: FakeKubeApi) -> None:
        self.kube = kube
        self.clock = FakeClock()
        self.stores = HubStores(hub_id="hub-1")
        self.links = FakeLinks()
        self.certificates = Certificates(api, SYSTEM, "hub-1")
        self.neighbours = Neighbours(
            api=api,
            stores=self.stores,
            certificates=self.certificates,
            links=self.links,
            conflicts=Counter(),
            clock=self.clock,
        )
        self.stores.clusters["edge"] = declared("edge", connection={"mode": "Pull"})
        self.stores.clusters["munich"] = declared(
            "munich", gateway={"address": "https://munich.example.com:8443"}
        )
        kube.put(
            MAP, {"metadata": {"name": "smallmodel-neighbours", "namespace": "slm-cluster-edge"}}
        )

    def later(self, seconds: float = 1) -> None:
        """Have time pass."""
        self.clock.turn(seconds)

    def place(self, cluster: str, name: str = "chat") -> None:
        """Have a copy answer there."""
        copy = placement_of(cluster=cluster, name=name)
        status = placed_status(verified_hash=HASH)
        there = self.stores.placements_on(cluster)
        there.by_model["team-a", name] = copy.model_copy(update={"status": status})
        there.changes += 1

    @property
    def entries(self) -> dict[str, bytes]:
        return entries_of(self.kube.objects[MAP])

    @property
    def said(self) -> Told:
        said = read_told(self.entries)
        assert said is not None
        return said

    @property
    def writes(self) -> int:
        return sum(one.method == "PATCH" and one.path == MAP for one in self.kube.seen)


@pytest.fixture
def hub(api: Api, kube: FakeKubeApi) -> Hub:
    return Hub(api, kube)


def asks(hub: Hub) -> Pair:
    made = make_request(EDGE)
    hub.links.requests["edge"] = made.certificate.decode()
    return made


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def test_an_agent_is_told_where_models_answer(hub: Hub) -> None:
    hub.place("munich")
    await hub.neighbours.work("edge")

    [model] = hub.said.models
    assert [copy.cluster for copy in model.copies] == ["munich"]
    assert [one.name for one in hub.said.clusters] == ["edge", "munich"]
    assert "tls.crt" not in hub.entries
    assert b"BEGIN CERTIFICATE" in hub.entries["ca.crt"]


async def test_what_did_not_change_is_not_written_and_what_did_is(hub: Hub) -> None:
    await hub.neighbours.work("edge")
    calls = len(hub.kube.seen)
    await hub.neighbours.work("edge")
    assert len(hub.kube.seen) == calls, "nobody is asked"

    hub.place("munich")
    hub.later()
    await hub.neighbours.work("edge")
    assert hub.writes == 2
    assert hub.said.models


async def test_facts_that_come_at_once_are_told_together(hub: Hub) -> None:
    await hub.neighbours.work("edge")
    hub.place("munich")
    assert await hub.neighbours.work("edge") == 1
    assert hub.said.models == (), "a second is not over"
    hub.later()
    assert (await hub.neighbours.work("edge") or 0) > 200
    assert hub.said.models


async def test_it_is_looked_at_again_though_nothing_changes(hub: Hub) -> None:
    await hub.neighbours.work("edge")
    hub.later()
    assert 200 < (await hub.neighbours.work("edge") or 0) < 300
    hub.kube.objects[MAP]["binaryData"] = {}
    hub.later(300)
    await hub.neighbours.work("edge")
    assert hub.said.clusters


async def test_another_address_is_told(hub: Hub) -> None:
    await hub.neighbours.work("edge")
    hub.stores.clusters["munich"] = declared("munich", gateway={"address": "https://new:443"})
    hub.later()
    await hub.neighbours.work("edge")

    assert hub.said.clusters[1].gateway == "https://new:443"


async def test_who_asks_gets_a_certificate_for_its_own_name_and_once(hub: Hub) -> None:
    made = make_request("munich.hub-1.gateway.smallmodel.dev")
    hub.links.requests["edge"] = made.certificate.decode()
    await hub.neighbours.work("edge")

    leaf = Pair(certificate=hub.entries["tls.crt"], key=made.key)
    assert why_renew(leaf, hub.entries["ca.crt"], EDGE, now()) is None
    assert "edge" in hub.certificates.issued
    again = Neighbours(
        api=hub.neighbours._api,
        stores=hub.stores,
        certificates=hub.certificates,
        links=hub.links,
        conflicts=Counter(),
    )
    await again.work("edge")
    assert hub.writes == 1, "another process of the operator has nothing to do"
    hub.links.requests.clear()
    await again.work("edge")
    assert hub.entries["tls.crt"] == leaf.certificate


async def test_another_request_is_another_certificate(hub: Hub) -> None:
    asks(hub)
    await hub.neighbours.work("edge")
    made = asks(hub)
    await hub.neighbours.work("edge")

    leaf = Pair(certificate=hub.entries["tls.crt"], key=made.key)
    assert why_renew(leaf, hub.entries["ca.crt"], EDGE, now()) is None


async def test_with_another_authority_it_is_signed_anew(hub: Hub) -> None:
    made = asks(hub)
    await hub.neighbours.work("edge")
    other = make_authority("hub-1", now())
    hub.kube.objects[CA]["data"] = {
        "tls.crt": base64.b64encode(other.certificate).decode(),
        "tls.key": base64.b64encode(other.key).decode(),
    }
    hub.place("munich")
    hub.later()
    await hub.neighbours.work("edge")

    leaf = Pair(certificate=hub.entries["tls.crt"], key=made.key)
    assert hub.entries["ca.crt"] == other.certificate
    assert why_renew(leaf, other.certificate, EDGE, now()) is None


class TestWhatIsWrong:
    bad: ClassVar = {
        "no request": "hello",
        "one that somebody cut": make_request(EDGE).certificate.decode()[:200],
    }

    @pytest.mark.parametrize("case", bad)
    async def test_a_bad_request_is_told_once_and_holds_up_nothing_else(
        self, hub: Hub, case: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        hub.links.requests["edge"] = self.bad[case]
        hub.place("munich")
        with caplog.at_level(logging.WARNING):
            await hub.neighbours.work("edge")
            await hub.neighbours.work("edge")

        [told] = [one.getMessage() for one in caplog.records]
        assert told.startswith("cluster edge: its gateway gets no certificate: the request")
        assert hub.said.models
        assert "tls.crt" not in hub.entries

    async def test_a_damaged_authority_takes_no_certificate_away(self, hub: Hub) -> None:
        asks(hub)
        await hub.neighbours.work("edge")
        before = hub.entries["tls.crt"]
        hub.kube.objects[CA]["data"] = {}
        hub.place("munich")
        hub.later()
        assert await hub.neighbours.work("edge") == 60

        assert hub.entries["tls.crt"] == before
        assert hub.said.models

    async def test_a_cluster_of_before_is_to_be_joined_again(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        del hub.kube.objects[MAP]
        with caplog.at_level(logging.WARNING):
            await hub.neighbours.work("edge")
            await hub.neighbours.work("edge")

        [told] = [one.getMessage() for one in caplog.records]
        assert "run `slm cluster join edge --mode pull` again" in told
        assert MAP not in hub.kube.objects

    async def test_an_agent_that_does_not_call_is_told_nothing(self, hub: Hub) -> None:
        asks(hub)
        hub.links.heard.clear()
        hub.neighbours.lead()
        assert hub.neighbours.queue.depth == 0
        await hub.neighbours.work("edge")

        assert hub.kube.seen == []

    async def test_only_agents_are_told(self, hub: Hub) -> None:
        hub.links.heard.add("munich")
        hub.neighbours.lead()

        assert hub.neighbours.queue.is_wanted("edge")
        assert not hub.neighbours.queue.is_wanted("munich")

    async def test_what_somebody_writes_in_between_is_not_overwritten(self, hub: Hub) -> None:
        def meddle(_: Any) -> None:
            hub.kube.put(MAP, {**hub.kube.objects[MAP], "data": {"theirs": "x"}})

        # It is read, and so is the authority, which is made; then it is written.
        hub.kube.replies = [None, None, None, meddle]
        with pytest.raises(errors.Conflict):
            await hub.neighbours.work("edge")
        await hub.neighbours.work("edge")
        assert hub.said.clusters
        assert hub.entries["theirs"] == b"x"
