"""The hub listens to agents, by its own clock: it calls nobody, and takes nothing old for alive."""

from collections.abc import AsyncIterator

import pytest

from builders.fake_kube_api import refuse
from builders.linked_clusters import Linked, agent_lease_path, linked
from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.api.reasons import Reason


@pytest.fixture
async def hub() -> AsyncIterator[Linked]:
    """A hub with no cluster but its own."""
    async with linked() as made:
        yield made


def condition(hub: Linked, kind: str = "Connected") -> str:
    return next(one.status for one in hub.cluster("edge").status.conditions if one.type == kind)


async def heard(hub: Linked, name: str = "edge", *, uid: str = "uid-edge") -> None:
    """Have a cluster be there whose agent calls."""
    hub.pull(name)
    hub.beat(name, uid=uid)
    await hub.look()
    hub.beat(name, uid=uid)
    await hub.look()


async def beats(hub: Linked, times: int) -> None:
    for _ in range(times):
        hub.beat("edge")
        await hub.look()


async def test_the_hub_makes_the_namespace_that_the_agent_reads(hub: Linked) -> None:
    hub.pull("edge")
    await hub.look()
    namespace = hub.hub.objects["/api/v1/namespaces/slm-cluster-edge"]
    assert namespace["metadata"]["labels"]["smallmodel.dev/hub"] == "hub-1"
    assert condition(hub) == "Unknown"
    assert not hub.links.hears("edge")


async def test_an_agent_that_never_called_is_not_lost(hub: Linked) -> None:
    hub.pull("edge")
    await hub.look(6)
    assert hub.link("edge").state is None
    assert condition(hub) == "Unknown"


async def test_a_lease_that_changes_is_an_agent_that_calls(hub: Linked) -> None:
    await heard(hub)
    assert hub.said("edge") == (LinkState.CONNECTED, Reason.CONNECTED)
    assert hub.cluster("edge").status.link is not None
    assert hub.link("edge").uid == "uid-edge"
    assert hub.links.hears("edge")
    assert hub.told == [("heard", "")]


async def test_a_lease_from_before_proves_nothing(hub: Linked) -> None:
    hub.beat("edge")
    hub.pull("edge")
    await hub.look(4)
    assert not hub.links.hears("edge")
    assert condition(hub) == "Unknown"


async def test_a_lease_that_no_agent_wrote_is_none(hub: Linked) -> None:
    await heard(hub, uid="")
    assert not hub.links.hears("edge")


async def test_silence_is_a_loss_after_a_while_and_not_before(hub: Linked) -> None:
    await heard(hub)
    await hub.look(3)
    assert hub.links.hears("edge")
    await hub.look()
    assert hub.said("edge") == (LinkState.UNREACHABLE, Reason.UNREACHABLE)
    assert not hub.links.hears("edge")
    assert condition(hub) == "False"


async def test_an_agent_that_comes_back_is_heard_after_three_heartbeats(hub: Linked) -> None:
    await heard(hub)
    await hub.look(4)
    await beats(hub, 2)
    assert not hub.links.hears("edge")
    await beats(hub, 1)
    assert hub.links.hears("edge")
    assert hub.told == [("heard", ""), ("heard", "")]


async def test_a_hub_that_restarts_knows_that_the_agent_was_lost(hub: Linked) -> None:
    await heard(hub)
    await hub.look(4)
    await hub.close()
    hub.restart()
    hub.see("edge")
    await hub.look(3)
    assert hub.said("edge")[0] == LinkState.UNREACHABLE
    assert not hub.links.hears("edge")


async def test_a_hub_that_restarts_believes_no_lease_of_before(hub: Linked) -> None:
    await heard(hub)
    await hub.close()
    hub.restart()
    hub.see("edge")
    await hub.look(1)
    assert hub.said("edge")[0] == LinkState.CONNECTED
    assert not hub.links.hears("edge")
    await beats(hub, 1)
    assert hub.links.hears("edge")


async def test_what_the_hub_itself_cannot_read_says_nothing_of_the_agent(hub: Linked) -> None:
    await heard(hub)
    for _ in range(4):
        hub.hub.replies = [refuse(403)]
        await hub.look()
    assert hub.said("edge")[0] == LinkState.CONNECTED


async def test_two_agents_in_one_cluster_are_told_apart_from_two_clusters(hub: Linked) -> None:
    await heard(hub)
    hub.pull("copy")
    for _ in range(3):
        hub.beat("edge")
        hub.beat("copy")
        await hub.look()

    assert hub.said("copy") == (LinkState.CREDENTIAL_ERROR, Reason.DUPLICATE_CLUSTER)
    assert hub.said("edge")[0] == LinkState.CONNECTED
    assert not hub.links.hears("copy")


async def test_a_stolen_name_is_another_cluster(hub: Linked) -> None:
    await heard(hub)
    for _ in range(3):
        hub.beat("edge", uid="uid-thief")
        await hub.look()
    assert hub.said("edge") == (LinkState.CREDENTIAL_ERROR, Reason.ANOTHER_CLUSTER)
    assert not hub.links.hears("edge")


async def test_the_hub_asks_the_agents_cluster_nothing(hub: Linked) -> None:
    await heard(hub)
    asked = {one.path for one in hub.hub.seen if "lease" in one.path}
    assert asked == {agent_lease_path("edge")}
    assert hub.apis == {}


async def test_what_an_accepted_agent_asks_for_its_gateway_is_told_once(hub: Linked) -> None:
    await heard(hub)
    assert hub.links.gateway_request("edge") is None
    for _ in range(2):
        hub.beat("edge", request="csr")
        await hub.look()
    assert hub.links.gateway_request("edge") == "csr"
    hub.beat("edge")
    await hub.look()
    assert hub.links.gateway_request("edge") is None
    assert hub.told == [("heard", ""), ("asked", "edge"), ("asked", "edge")]
    assert hub.links.gateway_request("nobody") is None


async def test_a_stolen_name_asks_in_vain(hub: Linked) -> None:
    await heard(hub)
    for _ in range(3):
        hub.beat("edge", uid="uid-thief", request="csr")
        await hub.look()
        assert hub.links.gateway_request("edge") is None


async def test_what_was_asked_before_the_agent_was_lost_is_not_answered(hub: Linked) -> None:
    await heard(hub)
    hub.beat("edge", request="csr")
    await hub.look(5)
    assert not hub.links.hears("edge")
    assert hub.links.gateway_request("edge") is None
