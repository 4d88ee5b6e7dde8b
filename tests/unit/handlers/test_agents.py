"""What the hub does for clusters whose agents call: it decides by their word, and lets go by it."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from builders.clusters import node, view
from builders.fake_kube_api import FakeKubeApi, fake_kube_api
from builders.pool_values import placement_of
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import FINALIZER, LABEL_HUB
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.ref import MODELPLACEMENTS
from smallmodel_operator.handlers.agents import Agents
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.cluster_values import Node
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.status.capacity import capacity_of

KEY = ("team-a", "chat")


class Hub:
    """A hub that hears the agents of these clusters."""

    def __init__(self, kube: FakeKubeApi, api: Api) -> None:
        self.kube = kube
        self.stores = HubStores(hub_id="hub-1")
        self.heard = {"edge"}
        self.agents = Agents(
            api=api,
            stores=self.stores,
            hears=self.heard.__contains__,
            conflicts=Counter(),
        )

    def declare(self, *nodes: Node, mode: str = "Pull", told: bool = True) -> None:
        """Have a ModelCluster, of which its agent told this room."""
        connection: dict[str, Any] = {"mode": mode}
        if mode == "Push":
            connection["kubeconfigSecretRef"] = {"name": "edge"}
        room = capacity_of(view(*nodes)).model_dump(mode="json", by_alias=True)
        manifest = {
            "metadata": {"name": "edge"},
            "spec": {"connection": connection},
            "status": {"capacity": room} if told else {},
        }
        self.stores.take_cluster(ModelCluster.model_validate(manifest))

    def place(self, *, ended: bool = True, deleted: bool = True, held: bool = True) -> str:
        """Have a placement on it, and return its path."""
        made = placement_of(
            "chat",
            namespace=KEY[0],
            cluster="edge",
            metadata={
                "namespace": "slm-cluster-edge",
                "labels": {LABEL_HUB: "hub-1"},
                "finalizers": [FINALIZER, "others/own"] if held else ["others/own"],
            },
        )
        manifest = placement_manifest(made)
        if deleted:
            manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        path = MODELPLACEMENTS.ref(made.metadata.name, "slm-cluster-edge").path
        live = self.kube.put(path, {**manifest, "status": {"ended": ended}})
        self.stores.see_placement(live, gone=False)
        return path

    async def work(self) -> None:
        """Have the queue do what it was told."""
        self.agents.see("edge", KEY)
        while self.agents.queue.depth:
            await self.agents.queue._work(self.agents.queue._next())


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub."""
    async with fake_kube_api() as kube, Api.of(Credentials(server=kube.url, token="hub")) as api:
        yield Hub(kube, api)


async def test_a_cluster_is_seen_as_its_agent_tells_it(hub: Hub) -> None:
    hub.declare(node("a", free_cpu_cores=1.0))
    (found,) = hub.agents.views().values()
    assert (found.name, found.nodes[0].free_cpu_cores) == ("edge", 1.0)


async def test_the_same_room_is_the_same_view_and_another_is_another(hub: Hub) -> None:
    hub.declare(node("a"))
    first = hub.agents.views()["edge"]
    hub.declare(node("a"))
    assert hub.agents.views()["edge"] is first
    hub.declare(node("b"))
    assert hub.agents.views()["edge"] is not first


async def test_one_that_is_not_heard_or_told_nothing_yet_is_not_seen(hub: Hub) -> None:
    hub.declare(told=False)
    assert hub.agents.views() == {}
    hub.declare()
    hub.heard.clear()
    assert hub.agents.views() == {}


async def test_one_that_the_hub_calls_is_none_of_them(hub: Hub) -> None:
    hub.declare(mode="Push")
    assert hub.agents.views() == {}
    path = hub.place()
    await hub.work()
    assert FINALIZER in hub.kube.objects[path]["metadata"]["finalizers"]


async def test_a_placement_goes_when_its_agent_says_that_nothing_is_left(hub: Hub) -> None:
    hub.declare()
    path = hub.place()
    await hub.work()
    assert hub.kube.objects[path]["metadata"]["finalizers"] == ["others/own"]


STAYS: dict[str, dict[str, bool]] = {
    "the agent did not say so": {"ended": False},
    "nobody deleted it": {"deleted": False},
    "it was let go": {"held": False},
}


@pytest.mark.parametrize("case", STAYS.values(), ids=STAYS)
async def test_anything_else_is_left_alone(hub: Hub, case: dict[str, bool]) -> None:
    hub.declare()
    hub.place(**case)
    await hub.work()
    assert [one for one in hub.kube.seen if one.method == "PATCH"] == []


async def test_a_placement_of_an_unknown_cluster_is_left_alone(hub: Hub) -> None:
    hub.place()
    await hub.work()
    assert hub.kube.seen == []
