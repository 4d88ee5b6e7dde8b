"""The serve loop on a fake API server, told of its objects as a watch would."""

import json
from typing import Any

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.fake_namespace import START
from builders.pool_values import NAMESPACE, TOKEN_KEY, placement_of, pool_settings
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.names import FINALIZER, LABEL_HUB
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.reach import DIRECT, Reach
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.namespaces import NamespaceLoop
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.plan.pools.values import Manifest

SETTINGS = pool_settings()
PLACEMENTS = "/apis/smallmodel.dev/v1alpha1/namespaces/slm-cluster-local/modelplacements/"
PLURALS = {
    "rayservices": ClusterStores.see_pool,
    "jobs": ClusterStores.see_job,
    "pods": ClusterStores.see_pod,
}


def new_stores() -> ClusterStores:
    """Return what a process knows that has just started."""
    return ClusterStores(placements=Placements(hub_id=SETTINGS.hub_id))


class FakeCluster:
    """The API server's objects, told to the stores as a watch would."""

    def __init__(self, api: Api, kube: FakeKubeApi) -> None:
        self.reach: Reach = DIRECT
        self.api = api
        self.kube = kube
        self.stores = new_stores()
        self.missing: str | None = None
        self.more = False
        self.woken: list[str] = []
        self.loop = self._loop()

    def _loop(self) -> NamespaceLoop:
        return NamespaceLoop(
            api=self.api,
            stores=self.stores,
            settings=SETTINGS,
            token_key=TOKEN_KEY,
            placements_in="slm-cluster-local",
            now=lambda: START,
            missing_api=lambda: self.missing,
            needed_jobs=lambda _: frozenset(),
            wake=self.woken.append,
            told=lambda _: None,
            more=lambda _: self.more,
            reach=self.reach,
        )

    async def beyond(self, reach: Reach) -> None:
        """Be a cluster whose pods are reached in another way."""
        await self.loop.close()
        self.reach = reach
        self.loop = self._loop()

    async def forget(self) -> None:
        """Nothing was made yet but the placements, and another process looks."""
        await self.loop.close()
        placements = {p: o for p, o in self.kube.objects.items() if "/modelplacements/" in p}
        self.kube.objects.clear()
        self.kube.objects.update(placements)
        self.stores = new_stores()
        self.loop = self._loop()

    def place(self, name: str = "chat", **metadata: Any) -> str:
        values = {"generation": 1, "labels": {LABEL_HUB: SETTINGS.hub_id}, "uid": f"uid-{name}"}
        made = placement_of(name, metadata=values | {"finalizers": [FINALIZER]} | metadata)
        path = f"{PLACEMENTS}{made.metadata.name}"
        manifest = placement_manifest(made)
        manifest["metadata"] |= {"generation": 1, **_deleted(metadata)}
        before = self.kube.objects.get(path, {})
        self.kube.put(path, manifest | {key: before[key] for key in ("status",) if key in before})
        return path

    async def work(self) -> float | None:
        self.watch()
        return await self.loop.work(NAMESPACE)

    def watch(self) -> None:
        for plural, see in PLURALS.items():
            there = [o for path, o in self.kube.objects.items() if f"/{plural}/" in path]
            getattr(self.stores, plural.replace("rayservices", "pools")).clear()
            for manifest in there:
                see(self.stores, manifest, gone=False)
        placements = [o for path, o in self.kube.objects.items() if "/modelplacements/" in path]
        for manifest in placements:
            self.stores.placements.see(manifest, gone=False)
        if not placements:
            self.stores.placements.by_model.clear()

    def pool(self) -> Manifest:
        (found,) = [o for path, o in self.kube.objects.items() if "/rayservices/" in path]
        return found

    def status(self, name: str = "chat") -> ModelPlacementStatus:
        self.watch()
        found = self.stores.placements.by_model[NAMESPACE, name]
        assert isinstance(found, ModelPlacement)
        return found.status

    def end_jobs(self) -> None:
        done = FetchDone(path="/weights/x.gguf", bytes=1, sha256="ab" * 32)
        for path, job in list(self.kube.objects.items()):
            if "/jobs/" not in path:
                continue
            ended = {"type": "Complete", "status": "True", "lastTransitionTime": START}
            job["status"] = {"conditions": [ended]}
            name = job["metadata"]["name"]
            said = {"state": {"terminated": {"message": done.model_dump_json()}}}
            self.kube.put(
                f"/api/v1/namespaces/{NAMESPACE}/pods/{name}",
                {
                    "metadata": {
                        "name": name,
                        "namespace": NAMESPACE,
                        "labels": {"batch.kubernetes.io/job-name": name},
                    },
                    "status": {"phase": "Succeeded", "containerStatuses": [said]},
                },
            )

    def start_pool(self, head: str | None = None) -> None:
        names = {"podIP": head, "podName": "pool-head"}
        active = {"rayClusterStatus": {"head": names}} if head else None
        ready = {"type": "Ready", "status": "True"}
        self.pool()["status"] = {"conditions": [ready], "activeServiceStatus": active}

    def models(self) -> set[str]:
        config = json.loads(self.pool()["spec"]["serveConfigV2"])
        return {each["name"] for each in config["applications"]} - {"_index"}


def _deleted(metadata: dict[str, Any]) -> dict[str, Any]:
    stamp = metadata.get("deletion_timestamp")
    return {"deletionTimestamp": stamp} if stamp else {}


def kinds(kube: FakeKubeApi) -> set[str]:
    """Return the plurals of all that is there."""
    return {path.split("/")[-2] for path in kube.objects}


def forbid(plural: str, method: str = "PATCH") -> Any:
    """Return a reply that refuses to write objects of a kind."""

    def reply(request: Any) -> Any:
        wrong = request.method == method and f"/{plural}" in request.path
        return refuse(403, "Forbidden", "exceeded quota: pools")(request) if wrong else None

    return reply
