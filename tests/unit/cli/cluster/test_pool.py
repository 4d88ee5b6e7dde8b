"""`slm pool`: which pools there are, and which of them can end."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from builders.cluster_objects import put_deployment
from builders.fake_cluster import SYSTEM, TEAM, FakeCluster
from builders.kube_objects import HUB
from builders.plan_values import planned_model
from builders.pool_values import cluster_pool, gpu_class, key_of
from smallmodel_operator.api.names import ANNOTATION_COMPACT
from smallmodel_operator.plan.pools.names import pool_name
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.settings import Settings
from support.command_line import Slm

ROOT = f"/apis/ray.io/v1/namespaces/{TEAM}/rayservices"
SETTINGS = Settings.from_environment(
    {
        "SMALLMODEL_NAMESPACE": SYSTEM,
        "SMALLMODEL_SERVING_CPU_IMAGE": "registry/serving-cpu:1",
    }
).pools(HUB)
"""Of the operator that `install` puts there."""
WITH_GPU = replace(SETTINGS, gpu_image="registry/serving-gpu:1")


def put(
    cluster: FakeCluster,
    number: int,
    *models: str,
    settings: PoolSettings = SETTINGS,
    **key: Any,
) -> str:
    wanted = key_of(namespace=TEAM, **key)
    name = pool_name(wanted, number, settings)
    planned = tuple(planned_model(model) for model in models)
    pool = cluster_pool(key=wanted, name=name, models=planned)
    cluster.put(f"{ROOT}/{name}", build_ray_service(pool, settings))
    return name


def wish_of(cluster: FakeCluster, pool: str) -> str | None:
    annotations = cluster.kube.objects[f"{ROOT}/{pool}"]["metadata"]["annotations"]
    wish: str | None = annotations.get(ANNOTATION_COMPACT)
    return wish


def test_a_pool_is_listed_with_its_models_and_what_it_asks_for(
    slm: Slm, cluster: FakeCluster
) -> None:
    name = put(cluster, 1, "embed", "chat")

    header, row = slm("pool", "list").out.splitlines()

    assert header.split() == [
        "NAME", "CLASS", "MODELS", "HEAD", "WORKER", "WORKERS", "STATE", "SERVED"
    ]  # fmt: skip
    assert row.split("  ")[0] == name
    for words in ("cpu-4gi ", "2/20", "200m CPU, 1536Mi", "2 CPU, 4Gi", "0-2", "Open"):
        assert words in row
    assert row.endswith("chat, embed")


def test_each_state_has_a_word(slm: Slm, cluster: FakeCluster) -> None:
    asked = put(cluster, 1, "a")
    ending = put(cluster, 2, "b")
    outdated = put(cluster, 3, "c", settings=replace(SETTINGS, cpu_image="registry/older:1"))
    unmakeable = put(cluster, 1, "d", settings=WITH_GPU, worker=gpu_class())
    objects = cluster.kube.objects
    objects[f"{ROOT}/{asked}"]["metadata"]["annotations"][ANNOTATION_COMPACT] = "now"
    objects[f"{ROOT}/{ending}"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    listed = json.loads(slm("pool", "list", "-o", "json").out)

    assert {one["name"]: one["state"] for one in listed} == {
        asked: "Emptying",
        ending: "Ending",
        outdated: "Outdated",
        unmakeable: "Outdated",
    }
    [gpu] = (one for one in listed if one["name"] == unmakeable)
    assert gpu["worker"]["accelerator"] == {"class": "NVIDIA-L4", "count": 1}
    assert gpu["head"] == {"cpu": "200m", "memory": "1536Mi"}
    assert "1 NVIDIA-L4" in slm("pool", "list").out


def test_a_dedicated_pool_has_room_for_one(slm: Slm, cluster: FakeCluster) -> None:
    put(cluster, 1, "big", dedicated_to="big")

    assert "1/1" in slm("pool", "list").out


def test_without_pools_it_says_so(slm: Slm, cluster: FakeCluster) -> None:
    outcome = slm("pool", "list")

    assert (outcome.code, outcome.out) == (0, "")
    assert "No pools in namespace team." in outcome.err


def test_compact_asks_for_the_emptiest_pool_to_be_emptied(slm: Slm, cluster: FakeCluster) -> None:
    fuller, emptier = put(cluster, 1, "a", "b"), put(cluster, 2, "c")

    outcome = slm("pool", "compact", "-n", TEAM)

    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split() == [emptier, "c", fuller]
    assert "`slm pool list -n team` shows how far" in outcome.err
    assert (wish_of(cluster, emptier) or "").endswith("Z")
    assert wish_of(cluster, fuller) is None


def test_a_dry_run_asks_for_nothing(slm: Slm, cluster: FakeCluster) -> None:
    fuller, emptier = put(cluster, 1, "a", "b"), put(cluster, 2, "c")

    outcome = slm("pool", "compact", "--dry-run", "-o", "yaml")

    assert yaml.safe_load(outcome.out) == [{"pool": emptier, "moves": {"c": fuller}}]
    assert wish_of(cluster, emptier) is None
    assert "Nothing was asked for" in slm("pool", "compact", "--dry-run").err
    assert not any(seen.method == "PATCH" for seen in cluster.kube.seen)


def test_where_nothing_can_end_it_says_so(slm: Slm, cluster: FakeCluster) -> None:
    put(cluster, 1, "a")
    put(cluster, 1, "d", settings=WITH_GPU, worker=gpu_class())

    outcome = slm("pool", "compact")

    assert (outcome.code, outcome.out) == (0, "")
    assert "No pool can be emptied into the others." in outcome.err


@pytest.mark.parametrize("command", ["list", "compact"])
def test_without_the_operators_settings_nothing_is_judged(
    slm: Slm, cluster: FakeCluster, command: str
) -> None:
    put_deployment(cluster, "smallmodel-operator", SYSTEM, {"app": "another"})

    outcome = slm("pool", command)

    assert outcome.code == 1
    assert "only its settings tell which pools are current" in outcome.err
    assert "`slm doctor --context NAME`" in outcome.err


def test_who_may_not_change_pools_is_told(slm: Slm, cluster: FakeCluster) -> None:
    put(cluster, 1, "a", "b")
    cluster.forbidden = {put(cluster, 2, "c")}

    outcome = slm("pool", "compact")

    assert outcome.code == 1
    assert "grant it by a Role" in outcome.err
