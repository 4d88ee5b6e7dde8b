"""The namespace of a cluster's placements is made, and nobody else's is taken for it."""

import asyncio
from typing import Any

import pytest

from builders.admission import model_cluster
from builders.fake_kube_api import FakeKubeApi
from builders.kube_objects import HUB
from builders.linked_clusters import cluster_path
from builders.pool_values import pool_settings
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.cluster import ClusterLoop
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.stores import HubStores
from support.waiting import eventually

NAMESPACE = "/api/v1/namespaces/slm-cluster-edge"
NOW = "2026-11-24T12:00:00Z"


def loop(api: Api) -> ClusterLoop:
    return ClusterLoop(
        api=api,
        hub_api=api,
        settings=pool_settings(hub_id=HUB),
        workers_max=3,
        hub=HubStores(hub_id=HUB),
        stores=ClusterStores(placements=Placements(hub_id=HUB, mirrored=True)),
        name="edge",
        now=lambda: NOW,
        gateway_problem=lambda: None,
        changed=lambda: None,
        news=lambda _: None,
    )


def said(kube: FakeKubeApi) -> dict[str, tuple[str, str, str]]:
    conditions: list[dict[str, Any]] = kube.objects[cluster_path("edge")]["status"]["conditions"]
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in conditions}


@pytest.mark.parametrize("labels", [{}, {LABEL_HUB: "another"}], ids=["a tenant", "another hub"])
async def test_a_namespace_that_somebody_made_first_is_not_taken_and_the_cluster_says_so(
    api: Api, kube: FakeKubeApi, labels: dict[str, str]
) -> None:
    metadata = {"name": "slm-cluster-edge", "labels": labels}
    theirs = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    kube.put(NAMESPACE, theirs)
    kube.put(cluster_path("edge"), model_cluster("edge", connection={"mode": "Pull"}))
    before = dict(kube.objects[NAMESPACE]["metadata"])

    with pytest.raises(errors.NameConflict):
        await loop(api).prepare()

    assert kube.objects[NAMESPACE]["metadata"] == before
    status, reason, message = said(kube)["Ready"]
    assert (status, reason) == ("False", "NameConflict")
    assert "Namespace slm-cluster-edge is there already" in message
    assert f"this installation ({HUB}) does not touch it: rename or delete it" in message
    assert said(kube)["Schedulable"][0] == "False"


async def test_without_a_modelcluster_there_is_nobody_to_tell(api: Api, kube: FakeKubeApi) -> None:
    kube.put(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})

    with pytest.raises(errors.NameConflict):
        await loop(api).prepare()

    assert cluster_path("edge") not in kube.objects


async def test_once_it_is_gone_the_namespace_is_made(api: Api, kube: FakeKubeApi) -> None:
    await loop(api).prepare()
    assert kube.objects[NAMESPACE]["metadata"]["labels"][LABEL_HUB] == HUB


async def test_clusters_that_were_connected_together_are_not_looked_at_together_for_ever(
    api: Api, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_operator.handlers.cluster.random.random", lambda: 0.0)
    task = asyncio.create_task(loop(api).run())

    def looks() -> int:
        return sum(one.path == "/version" for one in kube.seen)

    await eventually(lambda: looks() == 2, "the first pause is another than those after it", 5)
    task.cancel()
