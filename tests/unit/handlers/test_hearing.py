"""What an agent is told of other gateways, and the certificate of its own: kept, and never lost."""

import base64
import datetime
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, fake_kube_api, refuse
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import Held, held_leaf, hold_leaf
from smallmodel_operator.clusters.certificates import (
    Pair,
    make_authority,
    make_leaf,
    sign_request,
    why_renew,
)
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.ref import CONFIGMAPS
from smallmodel_operator.handlers.agent_metrics import hearing_measures
from smallmodel_operator.handlers.told import Asker, Hearing
from smallmodel_operator.plan.gateway.told import Told, ToldCluster, told_entry

SYSTEM = "smallmodel-system"
ON_HUB = CONFIGMAPS.ref("smallmodel-neighbours", "slm-cluster-edge").path
COPY = CONFIGMAPS.ref("smallmodel-neighbours", SYSTEM).path
TLS = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-gateway-tls"
EDGE = "edge.hub-1.gateway.smallmodel.dev"
NOW = datetime.datetime.now(datetime.UTC)
AUTHORITY = make_authority("hub-1", NOW)
MUNICH = Told(clusters=(ToldCluster(name="munich"),))
PARIS = Told(clusters=(ToldCluster(name="paris"),))


class Edge:
    """An agent's ear, with the cluster and the hub as fake API servers."""

    def __init__(self, api: Api, kube: FakeKubeApi, hub_api: Api, hub: FakeKubeApi) -> None:
        self.api, self.kube, self.hub_api, self.hub = api, kube, hub_api, hub
        self.heard: list[Told] = []
        self.clock = FakeClock()
        self.restart()

    def restart(self) -> None:
        asker = Asker(cluster="edge", hub_id="hub-1", namespace=SYSTEM)
        self.hearing = Hearing(self.api, self.hub_api, asker, self.heard.append, clock=self.clock)

    def say(self, said: Told | None = MUNICH, **texts: bytes) -> None:
        """Have the hub say that."""
        binary = {"neighbours.json.gz": told_entry(said)} if said is not None else {}
        self.hub.put(
            ON_HUB,
            {
                "metadata": {"name": "smallmodel-neighbours", "namespace": "slm-cluster-edge"},
                "binaryData": {
                    name: base64.b64encode(one).decode() for name, one in binary.items()
                },
                "data": {name.replace("_", "."): one.decode() for name, one in texts.items()},
            },
        )

    def sign(self, signer: Pair = AUTHORITY, identity: str = EDGE) -> None:
        """Have the hub sign what the agent asks for."""
        request = self.hearing.request
        assert request is not None
        leaf = sign_request(signer, request.encode(), identity, NOW)
        self.say(tls_crt=leaf, ca_crt=signer.certificate)

    async def held(self) -> Held:
        return await held_leaf(self.api, SYSTEM)

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.hearing.look()


@pytest.fixture
async def edge(api: Api, kube: FakeKubeApi) -> AsyncIterator[Edge]:
    async with (
        fake_kube_api() as hub,
        Api.of(Credentials(server=hub.url, token="agent")) as hub_api,
    ):
        yield Edge(api, kube, hub_api, hub)


def measured(edge: Edge) -> dict[str, float]:
    samples = (sample for metric in hearing_measures(edge.hearing) for sample in metric.samples)
    return {sample.name: sample.value for sample in samples}


async def test_what_the_hub_says_is_taken_once_and_kept(edge: Edge) -> None:
    edge.say()
    await edge.look(3)
    assert edge.heard == [MUNICH]
    edge.say(PARIS)
    await edge.look()
    assert edge.heard == [MUNICH, PARIS]

    edge.restart()
    edge.heard.clear()
    await edge.hearing.recall()
    assert edge.heard == [PARIS]
    asked = len(edge.hub.seen)
    await edge.look()
    assert edge.heard == [PARIS], "it is known already"
    assert len(edge.hub.seen) == asked + 1
    assert edge.hearing.problem is None


async def test_a_damaged_copy_is_left_out_and_written_anew(edge: Edge) -> None:
    edge.kube.put(
        COPY,
        {"metadata": {"name": "x"}, "binaryData": {"neighbours.json.gz": "AAAA"}},
    )
    await edge.hearing.recall()
    assert edge.heard == []
    edge.say()
    await edge.look()
    edge.restart()
    await edge.hearing.recall()
    assert edge.heard == [MUNICH, MUNICH]


async def test_the_key_of_a_certificate_never_leaves_the_cluster(edge: Edge) -> None:
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look(2)
    request = edge.hearing.request
    assert request is not None
    assert request.startswith("-----BEGIN CERTIFICATE REQUEST-----")
    assert TLS not in edge.kube.objects, "a key without a certificate is of no use"
    await edge.look()
    assert edge.hearing.request == request

    edge.sign()
    await edge.look()
    held = await edge.held()
    assert why_renew(held.leaf, AUTHORITY.certificate, EDGE, NOW) is None
    assert held.trusted == AUTHORITY.certificate
    assert edge.hearing.request is None
    assert all(b"PRIVATE" not in str(one.body).encode() for one in edge.hub.seen)
    assert {one.method for one in edge.hub.seen} == {"GET"}


async def test_an_agent_that_restarts_goes_on_with_its_certificate(edge: Edge) -> None:
    await holds(edge, make_leaf(AUTHORITY, EDGE, NOW))
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.hearing.recall()
    assert edge.hearing.ends is not None, "without a word of the hub"
    await edge.look(3)

    assert edge.hearing.request is None
    assert sum(one.path == TLS and one.method == "GET" for one in edge.kube.seen) == 2


async def holds(edge: Edge, leaf: Pair, trusted: bytes = AUTHORITY.certificate) -> None:
    await hold_leaf(edge.api, SYSTEM, Held(leaf=leaf, trusted=trusted))


async def test_a_certificate_that_somebody_deletes_is_missed_within_an_hour(edge: Edge) -> None:
    await holds(edge, make_leaf(AUTHORITY, EDGE, NOW))
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look()
    del edge.kube.objects[TLS]
    await edge.look()
    assert edge.hearing.request is None
    edge.clock.turn(3600)
    await edge.look()
    assert edge.hearing.request is not None
    assert edge.hearing.ends is None


OLD = NOW - datetime.timedelta(days=89)
OTHER = make_authority("hub-1", NOW)
NEED = {
    "it ends soon": (make_leaf(AUTHORITY, EDGE, OLD), AUTHORITY.certificate),
    "it has ended": (
        make_leaf(AUTHORITY, EDGE, NOW - datetime.timedelta(days=200)),
        AUTHORITY.certificate,
    ),
    "it is of another authority": (make_leaf(OTHER, EDGE, NOW), OTHER.certificate),
    "it is damaged": (Pair(certificate=b"x", key=b"y"), AUTHORITY.certificate),
    "its authority is not beside it": (make_leaf(AUTHORITY, EDGE, NOW), b""),
}


@pytest.mark.parametrize("case", NEED)
async def test_another_certificate_is_asked_for_and_the_old_one_stays_until_then(
    edge: Edge, case: str
) -> None:
    leaf, trusted = NEED[case]
    await holds(edge, leaf, trusted)
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look(2)
    assert edge.hearing.request is not None
    assert (await edge.held()).leaf == leaf

    edge.sign()
    await edge.look()
    assert why_renew((await edge.held()).leaf, AUTHORITY.certificate, EDGE, NOW) is None
    assert edge.hearing.ends is not None
    assert edge.hearing.ends > NOW


async def test_a_certificate_that_is_not_what_was_asked_for_is_not_taken(edge: Edge) -> None:
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look()
    edge.sign(identity=EDGE.replace("edge", "paris"))
    await edge.look()
    assert TLS not in edge.kube.objects, "it has another name"
    edge.say(tls_crt=make_leaf(AUTHORITY, EDGE, NOW).certificate, ca_crt=AUTHORITY.certificate)
    await edge.look()
    assert TLS not in edge.kube.objects, "its key is not here"
    edge.say(tls_crt=b"damaged", ca_crt=AUTHORITY.certificate)
    await edge.look()
    assert TLS not in edge.kube.objects
    edge.sign()
    await edge.look()
    assert TLS in edge.kube.objects


BAD: dict[str, tuple[Callable[[Edge], object], str]] = {
    "it is not there": (lambda edge: edge.hub.objects.clear(), "the hub has no ConfigMap"),
    "a role of before": (
        lambda edge: edge.hub.replies.append(refuse(403, "Forbidden")),
        "run `slm cluster join edge --mode pull` again",
    ),
    "it is cut": (
        lambda edge: edge.hub.objects[ON_HUB]["binaryData"].update({"neighbours.json.gz": "AAAA"}),
        "neighbours.json.gz cannot be read",
    ),
    "it is no base64": (
        lambda edge: edge.hub.objects[ON_HUB]["binaryData"].update({"neighbours.json.gz": "!"}),
        "binaryData is not base64",
    ),
    "its authority is damaged": (
        lambda edge: edge.hub.objects[ON_HUB]["data"].update({"ca.crt": "x"}),
        "the certificate is no PEM",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_is_told_once_and_takes_nothing_away(
    edge: Edge, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    do, why = BAD[case]
    leaf = make_leaf(AUTHORITY, EDGE, NOW)
    await holds(edge, leaf)
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look()
    assert measured(edge)["smallmodel_agent_neighbours_unusable"] == 0

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            do(edge)
            await edge.look()
    assert edge.hearing.problem is not None
    assert why in edge.hearing.problem
    assert len(caplog.records) == 1
    assert edge.heard == [MUNICH]
    assert (await edge.held()).leaf == leaf
    assert measured(edge)["smallmodel_agent_neighbours_unusable"] == 1
    assert measured(edge)["smallmodel_agent_gateway_certificate_end_timestamp_seconds"] > 0

    edge.hub.replies.clear()
    edge.say(ca_crt=AUTHORITY.certificate)
    await edge.look()
    assert edge.hearing.problem is None


async def test_a_hub_that_is_away_is_no_problem_of_this(edge: Edge) -> None:
    edge.say()
    await edge.look()
    edge.hub.replies = [refuse(503)] * 9
    await edge.look()
    assert edge.heard == [MUNICH]
