"""A local port that leads to a real pod, through a real API server and kubelet."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aiohttp
import pytest

from cluster.access import KubeAccess
from cluster.images import BUSYBOX
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.forward import forward
from smallmodel_operator.clusters.ref import PODS, Ref

pytestmark = pytest.mark.e2e

PORT = 8080
SIZE = 1_000_000
SCRIPT = f"""
busybox mkdir -p /tmp/www
busybox head -c {SIZE} /dev/zero > /tmp/www/zeros
exec busybox httpd -f -p {PORT} -h /tmp/www
"""


@pytest.fixture(scope="module")
def pod(cluster: KubeAccess) -> Iterator[Ref]:
    """A pod with an HTTP server."""
    namespace = f"forward-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", SCRIPT],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    cluster.apply(json.dumps(manifest))
    ready = ("wait", "--for=condition=Ready", "pod/server", "--timeout=120s")
    cluster.kubectl("-n", namespace, *ready, within=150)
    yield PODS.ref("server", namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
async def api(cluster: KubeAccess) -> AsyncIterator[Api]:
    async with await Api.connect(cluster.kubeconfig) as api:
        yield api


async def fetched(port: int) -> int:
    """Return how many bytes of the file arrive."""
    url = f"http://127.0.0.1:{port}/zeros"
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        assert response.status == 200
        return len(await response.read())


async def test_whole_answers_come_through(api: Api, pod: Ref) -> None:
    async with forward(api, pod, PORT) as port:
        assert await fetched(port) == SIZE


async def test_several_at_once_do_not_mix(api: Api, pod: Ref) -> None:
    async with forward(api, pod, PORT) as port:
        assert await asyncio.gather(*(fetched(port) for _ in range(5))) == [SIZE] * 5


async def test_a_port_where_nothing_listens_is_told(
    api: Api, pod: Ref, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with forward(api, pod, 81) as port:
        with pytest.raises(aiohttp.ClientError):
            await fetched(port)
    assert "port-forward to Pod" in caplog.text


async def test_a_pod_that_is_not_there_is_told(api: Api, pod: Ref) -> None:
    with pytest.raises(errors.NotFound):
        async with forward(api, PODS.ref("absent", pod.namespace), PORT):
            raise AssertionError("the block does not run")
