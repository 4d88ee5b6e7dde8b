"""Every object of a pool, as `kubectl apply --server-side -f` takes it."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from builders.plan_values import model_args, planned_model
from builders.pool_values import (
    NAMESPACE,
    REDIS,
    WITHOUT_CLAIMS,
    cluster_pool,
    fetch_job_of,
    gpu_class,
    key_of,
    placement_of,
    pool_settings,
    weights,
)
from smallmodel_operator.api.smallmodel import Accelerator, SecretRef
from smallmodel_operator.plan.pools.names import pool_name
from smallmodel_operator.plan.pools.objects import (
    build_namespace_objects,
    build_pool_objects,
    token_secret,
)
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import Manifest, PoolKey, Toleration
from smallmodel_operator.plan.pools.weights import weights_source
from support.golden import check_golden

SETTINGS = pool_settings()
EVERYTHING_SET = replace(
    SETTINGS,
    image_pull_secrets=("pull",),
    tolerations=(Toleration(key="edge"),),
    fault_tolerance=REDIS,
    metrics_namespaces=("monitoring",),
    fetch_environment=(("PIP_INDEX_URL", "https://mirror.example/simple"),),
)
FETCHING = replace(
    SETTINGS,
    weights=WITHOUT_CLAIMS,
    fetch_environment=(("PIP_INDEX_URL", "https://mirror.example/simple"),),
)
GPU = key_of(worker=gpu_class(), dedicated_to="big", claim="my-models")
FETCHED_BY_ITSELF = model_args("chat").model_copy(
    update={"source": weights_source(weights(bytes=90_000_000))}
)
L4 = Accelerator.model_validate({"class": "NVIDIA-L4"})


def ray_service(key: PoolKey, settings: Any, *models: Any) -> Manifest:
    pool = cluster_pool(key=key, name=pool_name(key, 1, settings), models=models)
    return build_ray_service(pool, settings)


OBJECTS = {
    "rayservice-index-alone": [ray_service(key_of(), SETTINGS)],
    "rayservice-two-models": [
        ray_service(
            key_of(), SETTINGS, planned_model("chat", verified=True), planned_model("embed")
        )
    ],
    "rayservice-gpu-everything-set": [
        ray_service(GPU, EVERYTHING_SET, planned_model("big", accelerator=L4))
    ],
    "rayservice-gpu-shared": [
        ray_service(
            key_of(worker=gpu_class()),
            SETTINGS,
            planned_model("chat", accelerator=L4, device_percent=9),
            planned_model("embed", accelerator=L4, device_percent=30),
        )
    ],
    "beside-the-rayservice": [
        *build_pool_objects(cluster_pool("chat"), EVERYTHING_SET),
        token_secret(cluster_pool("chat"), SETTINGS, "not-a-real-token"),
    ],
    "once-in-a-namespace": list(build_namespace_objects(NAMESPACE, SETTINGS)),
    "without-a-claim": [
        ray_service(key_of(), FETCHING, planned_model("chat", args=FETCHED_BY_ITSELF)),
        fetch_job_of(placement_of(), FETCHING),
        *build_namespace_objects(NAMESPACE, FETCHING),
    ],
    "fetch-jobs": [
        fetch_job_of(placement_of(), SETTINGS),
        fetch_job_of(
            placement_of(
                "gated",
                weights=weights(
                    uri="pvc://my-models/x.gguf", revision="v1", secret_ref=SecretRef(name="hub")
                ),
            ),
            EVERYTHING_SET,
        ),
    ],
}


@pytest.mark.parametrize("case", OBJECTS)
def test_the_objects_of_a_pool_are_as_they_were(case: str) -> None:
    # Through JSON, so that no two places of the YAML refer to one value.
    objects = json.loads(json.dumps(OBJECTS[case]))

    check_golden(f"plan/pools/{case}.yaml", yaml.safe_dump_all(objects, sort_keys=True))
