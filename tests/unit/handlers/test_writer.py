"""What is written of pools, what is left alone, and what goes."""

import base64
from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.pool_values import (
    NAMESPACE,
    TOKEN_KEY,
    cluster_pool,
    key_of,
    placement_of,
    pool_settings,
    worker_class,
)
from builders.written_pool import (
    CLAIM,
    CLUSTER,
    CORE,
    JOB,
    JOB_PATH,
    POLICIES,
    POOL,
    SECRET,
    SERVICE,
    SETTINGS,
    live_pool,
    writes,
)
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.names import (
    ANNOTATION_COMPACT,
    ANNOTATION_CONTRACT,
    FINALIZER,
    LABEL_HUB,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.compare import stamp
from smallmodel_operator.clusters.ref import MODELPLACEMENTS
from smallmodel_operator.handlers.writer import Writer, set_finalizer
from smallmodel_operator.plan.pools.objects import pool_token
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import (
    ClusterPool,
    FaultTolerance,
    Manifest,
    PoolSettings,
    WeightsVolume,
)


@pytest.fixture
def writer(api: Api) -> Writer:
    return Writer(api, SETTINGS, TOKEN_KEY)


async def test_a_pool_is_made_with_its_token_and_its_fence(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await writer.pool(POOL, None)

    assert set(kube.objects) == {SERVICE, SECRET, f"{POLICIES}/{POOL.name}"}
    assert kube.seen[-1].query["force"] == "false"
    token = await writer.token(NAMESPACE, POOL.name)
    assert token is not None
    assert base64.b64decode(token).decode() == pool_token(TOKEN_KEY, NAMESPACE, POOL.name)


async def test_a_wish_that_cannot_be_granted_is_removed_before_anything_else_is_written(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)
    live["metadata"]["annotations"][ANNOTATION_COMPACT] = "2026-11-24T12:00:00Z"
    declined = cluster_pool("chat", "embed", declined=True)

    written = await writer.pool(declined, live)

    assert writes(kube) == [("PATCH", SERVICE)]
    assert written is not None
    assert ANNOTATION_COMPACT not in written["metadata"]["annotations"]
    assert written["spec"] == live["spec"]
    assert ANNOTATION_CONTRACT in written["metadata"]["annotations"]


async def test_a_pool_is_rendered_once_for_one_version_of_its_service(
    writer: Writer, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await live_pool(writer, kube)
    await writer.pool(POOL, live)
    rendered = list[str]()

    def counted(pool: ClusterPool, settings: PoolSettings, live: Manifest | None) -> Manifest:
        rendered.append(pool.name)
        return build_ray_service(pool, settings, live)

    monkeypatch.setattr("smallmodel_operator.handlers.writer.build_ray_service", counted)

    await writer.pool(POOL, live)
    assert rendered == []

    edited = live | {"metadata": live["metadata"] | {"resourceVersion": "another"}}
    await writer.pool(POOL, edited)
    assert len(rendered) == 1

    await writer.pool(cluster_pool("chat", "more"), live)
    assert len(rendered) == 2


async def test_a_pool_that_is_as_it_should_be_is_not_written(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)
    token = kube.objects[SECRET]["data"]

    await writer.pool(POOL, live)

    assert kube.seen == []
    assert kube.objects[SECRET]["data"] == token


async def test_another_process_finds_the_pool_as_it_should_be_too(
    writer: Writer, api: Api, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)

    await Writer(api, SETTINGS, TOKEN_KEY).pool(POOL, live)

    assert writes(kube) == []


async def test_a_pool_that_came_into_being_meanwhile_is_never_written_over(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)

    assert await writer.pool(cluster_pool(), None) == live
    assert kube.objects[SERVICE] == live


async def test_another_model_changes_the_service_by_force_and_from_the_seen_version(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)

    await writer.pool(cluster_pool("chat", "embed"), live)

    assert writes(kube) == [("PATCH", SERVICE)]
    assert kube.seen[-1].query["force"] == "true"
    version = kube.seen[-1].body["metadata"]["resourceVersion"]
    assert version == live["metadata"]["resourceVersion"]
    with pytest.raises(errors.Conflict):
        await writer.pool(cluster_pool("chat", "third"), live)


async def test_an_outdated_pool_gets_another_config_and_keeps_its_template(
    writer: Writer, api: Api, kube: FakeKubeApi
) -> None:
    live = await live_pool(writer, kube)
    newer = Writer(api, pool_settings(cpu_image="registry.example/serving-cpu:2"), TOKEN_KEY)
    more = cluster_pool("chat", "embed")

    await newer.pool(POOL, live)
    assert ("PATCH", SERVICE) not in writes(kube)
    await newer.pool(more, live)

    after = kube.objects[SERVICE]
    assert after["spec"]["rayClusterConfig"] == live["spec"]["rayClusterConfig"]
    wanted = build_ray_service(more, SETTINGS)["spec"]["serveConfigV2"]
    assert after["spec"]["serveConfigV2"] == wanted


def grown(most: int) -> ClusterPool:
    key = key_of(worker=worker_class(max_workers=most))
    return cluster_pool("chat", key=key)


async def running(writer: Writer, kube: FakeKubeApi, *, cluster: bool = True) -> Manifest:
    live = await live_pool(writer, kube)
    live["status"] = {"activeServiceStatus": {"rayClusterName": "chat-xyz"}}
    if cluster:
        groups = [{"groupName": "models", "replicas": 1, "minReplicas": 0, "maxReplicas": 2}]
        kube.put(
            CLUSTER,
            {
                "kind": "RayCluster",
                "metadata": {"name": "chat-xyz"},
                "spec": {"workerGroupSpecs": groups},
            },
        )
    return live


async def test_new_bounds_reach_the_ray_cluster_too_and_its_replicas_stay(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await running(writer, kube)

    await writer.pool(grown(7), live)

    assert writes(kube) == [("PATCH", CLUSTER), ("PATCH", SERVICE)]
    (group,) = kube.objects[CLUSTER]["spec"]["workerGroupSpecs"]
    assert (group["replicas"], group["maxReplicas"]) == (1, 7)


async def test_a_pool_without_a_ray_cluster_yet_gets_its_bounds_with_it(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await running(writer, kube, cluster=False)
    await writer.pool(grown(7), live)
    assert writes(kube) == [("PATCH", SERVICE)]


async def test_a_ray_cluster_that_has_the_bounds_is_not_written(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await running(writer, kube)
    kube.objects[CLUSTER]["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 7

    await writer.pool(grown(7), live)

    assert writes(kube) == [("PATCH", SERVICE)]


async def test_a_pool_whose_workers_somebody_removed_gets_them_back(
    writer: Writer, kube: FakeKubeApi
) -> None:
    live = await running(writer, kube)
    live["spec"]["rayClusterConfig"]["workerGroupSpecs"] = []

    written = await writer.pool(POOL, live)

    assert written is not None
    assert len(written["spec"]["rayClusterConfig"]["workerGroupSpecs"]) == 1


async def test_a_hand_edited_pool_is_repaired(writer: Writer, kube: FakeKubeApi) -> None:
    live = await live_pool(writer, kube)
    live["metadata"]["annotations"] = {}
    live["metadata"]["labels"] = {LABEL_HUB: "hub-1"}
    live["spec"]["serveConfigV2"] = "edited"

    await writer.pool(POOL, live)

    wanted = stamp(build_ray_service(POOL, SETTINGS))
    after = kube.objects[SERVICE]
    assert after["spec"] == wanted["spec"]
    assert after["metadata"]["labels"] == wanted["metadata"]["labels"]


async def test_a_pool_goes_with_all_that_belongs_to_it_and_the_service_last(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await live_pool(writer, kube)

    await writer.delete_pool(NAMESPACE, POOL.name)

    assert kube.objects == {}
    assert writes(kube)[-1] == ("DELETE", SERVICE)
    await writer.delete_pool(NAMESPACE, POOL.name)


async def test_a_pool_with_a_store_keeps_its_token_and_its_fence_until_it_is_gone(
    api: Api, kube: FakeKubeApi
) -> None:
    tolerance = FaultTolerance(redis_address="redis:6379", redis_secret=None)
    writer = Writer(api, pool_settings(fault_tolerance=tolerance), TOKEN_KEY)
    await live_pool(writer, kube)

    await writer.delete_pool(NAMESPACE, POOL.name)
    assert writes(kube) == [("DELETE", SERVICE)]
    assert set(kube.objects) == {SECRET, f"{POLICIES}/{POOL.name}"}

    await writer.delete_pool(NAMESPACE, POOL.name)
    assert kube.objects == {}


async def test_while_something_of_a_pool_cannot_be_deleted_its_service_stays(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await live_pool(writer, kube)
    kube.replies = [
        lambda request: refuse(403)(request) if request.method == "DELETE" else None
    ] * 4

    with pytest.raises(errors.ApiError):
        await writer.delete_pool(NAMESPACE, POOL.name)

    assert SERVICE in kube.objects


async def test_a_namespace_gets_its_claim_and_the_fence_of_fetches_and_loses_both(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await writer.namespace(NAMESPACE)
    assert set(kube.objects) == {CLAIM, f"{POLICIES}/smallmodel-fetch"}
    kube.seen.clear()
    await writer.namespace(NAMESPACE)
    assert kube.seen == [], "it was looked at a moment ago"

    await writer.leave_namespace(NAMESPACE)
    assert kube.objects == {}
    await writer.namespace(NAMESPACE)
    assert len(kube.objects) == 2, "nothing is remembered of what was deleted"


async def test_a_claim_that_somebody_brought_is_neither_made_nor_deleted(
    api: Api, kube: FakeKubeApi
) -> None:
    brought = Writer(api, pool_settings(weights=WeightsVolume(claim="mine", create=False)))
    claim = f"{CORE}/persistentvolumeclaims/mine"
    kube.put(claim, {"kind": "PersistentVolumeClaim", "metadata": {"name": "mine"}})

    await brought.namespace(NAMESPACE)
    await brought.leave_namespace(NAMESPACE)

    assert set(kube.objects) == {claim}


async def test_a_fetch_job_is_created_once_and_never_written_over(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await writer.create_job(JOB)
    before = kube.objects[JOB_PATH]

    await writer.create_job(JOB)

    assert kube.objects[JOB_PATH] == before
    await writer.delete_job(NAMESPACE, JOB["metadata"]["name"])
    assert kube.objects == {}


async def test_a_pool_without_a_secret_has_no_token(writer: Writer) -> None:
    assert await writer.token(NAMESPACE, POOL.name) is None


FINALIZERS: dict[str, tuple[tuple[str, ...], bool, Any]] = {
    "it is added to others": (("other/one",), True, ["other/one", FINALIZER]),
    "it is added once": ((FINALIZER,), True, [FINALIZER]),
    "it is removed from others": (("other/one", FINALIZER), False, ["other/one"]),
    "the last one is removed": ((FINALIZER,), False, None),
}


@pytest.mark.parametrize("case", FINALIZERS)
async def test_our_finalizer_comes_and_goes_and_others_stay(
    api: Api, kube: FakeKubeApi, case: str
) -> None:
    before, present, after = FINALIZERS[case]
    metadata = placement_of().metadata
    ref = MODELPLACEMENTS.ref(metadata.name, metadata.namespace)
    path = f"/apis/smallmodel.dev/v1alpha1/namespaces/{ref.namespace}/modelplacements/{ref.name}"
    live = kube.put(path, {"metadata": {"name": ref.name, "finalizers": list(before)}})
    known = metadata.model_copy(
        update={"finalizers": before, "resource_version": live["metadata"]["resourceVersion"]}
    )

    await set_finalizer(api, MODELPLACEMENTS, known, present=present)

    assert kube.objects[path]["metadata"].get("finalizers") == after
    with pytest.raises(errors.Conflict):
        await set_finalizer(api, MODELPLACEMENTS, known, present=present)


async def test_a_finalizer_of_what_is_gone_is_gone_and_cannot_be_set(api: Api) -> None:
    gone = ObjectMeta(name="gone", namespace="slm-cluster-local", resource_version="1")

    await set_finalizer(api, MODELPLACEMENTS, gone, present=False)
    with pytest.raises(errors.NotFound):
        await set_finalizer(api, MODELPLACEMENTS, gone, present=True)
