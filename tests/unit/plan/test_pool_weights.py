"""Where fetched weights lie: in a claim, or in a volume of each worker."""

import json
from typing import Any

import pytest

from builders.pool_values import (
    WITHOUT_CLAIMS,
    cluster_pool,
    fetch_job_of,
    live_pool,
    placement_of,
    pool_settings,
    weights,
)
from smallmodel_operator.api.modelplacement import PinnedWeights
from smallmodel_operator.api.serving import FETCH_ENVIRONMENT_VARIABLE
from smallmodel_operator.api.smallmodel import SecretRef
from smallmodel_operator.plan.pools.live import read_pool
from smallmodel_operator.plan.pools.names import template_hash
from smallmodel_operator.plan.pools.objects import build_namespace_objects
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.plan.pools.weights import fetches_itself, refused_secret, weights_source

FETCHING = pool_settings(weights=WITHOUT_CLAIMS, fetch_environment=(("B", "2"), ("A", "1")))
GATED = weights(secret_ref=SecretRef(name="hub"))


def worker_of(**settings: Any) -> Manifest:
    service = build_ray_service(cluster_pool("chat"), pool_settings(**settings))
    [group] = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    spec: Manifest = group["template"]["spec"]
    return spec


def weights_of(spec: Manifest) -> tuple[Manifest, Manifest]:
    """Return the volume and where it is mounted."""
    [volume] = (each for each in spec["volumes"] if each["name"] == "weights")
    mounts = spec["containers"][0]["volumeMounts"]
    [mount] = (each for each in mounts if each["name"] == "weights")
    return volume, mount


def variables_of(spec: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in spec["containers"][0]["env"]}


def test_a_claim_is_mounted_read_only_by_workers() -> None:
    volume, mount = weights_of(worker_of())

    assert volume["persistentVolumeClaim"] == {"claimName": "smallmodel-weights"}
    assert mount["readOnly"] is True


def test_without_claims_a_worker_has_a_volume_that_it_may_write() -> None:
    volume, mount = weights_of(worker_of(weights=WITHOUT_CLAIMS))

    assert volume["emptyDir"] == {"sizeLimit": WITHOUT_CLAIMS.size}
    assert mount == {"name": "weights", "mountPath": "/weights"}


def test_without_claims_a_fetch_job_checks_in_a_volume_of_its_own() -> None:
    job = fetch_job_of(placement_of(), FETCHING)
    volume, _ = weights_of(job["spec"]["template"]["spec"])

    assert volume["emptyDir"] == {"sizeLimit": WITHOUT_CLAIMS.size}
    assert [each["kind"] for each in build_namespace_objects("team-a", FETCHING)] == [
        "NetworkPolicy"
    ]


def test_variables_for_fetching_reach_a_worker_in_one_that_only_the_fetch_reads() -> None:
    told = (("HTTPS_PROXY", "http://proxy"),)

    seen = variables_of(worker_of(weights=WITHOUT_CLAIMS, fetch_environment=told))
    assert json.loads(seen[FETCH_ENVIRONMENT_VARIABLE]) == {"HTTPS_PROXY": "http://proxy"}
    assert "HTTPS_PROXY" not in seen

    for spec in (worker_of(weights=WITHOUT_CLAIMS), worker_of(fetch_environment=told)):
        assert FETCH_ENVIRONMENT_VARIABLE not in variables_of(spec)


def test_a_live_pool_says_whether_its_replicas_fetch() -> None:
    ours = build_ray_service(cluster_pool("chat"), pool_settings())
    theirs = build_ray_service(cluster_pool("chat"), FETCHING)

    assert not read_pool(ours).fetches
    assert read_pool(theirs).fetches
    assert not fetches_itself({"spec": {}})


def test_the_kind_of_volume_is_part_of_the_template() -> None:
    key = live_pool(1).key

    assert template_hash(key, FETCHING) != template_hash(key, pool_settings())


def test_a_replica_is_told_exactly_what_the_job_fetched() -> None:
    pinned = weights(revision="v1", bytes=7)
    source = weights_source(pinned)

    assert (source.uri, source.revision, source.sha256, source.bytes) == (
        pinned.uri,
        "v1",
        pinned.sha256,
        7,
    )
    assert source.cache == "/weights"


@pytest.mark.parametrize(
    ("pinned", "settings", "refused"),
    [
        (GATED, FETCHING, "hub"),
        (GATED, pool_settings(), None),
        (weights(), FETCHING, None),
    ],
)
def test_weights_behind_a_secret_need_a_claim(
    pinned: PinnedWeights, settings: Any, refused: str | None
) -> None:
    assert refused_secret(pinned, settings) == refused
