"""The serve loop of a cluster whose pods the hub reaches through its API server alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.fake_pods import FakePods, put_before
from builders.fake_ray_dashboard import FakeRayDashboard, fake_ray_dashboard
from builders.operators import operator
from builders.plan_values import model_args
from builders.pool_values import NAMESPACE
from builders.serve_answers import application, index, text
from builders.serve_loop import FakeCluster
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.reach import DIRECT, ForwardedReach
from smallmodel_operator.clusters.ref import PODS
from smallmodel_operator.plan.pools.values import DASHBOARD_PORT, SERVE_PORT
from support.waiting import eventually

HEAD = PODS.ref("pool-head", NAMESPACE)
NOWHERE = "192.0.2.1"
"""An address that leads nowhere, as those of another cluster's pods."""


@pytest.fixture
async def ray(cluster: FakeCluster, kube: FakeKubeApi) -> AsyncIterator[FakeRayDashboard]:
    """The head of a pool that has the model, which the hub has yet to see."""
    await cluster.beyond(ForwardedReach(cluster.api, cluster="munich"))
    cluster.place()
    await cluster.work()
    cluster.end_jobs()
    async with fake_ray_dashboard() as ray:
        key = (NAMESPACE, cluster.pool()["metadata"]["name"])
        secret = f"/api/v1/namespaces/{NAMESPACE}/secrets/{key[1]}-token"
        kube.objects[secret]["data"] = {"auth_token": "cG9vbC10b2tlbg=="}
        args = model_args("chat").model_dump(mode="json")
        ray.content = text(index(), application("chat", args=args))
        cluster.start_pool(head=NOWHERE)
        yield ray


@pytest.fixture
def pods(kube: FakeKubeApi, ray: FakeRayDashboard) -> FakePods:
    fake = FakePods()
    for port in (DASHBOARD_PORT, SERVE_PORT):
        fake.ports[HEAD.path, port] = ray.port
    put_before(kube, fake)
    return fake


async def test_what_serve_says_is_known_without_a_route_to_its_pod(
    cluster: FakeCluster, ray: FakeRayDashboard, pods: FakePods
) -> None:
    await cluster.work()
    assert cluster.status().deployment is not None
    assert ray.asked == 1
    assert pods.opened >= 1


def told(cluster: FakeCluster) -> dict[str, Any]:
    """What was written last of the model; of the object, the fake drops no field."""
    written = [one.body["status"] for one in cluster.kube.seen if one.path.endswith("/status")]
    last: dict[str, Any] = written[-1]
    return last


async def test_a_right_that_is_missing_is_said_by_the_models_until_it_is_granted(
    cluster: FakeCluster, ray: FakeRayDashboard, pods: FakePods
) -> None:
    pods.forbidden = True
    # The second time it is not asked: the pause after the first has not passed.
    for _ in range(2):
        await cluster.work()
        assert told(cluster)["problem"]["reason"] == Reason.FORBIDDEN
        assert "pods/portforward" in told(cluster)["problem"]["message"]
    assert ray.asked == 0

    pods.forbidden = False
    # As when the pause has passed.
    cluster.loop._dashboards.forget(NAMESPACE, cluster.pool()["metadata"]["name"])
    await cluster.work()
    assert "problem" not in told(cluster)
    assert "deployment" in told(cluster)


async def test_another_cluster_is_reached_through_its_api_server_and_the_own_one_never(
    api: Api,
) -> None:
    async with operator(api) as one:
        munich = one._linked("munich", api)
        assert isinstance(munich.member.namespaces._reach, ForwardedReach)
        assert one.local.namespaces._reach is DIRECT
        await munich.member.close()


async def test_models_that_wait_for_a_cluster_are_told_once_all_of_it_was_read(api: Api) -> None:
    async with operator(api) as one:
        munich, read = one._linked("munich", api), list[bool]()
        munich._changed = lambda: read.append(munich.is_read)
        task = asyncio.create_task(munich.run())
        await eventually(lambda: bool(read), "the models are told")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    assert read == [True]
