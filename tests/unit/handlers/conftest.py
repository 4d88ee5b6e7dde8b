"""A fake API server over HTTP, a client of it, and the serve loop on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders.fake_kube_api import FakeKubeApi, fake_kube_api
from builders.serve_loop import FakeCluster
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.wire import Limits

# Short, and long enough for a machine with other work.
LIMITS = Limits(connect=1.0, total=1.0)


@pytest.fixture
async def kube() -> AsyncIterator[FakeKubeApi]:
    async with fake_kube_api() as fake:
        yield fake


@pytest.fixture
async def api(kube: FakeKubeApi, tmp_path: Path) -> AsyncIterator[Api]:
    async with await Api.connect(kube.kubeconfig(tmp_path), limits=LIMITS) as api:
        yield api


@pytest.fixture
async def cluster(api: Api, kube: FakeKubeApi) -> AsyncIterator[FakeCluster]:
    fake = FakeCluster(api, kube)
    yield fake
    await fake.loop.close()
