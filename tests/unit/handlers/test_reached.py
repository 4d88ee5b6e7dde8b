"""The serve loop of a cluster whose pods the hub reaches through its API server alone."""

from collections.abc import AsyncIterator

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.fake_pods import FakePods, put_before
from builders.fake_ray_dashboard import FakeRayDashboard, fake_ray_dashboard
from builders.plan_values import model_args
from builders.pool_values import NAMESPACE
from builders.serve_answers import application, index, text
from builders.serve_loop import FakeCluster
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters.reach import ForwardedReach
from smallmodel_operator.clusters.ref import PODS
from smallmodel_operator.plan.pools.values import DASHBOARD_PORT, SERVE_PORT

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


async def test_a_right_that_is_missing_is_said_by_the_models_until_it_is_granted(
    cluster: FakeCluster, ray: FakeRayDashboard, pods: FakePods
) -> None:
    pods.forbidden = True
    for _ in range(2):
        await cluster.work()
        problem = cluster.status().problem
        assert problem is not None
        assert problem.reason is Reason.FORBIDDEN
        assert "pods/portforward" in problem.message
    assert ray.asked == 0

    pods.forbidden = False
    # As when the pause has passed.
    cluster.loop._dashboards.forget(NAMESPACE, cluster.pool()["metadata"]["name"])
    await cluster.work()
    told = [one.body["status"] for one in cluster.kube.seen if one.path.endswith("/status")]
    assert "problem" not in told[-1]
    assert "deployment" in told[-1]
