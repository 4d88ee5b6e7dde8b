"""Verifying requests to pods of another cluster, and what is said where nothing leads there."""

import asyncio

import pytest
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, serving
from builders.fake_namespace import START
from builders.fake_pods import FakePods, put_before
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.modelplacement import PlacedProbe
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.reach import ForwardedReach
from smallmodel_operator.clusters.ref import PODS
from smallmodel_operator.handlers.probes import Probes
from smallmodel_operator.plan.pools.values import SERVE_PORT
from smallmodel_operator.reconcile.orders import ProbeOrder
from smallmodel_operator.reconcile.sight import Head

HEAD = PODS.ref("cpu-1-head", "team")
ORDER = ProbeOrder(
    model="chat",
    pool="cpu-1",
    head=Head(pod=HEAD.name, address="10.1.0.7"),
    task=Task.EMBEDDING,
    serving_hash="a",
    timeout=1.0,
    patience=0.0,
)


async def probed(api: Api) -> PlacedProbe:
    ended = asyncio.Event()
    reach = ForwardedReach(api, cluster="munich")
    probes = Probes(lambda: START, lambda _: ended.set(), reach)
    probes.start("team", ORDER)
    await ended.wait()
    await reach.close()
    return probes.answers("team")["chat"]


@pytest.fixture
def pods(kube: FakeKubeApi) -> FakePods:
    fake = FakePods()
    put_before(kube, fake)
    return fake


async def vector(request: web.Request) -> web.Response:
    assert request.path == "/chat/v1/embeddings"
    return web.json_response({"data": [{"embedding": [1.0]}]})


async def test_a_model_in_another_cluster_is_verified(api: Api, pods: FakePods) -> None:
    async with serving(vector) as url:
        pods.ports[HEAD.path, SERVE_PORT] = int(url.rsplit(":", 1)[-1])
        assert (await probed(api)).passed


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("forbidden", "run `slm cluster join munich` again"),
        ("absent", "open portforward of Pod team/cpu-1-head: there is none"),
        ("refused", "failed to connect to localhost: connection refused"),
    ],
)
async def test_where_nothing_leads_to_a_head_the_reason_is_told(
    api: Api, pods: FakePods, fault: str, told: str
) -> None:
    pods.forbidden = fault == "forbidden"
    if fault == "refused":
        pods.ports[HEAD.path, SERVE_PORT] = 1
    answer = await probed(api)
    assert not answer.passed
    assert answer.message.startswith("the verifying request got no answer: ")
    assert told in answer.message
