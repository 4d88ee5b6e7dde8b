"""The whole operator on a fake API server, of which a test runs what it asks for."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from builders.fake_kube_api import FakeKubeApi
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.operator import Operator
from smallmodel_operator.settings import Settings

MODELS = "/apis/smallmodel.dev/v1alpha1/namespaces/{}/smallmodels/{}"
REQUIRED = {
    "SMALLMODEL_NAMESPACE": "smallmodel-system",
    "SMALLMODEL_SERVING_CPU_IMAGE": "registry.example/serving-cpu:1",
}


@contextlib.asynccontextmanager
async def operator(api: Api, **variables: str) -> AsyncIterator[Operator]:
    settings = Settings.from_environment(REQUIRED | variables)
    made = Operator(api=api, settings=settings, hub_id="hub-1", token_key="key")
    yield made
    await made.local.close()


def put_model(kube: FakeKubeApi, name: str, namespace: str = "team") -> dict[str, Any]:
    manifest = {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"model": "little-1b"},
    }
    return kube.put(MODELS.format(namespace, name), manifest)
