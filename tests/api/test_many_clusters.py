"""The decide loop among three clusters on a real API server, which has no nodes.

What the loop writes is really written: ModelPlacements in the namespace of each cluster. The test
writes what others would: ModelClusters with a link, and what serving clusters say of placements.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest

from builders.cards import CardBuilder
from builders.clusters import node, view
from builders.fake_clock import FakeClock
from builders.fake_hub import answering
from builders.pool_values import pool_settings
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import API_VERSION, FINALIZER, placement_namespace
from smallmodel_operator.api.smallmodel import CopyState, SmallModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    NAMESPACES,
    SMALLMODELS,
    Manifest,
)
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.objects import ObjectKey, key_of
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.status.state import find

pytestmark = pytest.mark.api

_CARD: Final = CardBuilder().build()
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_MINUTE: Final = 60.0
_DWELL: Final = 1800.0
PLACES: Final[dict[str, dict[str, Any]]] = {
    "local": {
        "tier": "Cloud",
        "jurisdiction": "US",
        "location": {"provider": "aws", "region": "us-east-1"},
        "prices": {"cpuHour": "0.5", "memoryGBHour": "0"},
    },
    "onprem": {
        "tier": "OnPrem",
        "jurisdiction": "DE",
        "location": {"site": "munich"},
        "prices": {"cpuHour": "1", "memoryGBHour": "0"},
    },
    "edge": {
        "tier": "Edge",
        "jurisdiction": "DE",
        "location": {"site": "hamburg"},
        "prices": {"cpuHour": "2", "memoryGBHour": "0"},
    },
}


class Hub:
    """The decide loop, told of its objects by lists, with a clock that the test turns."""

    def __init__(self, api: Api, namespace: str, names: dict[str, str]) -> None:
        self.api = api
        self.names = names
        """Of ModelClusters by what a test calls them: they belong to no namespace."""
        self.key: ObjectKey = (namespace, "chat")
        self.clock = FakeClock()
        self.began = datetime.now(UTC)
        self.views = {name: view(name=name) for name in names.values()}
        self.stores = HubStores(hub_id="hub")
        self.stores.cards[_CARD.metadata.name] = _CARD
        self.loop = ModelLoop(
            api=api,
            stores=self.stores,
            fetching=ClusterStores(placements=self.stores.placements_on("local")),
            events=EventWriter(Events(api, "by-hand")),
            settings=pool_settings(hub_id="hub"),
            url=lambda namespace, _: f"http://gateway/{namespace}/v1",
            now=self.now,
            views=self.seen,
            placed=lambda _: None,
            told=lambda _: None,
            clock=self.clock,
        )

    def now(self) -> str:
        passed = timedelta(seconds=self.clock.monotonic() - FakeClock().monotonic())
        return (self.began + passed).strftime(_TIME)

    def seen(self) -> dict[str, ClusterView]:
        return self.views

    async def declare(self, place: str, **changes: Any) -> None:
        """Have a cluster be there, connected and seen."""
        name = self.names[place]
        mode = "Local" if place == "local" else "Push"
        connection: dict[str, Any] = {"mode": mode}
        if mode == "Push":
            connection["kubeconfigSecretRef"] = {"name": name}
        manifest = {
            "apiVersion": API_VERSION,
            "kind": "ModelCluster",
            "metadata": {"name": name},
            "spec": {"connection": connection} | PLACES[place] | changes,
        }
        await self.api.apply(manifest)
        if place != "local":
            link = {"state": "Connected", "since": self.now(), "reason": "Connected"}
            fresh = {
                "type": "FactsFresh",
                "status": "True",
                "reason": "Observed",
                "lastTransitionTime": self.now(),
            }
            ref = MODELCLUSTERS.ref(name)
            await self.api.patch_status(ref, {"link": link, "conditions": [fresh]})
        if await self.api.get(NAMESPACES.ref(placement_namespace(name))) is None:
            metadata = {"name": placement_namespace(name)}
            await self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    async def ask(self, **spec: Any) -> None:
        await self._apply(SMALLMODELS.kind, "chat", {"model": _CARD.metadata.name} | spec)

    async def own(self, name: str, **spec: Any) -> None:
        """Have data be there."""
        await self._apply(DATASOURCES.kind, name, spec)

    async def work(self, passes: int = 3) -> None:
        """Let the loop work, and members finish what is deleted."""
        for _ in range(passes):
            await self._watch()
            await self.loop.work(self.key)
            for one in await self.placements():
                if one.metadata.deletion_timestamp:
                    ref = MODELPLACEMENTS.ref(one.metadata.name, one.metadata.namespace)
                    await self.api.merge_patch(ref, {"metadata": {"finalizers": []}})

    async def verify(self, place: str) -> None:
        """Have a serving cluster say that its copy answered."""
        there = await self.placements()
        one = next(p for p in there if p.spec.cluster == self.names[place])
        ref = MODELPLACEMENTS.ref(one.metadata.name, one.metadata.namespace)
        status = answering(one).status.model_dump(mode="json", exclude_none=True, by_alias=True)
        await self.api.patch_status(ref, status)

    async def placements(self) -> list[ModelPlacement]:
        found: list[ModelPlacement] = []
        for name in self.names.values():
            there, _ = await self.api.list(MODELPLACEMENTS, placement_namespace(name))
            found += (ModelPlacement.model_validate(one) for one in there)
        return [one for one in found if one.spec.model.namespace == self.key[0]]

    async def where(self) -> list[str]:
        """Where copies are, by what the test calls clusters."""
        called = {name: place for place, name in self.names.items()}
        return sorted(called[one.spec.cluster] for one in await self.placements())

    async def model(self) -> SmallModel:
        live = await self.api.get(SMALLMODELS.ref("chat", self.key[0]))
        assert live is not None
        return SmallModel.model_validate(live)

    async def said(self, kind: ConditionType) -> tuple[str, str, str]:
        condition = find((await self.model()).status, kind)
        assert condition is not None
        return condition.status, condition.reason, condition.message

    async def reason(self, place: str) -> str:
        """What was said of a cluster in one word."""
        decision = (await self.model()).status.decision
        assert decision is not None
        name = self.names[place]
        return next(one.reason for one in decision.candidates if one.cluster == name)

    async def _apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.key[0]}
        await self.api.apply(
            {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        )

    async def _watch(self) -> None:
        for manifest in await self._listed(MODELCLUSTERS, None):
            cluster = ModelCluster.model_validate(manifest)
            if cluster.metadata.name in self.names.values():
                self.stores.clusters[cluster.metadata.name] = cluster
        for manifest in await self._listed(DATASOURCES, self.key[0]):
            self.stores.see_source(manifest, gone=False)
        for manifest in await self._listed(SMALLMODELS, self.key[0]):
            self.stores.see_model(manifest, gone=False)
        for name in self.names.values():
            there = {key_of(one): one for one in await self._listed_on(name)}
            for manifest in there.values():
                self.stores.see_placement(manifest, gone=False)
            known = self.stores.placements_on(name)
            if not there:
                known.by_model.clear()

    async def _listed(self, resource: Any, namespace: str | None) -> list[Manifest]:
        return (await self.api.list(resource, namespace))[0]

    async def _listed_on(self, cluster: str) -> list[Manifest]:
        there = await self._listed(MODELPLACEMENTS, placement_namespace(cluster))
        return [one for one in there if one["spec"]["model"]["namespace"] == self.key[0]]


@pytest.fixture
async def hub(api: Api, crds: None, namespace: str) -> AsyncIterator[Hub]:
    """A hub whose three clusters are declared and seen."""
    del crds
    own = uuid4().hex[:6]
    names = {place: place if place == "local" else f"{place}-{own}" for place in PLACES}
    made = Hub(api, namespace, names)
    for place in PLACES:
        await made.declare(place)
    yield made
    for one in await made.placements():
        ref = MODELPLACEMENTS.ref(one.metadata.name, one.metadata.namespace)
        await api.merge_patch(ref, {"metadata": {"finalizers": []}})
    for place, name in names.items():
        if place != "local":
            await api.delete(MODELCLUSTERS.ref(name))
    model = await api.get(SMALLMODELS.ref("chat", namespace))
    if model is not None and FINALIZER in model["metadata"].get("finalizers", []):
        ref = SMALLMODELS.ref("chat", namespace)
        await api.merge_patch(ref, {"metadata": {"finalizers": []}})


async def test_a_model_lands_beside_its_data(hub: Hub) -> None:
    await hub.own("video", locations=[{"cluster": hub.names["edge"]}])
    await hub.ask(data=[{"name": "video", "readPerHour": "36G"}])

    await hub.work()

    assert await hub.where() == ["edge"]
    assert await hub.reason("edge") == "Kept"
    assert await hub.reason("local") == "CostHigher"


async def test_a_law_keeps_a_model_home_though_another_cluster_is_cheaper(hub: Hub) -> None:
    await hub.own("records", residency={"jurisdictions": ["DE"]})
    await hub.ask()

    await hub.work()

    assert await hub.where() == ["onprem"]
    assert await hub.reason("local") == "ResidencyForbidden"
    (made,) = await hub.placements()
    assert made.spec.residency is not None
    assert made.spec.residency.jurisdictions == ("DE",)


async def test_a_model_whose_only_lawful_clusters_are_full_waits_and_says_so(hub: Hub) -> None:
    busy = node("busy", free_memory_bytes=0, free_cpu_cores=0.0)
    for place in ("onprem", "edge"):
        hub.views[hub.names[place]] = view(busy, name=hub.names[place])
    await hub.own("records", residency={"jurisdictions": ["DE"]})
    await hub.ask()

    await hub.work()

    assert await hub.where() == []
    status, reason, message = await hub.said(ConditionType.PLACED)
    assert (status, reason) == ("False", "MemoryFit")
    assert "busy has most free: 0 B" in message
    assert (await hub.said(ConditionType.STALLED))[0] == "False"

    hub.views[hub.names["edge"]] = view(name=hub.names["edge"])
    await hub.work()
    assert await hub.where() == ["edge"]


async def test_a_model_follows_a_price_once_its_second_copy_answers(hub: Hub) -> None:
    await hub.declare("onprem", prices={"cpuHour": "3", "memoryGBHour": "0"})
    await hub.own("records", residency={"jurisdictions": ["DE"]})
    await hub.ask()
    await hub.work()
    assert await hub.where() == ["edge"]
    await hub.verify("edge")
    await hub.work()
    assert (await hub.said(ConditionType.READY))[0] == "True"
    hub.clock.turn(_DWELL)

    await hub.declare("onprem", prices={"cpuHour": "0.2", "memoryGBHour": "0"})
    for _ in range(3):
        assert await hub.where() == ["edge"]
        hub.clock.turn(_MINUTE)
        await hub.work()
    assert await hub.where() == ["edge", "onprem"]
    assert (await hub.said(ConditionType.READY))[0] == "True"
    states = {one.cluster: one.state for one in (await hub.model()).status.copies}
    assert states == {
        hub.names["edge"]: CopyState.SERVING,
        hub.names["onprem"]: CopyState.STARTING,
    }

    await hub.verify("onprem")
    await hub.work()
    assert await hub.where() == ["edge", "onprem"], "gateways turn from the old one first"
    hub.clock.turn(CLUSTER_DRAIN)
    await hub.work()
    assert await hub.where() == ["onprem"]
    assert (await hub.said(ConditionType.READY))[0] == "True"


async def test_a_new_law_ends_a_copy_where_it_may_not_be_and_makes_one_where_it_may(
    hub: Hub,
) -> None:
    await hub.ask()
    await hub.work()
    assert await hub.where() == ["local"]
    await hub.verify("local")
    await hub.work()

    await hub.own("records", residency={"jurisdictions": ["DE"]})
    await hub.work(passes=1)
    assert await hub.where() == []
    await hub.work()

    assert await hub.where() == ["onprem"]
