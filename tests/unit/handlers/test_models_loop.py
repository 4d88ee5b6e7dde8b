"""The decide loop against a fake API server: gathers once, decides, writes once."""

from collections.abc import Iterable
from typing import Any

import pytest

from builders.cards import CardBuilder, catalog
from builders.clusters import declared, node, view
from builders.fake_kube_api import FakeKubeApi, refuse
from builders.fake_namespace import START, fetched_job
from builders.models import GIB
from builders.pool_values import placement_of, pool_settings
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER, LABEL_HUB, placement_name
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.handlers import models
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.assumed import assume
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.plan.pools.values import Manifest

TEAM = "team"
KEY = (TEAM, "chat")
MODEL = f"/apis/smallmodel.dev/v1alpha1/namespaces/{TEAM}/smallmodels/chat"
PLACEMENT = (
    "/apis/smallmodel.dev/v1alpha1/namespaces/slm-cluster-local/modelplacements/"
    f"{placement_name(TEAM, 'chat')}"
)
SETTINGS = pool_settings()


class FakeCluster:
    """The API server's objects, told to the stores as a watch would."""

    def __init__(self, api: Api, kube: FakeKubeApi) -> None:
        self.kube = kube
        self.stores = HubStores(hub_id=SETTINGS.hub_id)
        self.local = ClusterStores(placements=self.stores.placements_on("local"))
        self.placed: list[ObjectKey] = []
        self.told: list[ObjectKey] = []
        self.views = {"local": view()}
        for card in catalog(CardBuilder()).cards:
            self.stores.cards[card.metadata.name] = card
        self.stores.clusters["local"] = declared()
        self.loop = ModelLoop(
            api=api,
            stores=self.stores,
            fetching=self.local,
            events=EventWriter(Events(api, "operator-0")),
            settings=SETTINGS,
            url=lambda namespace, _: f"http://gateway/{namespace}/v1",
            now=lambda: START,
            views=lambda: dict(self.views),
            placed=self.placed.append,
            told=self.told.append,
        )

    def apply(self, spec: dict[str, Any], **metadata: Any) -> None:
        values = {"name": "chat", "namespace": TEAM, "generation": 1}
        live = self.kube.objects.get(MODEL, {"metadata": {}})
        kept = {key: live["metadata"][key] for key in ("finalizers",) if key in live["metadata"]}
        manifest = {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "SmallModel",
            "metadata": values | kept | metadata,
            "spec": spec,
        }
        self.kube.put(MODEL, manifest | {key: live[key] for key in ("status",) if key in live})

    async def work(self) -> float | None:
        self.stores.models.clear()
        if MODEL in self.kube.objects:
            self.stores.see_model(self.kube.objects[MODEL], gone=False)
        for path, manifest in self.kube.objects.items():
            if "/jobs/" in path:
                self.local.see_job(manifest, gone=False)
        if PLACEMENT in self.kube.objects:
            self.stores.see_placement(self.kube.objects[PLACEMENT], gone=False)
        return await self.loop.work(KEY)

    def condition(self, kind: str) -> tuple[str, str]:
        conditions = self.kube.objects[MODEL]["status"]["conditions"]
        (found,) = [each for each in conditions if each["type"] == kind]
        return found["status"], found["reason"]

    def job(self) -> Manifest:
        (found,) = [each for path, each in self.kube.objects.items() if "/jobs/" in path]
        return found


@pytest.fixture
def cluster(api: Api, kube: FakeKubeApi) -> FakeCluster:
    return FakeCluster(api, kube)


def writes(kube: FakeKubeApi) -> list[str]:
    return [f"{one.method} {one.path}" for one in kube.seen if one.method != "GET"]


async def test_a_model_is_held_then_placed_then_told(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})

    await cluster.work()
    assert writes(kube) == [f"PATCH {MODEL}", f"PATCH {PLACEMENT}"]
    assert (cluster.placed, cluster.told) == ([KEY], [])
    await cluster.loop.work(KEY)

    assert writes(kube)[2:] == [f"PATCH {MODEL}/status"]
    assert (cluster.placed, cluster.told) == ([KEY], [KEY])
    assert kube.objects[MODEL]["metadata"]["finalizers"] == [FINALIZER]
    assert kube.objects[MODEL]["status"]["url"] == "http://gateway/team/v1"


async def test_a_decision_is_not_written_over_one_that_was_not_seen(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    cluster.apply({"model": "little-1b", "scaling": {"maxReplicas": 2}}, generation=2)
    cluster.stores.see_model(kube.objects[MODEL], gone=False)
    newer = kube.put(PLACEMENT, kube.objects[PLACEMENT])

    with pytest.raises(errors.Conflict):
        await cluster.loop.work(KEY)

    assert kube.objects[PLACEMENT] == newer


async def test_a_pass_before_the_event_knows_what_was_decided(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    kube.seen.clear()

    await cluster.loop.work(KEY)

    assert writes(kube) == [f"PATCH {MODEL}/status"]


async def test_a_pass_where_nothing_changed_writes_nothing(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    for _ in range(3):
        await cluster.work()
    kube.seen.clear()

    await cluster.work()

    assert writes(kube) == []


async def test_nothing_is_placed_that_could_not_be_held(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    kube.replies = [refuse(403, "Forbidden")] * 4

    with pytest.raises(errors.ApiError):
        await cluster.work()

    assert PLACEMENT not in kube.objects


async def test_a_deleted_model_drops_its_placement_before_it_is_released(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    kube.seen.clear()
    cluster.apply({"model": "little-1b"}, deletionTimestamp=START)

    await cluster.work()

    assert writes(kube) == [f"DELETE {PLACEMENT}", f"PATCH {MODEL}"]


async def test_a_placement_without_a_model_is_dropped(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    del kube.objects[MODEL]

    await cluster.work()

    assert PLACEMENT not in kube.objects


async def test_what_is_going_already_is_not_dropped_again(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    placement = kube.objects[PLACEMENT]
    placement["metadata"]["deletionTimestamp"] = START
    kube.put(PLACEMENT, placement)
    del kube.objects[MODEL]

    await cluster.work()

    assert PLACEMENT in kube.objects


async def test_a_source_is_fetched_and_then_placed(cluster: FakeCluster, kube: FakeKubeApi) -> None:
    source = {"source": {"uri": "https://example.org/x.gguf"}, "resources": {"memory": "1Gi"}}
    cluster.apply(source)

    await cluster.work()

    assert PLACEMENT not in kube.objects
    assert cluster.condition("Resolved") == ("Unknown", "Fetching")
    assert f"/api/v1/namespaces/{TEAM}/persistentvolumeclaims/smallmodel-weights" in kube.objects

    job = cluster.job()
    done = fetched_job(job, START)
    job["status"] = done.manifest["status"]
    name = job["metadata"]["name"]
    said = {"state": {"terminated": {"message": done.last_words}}}
    pod = {"name": name, "namespace": TEAM, "labels": {"batch.kubernetes.io/job-name": name}}
    cluster.local.see_pod({"metadata": pod, "status": {"containerStatuses": [said]}}, gone=False)
    await cluster.work()
    assert PLACEMENT in kube.objects


async def test_a_fetch_that_failed_long_ago_is_tried_again(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"source": {"uri": "https://example.org/x.gguf"}})
    await cluster.work()
    ended = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-24T11:00:00Z"}
    (path,) = [path for path in kube.objects if "/jobs/" in path]
    kube.put(path, cluster.job() | {"status": {"conditions": [ended]}})

    await cluster.work()

    assert not [path for path in kube.objects if "/jobs/" in path]


async def test_a_claim_of_somebody_else_is_told_and_nothing_is_fetched_into_it(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    path = f"/api/v1/namespaces/{TEAM}/persistentvolumeclaims/smallmodel-weights"
    theirs = {"name": "smallmodel-weights", "namespace": TEAM}
    claim = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": theirs}
    kube.put(path, claim)
    cluster.apply({"source": {"uri": "https://example.org/x.gguf"}})

    for _ in range(2):
        with pytest.raises(errors.NameConflict):
            await cluster.work()
    assert cluster.condition("Resolved") == ("False", "NameConflict")
    assert not [one for one in kube.objects if "/jobs/" in one]

    del kube.objects[path]
    await cluster.work()
    await cluster.work()
    assert cluster.condition("Resolved") == ("Unknown", "Fetching")
    assert cluster.job()


async def test_a_secret_that_is_there_opens_a_source(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    source = {"uri": "https://example.org/x.gguf", "secretRef": {"name": "hub"}}
    cluster.apply({"source": source})
    await cluster.work()
    assert cluster.condition("Resolved") == ("False", "SecretMissing")

    secret = {"kind": "Secret", "metadata": {"name": "hub", "namespace": TEAM}}
    kube.put(f"/api/v1/namespaces/{TEAM}/secrets/hub", secret)
    await cluster.work()
    assert cluster.condition("Resolved") == ("Unknown", "Fetching")


async def test_a_gated_card_asks_for_its_secret(cluster: FakeCluster, kube: FakeKubeApi) -> None:
    card = cluster.stores.cards["little-1b"]
    gated = card.spec.license.model_copy(update={"gated": True})
    spec = card.spec.model_copy(update={"license": gated})
    cluster.stores.cards["little-1b"] = card.model_copy(update={"spec": spec})
    cluster.apply({"model": "little-1b"})

    await cluster.work()

    assert cluster.condition("Resolved") == ("False", "SecretMissing")


async def test_an_invalid_manifest_is_told_and_can_be_deleted(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.apply({"model": "little-1b"})
    await cluster.work()
    both = {"model": "little-1b", "source": {"uri": "https://example.org/x"}}
    cluster.apply(both, generation=2)

    await cluster.work()
    assert cluster.condition("Resolved") == ("False", "InvalidManifest")
    assert PLACEMENT in kube.objects, "what was decided before goes on"

    cluster.apply(both, deletionTimestamp=START)
    await cluster.work()
    assert PLACEMENT not in kube.objects
    assert not kube.objects[MODEL]["metadata"].get("finalizers")


async def test_what_was_just_decided_for_a_cluster_is_reckoned_once(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    reckoned: list[str] = []

    def counting(seen: ClusterView, placements: Iterable[ModelPlacement]) -> ClusterView:
        reckoned.append(seen.name)
        return assume(seen, placements)

    monkeypatch.setattr(models, "assume", counting)
    for name in ("edge", "local"):
        cluster.stores.clusters[name] = declared(name)
        # Room for one model with its pool's head, and for no second one.
        cluster.views[name] = view(node(memory_bytes=6 * GIB), name=name)
    keeps = {"scaling": {"minReplicas": 1}, "isolation": "Dedicated", "model": "little-1b"}
    cluster.apply(keeps | {"placement": {"clusterSelector": {"never": "there"}}})

    await cluster.work()
    assert sorted(reckoned) == ["edge", "local"]
    await cluster.loop.work(KEY)
    assert len(reckoned) == 2, "nothing was decided, and the clusters are as they were"

    ours = {"labels": {LABEL_HUB: SETTINGS.hub_id}, "namespace": "slm-cluster-edge"}
    keeping = Scaling(min_replicas=1)
    taken = placement_of("other", metadata=ours, cluster="edge", scaling=keeping)
    cluster.stores.see_placement(placement_manifest(taken), gone=False)
    await cluster.loop.work(KEY)
    assert reckoned[2:] == ["edge"]

    cluster.views["local"] = view(node(memory_bytes=7 * GIB), name="local")
    await cluster.loop.work(KEY)
    assert reckoned[3:] == ["local"]
