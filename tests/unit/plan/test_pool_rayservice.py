"""The RayService: facts that a measured pool needed, each by itself."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import model_args, names, planned_model
from builders.pool_values import (
    REDIS,
    cluster_pool,
    gpu_class,
    key_of,
    pool_settings,
    worker_class,
)
from smallmodel_operator.api.base import amount
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY
from smallmodel_operator.plan.pools.names import pool_name
from smallmodel_operator.plan.pools.rayservice import (
    applications_in,
    build_ray_service,
    models_in,
    serve_config_of,
    worker_bounds_patch,
)
from smallmodel_operator.plan.pools.values import (
    FaultTolerance,
    Manifest,
    PoolError,
    Toleration,
)
from support.pod_security import violations

GPU = key_of(worker=gpu_class(2))


def ray_cluster(key: Any = None, **settings: Any) -> Manifest:
    found: Manifest = build_ray_service(cluster_pool("chat", key=key), pool_settings(**settings))[
        "spec"
    ]["rayClusterConfig"]
    return found


def head(**settings: Any) -> Manifest:
    found: Manifest = ray_cluster(**settings)["headGroupSpec"]
    return found


def workers(key: Any = None, **settings: Any) -> Manifest:
    (found,) = ray_cluster(key, **settings)["workerGroupSpecs"]
    assert isinstance(found, dict)
    return found


def spec_of(group: Manifest) -> Manifest:
    found: Manifest = group["template"]["spec"]
    return found


def environment(group: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in spec_of(group)["containers"][0]["env"]}


def config(manifest: Manifest) -> Manifest:
    found: Manifest = json.loads(manifest["spec"]["serveConfigV2"])
    return found


@given(st.lists(names, unique=True, max_size=6))
def test_the_same_models_in_any_order_are_the_same_bytes(models: list[str]) -> None:
    texts = {
        json.dumps(build_ray_service(cluster_pool(*order), pool_settings()))
        for order in (models, list(reversed(models)))
    }

    assert len(texts) == 1


def test_serve_listens_on_every_node_and_spreads_a_models_replicas_over_them() -> None:
    text = serve_config_of(cluster_pool("chat"), pool_settings(request_timeout_seconds=900.0))
    found = json.loads(text)

    assert "\n" not in text
    assert found["proxy_location"] == "EveryNode"
    assert found["http_options"] == {"host": "0.0.0.0", "port": 8000, "request_timeout_s": 900}
    assert found["applications"][1]["deployments"][0]["max_replicas_per_node"] == 1


def test_a_new_pool_holds_the_index_alone() -> None:
    built = build_ray_service(cluster_pool(), pool_settings())

    assert [each["name"] for each in config(built)["applications"]] == ["_index"]
    assert models_in(built) == frozenset()


def test_a_changed_template_never_makes_a_second_ray_cluster() -> None:
    built = build_ray_service(cluster_pool(), pool_settings())

    assert built["spec"]["upgradeStrategy"] == {"type": "None"}


def test_the_pool_says_whose_it_is_and_what_it_was_made_from() -> None:
    key = key_of(dedicated_to="chat")
    built = build_ray_service(cluster_pool("chat", key=key), pool_settings())["metadata"]

    assert built["labels"] == {
        "app.kubernetes.io/component": "pool",
        "app.kubernetes.io/managed-by": "smallmodel-operator",
        "smallmodel.dev/dedicated-to": "chat",
        "smallmodel.dev/hub": "hub-1",
        "smallmodel.dev/pool": built["name"],
        "smallmodel.dev/template": built["name"].rpartition("-")[2],
        "smallmodel.dev/worker-class": "cpu-4gi",
    }
    assert built["annotations"]["smallmodel.dev/contract"] == "1"
    assert json.loads(built["annotations"]["smallmodel.dev/worker"])["memory"] == "4Gi"


def test_the_head_runs_no_model_and_leaves_soon() -> None:
    group = head()

    assert group["rayStartParams"] == {"num-cpus": "0", "object-store-memory": "100000000"}
    assert spec_of(group)["terminationGracePeriodSeconds"] == 10
    assert spec_of(group)["containers"][0]["resources"] == {
        "requests": {"cpu": "200m", "memory": "1536Mi"},
        "limits": {"cpu": "2", "memory": "3Gi"},
    }
    ports = {
        each["name"]: each["containerPort"] for each in spec_of(group)["containers"][0]["ports"]
    }
    assert ports["serve"] == 8000
    assert ports["dashboard"] == 8265


def test_a_head_asks_for_what_placing_counts_for_it() -> None:
    found = ray_cluster()
    requests = [
        spec_of(found["headGroupSpec"])["containers"][0]["resources"]["requests"],
        found["autoscalerOptions"]["resources"]["requests"],
    ]

    assert sum(amount(each["cpu"]) for each in requests) == pytest.approx(HEAD_CPU)
    assert sum(amount(each["memory"]) for each in requests) == HEAD_MEMORY


def test_the_autoscaler_is_the_fast_one() -> None:
    found = ray_cluster(worker_idle_seconds=45)

    assert found["enableInTreeAutoscaling"] is True
    assert found["autoscalerOptions"]["version"] == "v2"
    assert found["autoscalerOptions"]["idleTimeoutSeconds"] == 45
    assert found["autoscalerOptions"]["env"] == [
        {"name": "AUTOSCALER_UPDATE_INTERVAL_S", "value": "1"}
    ]


def test_the_dashboard_asks_for_the_pools_own_token() -> None:
    built = build_ray_service(cluster_pool(), pool_settings())

    assert built["spec"]["rayClusterConfig"]["authOptions"] == {
        "mode": "token",
        "secretName": f"{built['metadata']['name']}-token",
    }


def test_workers_go_to_zero_and_up_to_the_classs_bound() -> None:
    group = workers(key_of(worker=worker_class(max_workers=7)))

    assert (group["minReplicas"], group["maxReplicas"]) == (0, 7)
    assert "replicas" not in group


@pytest.mark.parametrize(("cpu", "expected"), [("2", "2"), ("500m", "1"), ("2500m", "3")])
def test_ray_knows_a_workers_size_from_us_and_not_from_a_guess(cpu: str, expected: str) -> None:
    start = workers(key_of(worker=worker_class(cpu=cpu)))["rayStartParams"]
    engines = int(amount("4Gi") - 0.6 * 2**30)

    assert start["num-cpus"] == expected
    assert int(start["memory"]) == pytest.approx(engines, abs=1)
    assert start["object-store-memory"] == "100000000"
    assert "num-gpus" not in start


def test_the_replicas_of_a_worker_share_a_ledger_and_its_memory() -> None:
    group = workers()
    mounts = {each["name"]: each for each in spec_of(group)["containers"][0]["volumeMounts"]}

    assert environment(group)["SMALLMODEL_NODE_DIR"] == mounts["node"]["mountPath"]
    assert environment(group)["SMALLMODEL_NODE_MEMORY"] == group["rayStartParams"]["memory"]
    assert {"name": "node", "emptyDir": {}} in spec_of(group)["volumes"]
    assert "SMALLMODEL_NODE_DIR" not in environment(head())


def test_a_worker_reads_weights_and_never_writes_them() -> None:
    spec = spec_of(workers())
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "weights"]

    assert mount == {"name": "weights", "mountPath": "/weights", "readOnly": True}
    assert {
        "name": "weights",
        "persistentVolumeClaim": {"claimName": "smallmodel-weights"},
    } in spec["volumes"]


def test_a_worker_reads_the_users_own_claim_where_the_fetch_read_it() -> None:
    spec = spec_of(workers(key_of(claim="my-models")))

    assert spec["containers"][0]["volumeMounts"][-1] == {
        "name": "source",
        "mountPath": "/pvc/my-models",
        "readOnly": True,
    }
    assert spec["volumes"][-1] == {
        "name": "source",
        "persistentVolumeClaim": {"claimName": "my-models", "readOnly": True},
    }


def test_a_worker_waits_for_the_head_without_importing_ray_and_not_for_ever() -> None:
    (wait,) = spec_of(workers())["initContainers"]
    script = wait["command"][-1]

    assert wait["command"][:2] == ["/bin/bash", "-c"]
    assert "/dev/tcp/$FQ_RAY_IP/6379" in script
    assert "SECONDS >= 300" in script
    assert "exit 1" in script


@pytest.mark.parametrize("drain", [30.0, 60.0, 90.0])
def test_a_worker_has_time_to_be_drained_and_little_more(drain: float) -> None:
    spec = spec_of(workers(worker_drain_seconds=drain))

    # An ending namespace waits for half of the longest grace of its pods.
    assert drain + 10 <= spec["terminationGracePeriodSeconds"] <= drain + 30
    assert "lifecycle" not in spec["containers"][0]


def test_only_the_head_may_talk_to_the_api_server() -> None:
    assert spec_of(workers())["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in spec_of(head())


def test_head_and_workers_have_the_same_settings_of_serve() -> None:
    serve = [
        {name: value for name, value in environment(group).items() if "SERVE" in name}
        for group in (head(), workers())
    ]

    assert serve[0] == serve[1]
    assert serve[0]["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert serve[0]["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"] == "630"
    assert environment(head())["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment(head())["MALLOC_ARENA_MAX"] == "2"


def test_a_gpu_worker_goes_where_its_product_is() -> None:
    group = workers(GPU)
    spec = spec_of(group)
    resources = spec["containers"][0]["resources"]

    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert spec["containers"][0]["image"] == "registry.example/serving-gpu:1"
    assert resources["limits"]["nvidia.com/gpu"] == "2"
    assert resources["requests"]["nvidia.com/gpu"] == "2"
    assert group["rayStartParams"]["num-gpus"] == "2"
    assert "nodeSelector" not in spec_of(workers())


def test_the_heads_image_is_the_small_one_even_in_a_pool_of_gpus() -> None:
    head_spec = ray_cluster(GPU)["headGroupSpec"]["template"]["spec"]

    assert head_spec["containers"][0]["image"] == "registry.example/serving-cpu:1"


def test_every_pod_tolerates_what_the_installation_says_and_pulls_with_its_secrets() -> None:
    settings = {
        "tolerations": (Toleration(key="edge", operator="Equal", value="yes", effect="NoExecute"),),
        "image_pull_secrets": ("pull",),
    }
    edge = {"key": "edge", "operator": "Equal", "value": "yes", "effect": "NoExecute"}

    for group in (head(**settings), workers(**settings)):
        assert spec_of(group)["tolerations"] == [edge]
        assert spec_of(group)["imagePullSecrets"] == [{"name": "pull"}]
    gpu = spec_of(workers(GPU, **settings))["tolerations"]
    assert gpu == [edge, {"key": "nvidia.com/gpu", "operator": "Exists"}]


@pytest.mark.parametrize("key", [key_of(), GPU], ids=["cpu", "gpu"])
def test_every_pod_of_a_pool_meets_the_restricted_standard(key: Any) -> None:
    found = ray_cluster(key)
    sidecar = {"name": "autoscaler"} | found["autoscalerOptions"]
    with_sidecar = spec_of(found["headGroupSpec"])
    with_sidecar["containers"].append(sidecar)

    assert violations(with_sidecar) == []
    assert violations(spec_of(found["workerGroupSpecs"][0])) == []
    for container in (
        *with_sidecar["containers"],
        *spec_of(found["workerGroupSpecs"][0])["initContainers"],
    ):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"].keys() == {"cpu", "memory"} | (
            container["resources"]["requests"].keys() & {"nvidia.com/gpu"}
        )


def test_fault_tolerance_names_redis_and_its_password() -> None:
    assert "gcsFaultToleranceOptions" not in ray_cluster()
    assert ray_cluster(fault_tolerance=REDIS)["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {
            "valueFrom": {"secretKeyRef": {"name": "redis-password", "key": "password"}}
        },
    }
    open_redis = FaultTolerance(redis_address="redis:6379")
    assert ray_cluster(fault_tolerance=open_redis)["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379"
    }


def test_arguments_of_another_contract_are_not_rendered_into_a_pool() -> None:
    newer = planned_model("chat", args=model_args("chat", contract=2))

    with pytest.raises(PoolError, match="contract 2, and pool"):
        serve_config_of(cluster_pool(models=(newer,)), pool_settings())


def test_a_kept_application_stays_as_it_lives_and_the_index_knows_it() -> None:
    before = build_ray_service(cluster_pool("chat", "embed"), pool_settings())
    chat, embed = applications_in(before)
    changed = json.loads(chat.text)
    changed["args"]["contract"] = 0
    kept = replace(chat, text=json.dumps(changed))
    after = build_ray_service(cluster_pool("embed", kept=(kept,)), pool_settings())

    assert models_in(after) == {"chat", "embed"}
    assert config(after)["applications"][1] == changed
    assert applications_in(after)[1] == embed
    assert config(after)["applications"][0] == config(before)["applications"][0]


def test_keeping_every_application_changes_nothing() -> None:
    before = build_ray_service(cluster_pool("b", "a"), pool_settings())
    kept = cluster_pool(kept=applications_in(before))

    assert build_ray_service(kept, pool_settings()) == before


def test_an_older_pool_keeps_its_template_and_gets_the_models() -> None:
    old = pool_settings(cpu_image="registry.example/serving-cpu:0")
    name = pool_name(key_of(), 3, old)
    live = build_ray_service(cluster_pool("chat", name=name), old)
    built = build_ray_service(cluster_pool("chat", "embed", name=name), pool_settings(), live)

    assert built["spec"]["rayClusterConfig"] == live["spec"]["rayClusterConfig"]
    assert built["metadata"] == live["metadata"]
    assert models_in(built) == {"chat", "embed"}


def test_a_pool_of_todays_template_is_repaired_whatever_lives() -> None:
    wanted = build_ray_service(cluster_pool("chat"), pool_settings())
    live = build_ray_service(cluster_pool("chat"), pool_settings())
    live["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"] = 99

    assert build_ray_service(cluster_pool("chat"), pool_settings(), live) == wanted


@pytest.mark.parametrize("spec", [{}, {"serveConfigV2": ""}])
def test_a_pool_without_a_config_has_no_models(spec: Any) -> None:
    assert models_in({"metadata": {"name": "x"}, "spec": spec}) == frozenset()


@pytest.mark.parametrize("text", ["applications: []", "[]", '{"applications":[{}]}', "{}"])
def test_a_config_that_somebody_else_wrote_is_said_to_be_that(text: str) -> None:
    with pytest.raises(PoolError, match="'x' is not what this operator writes"):
        applications_in({"metadata": {"name": "x"}, "spec": {"serveConfigV2": text}})


def test_the_bounds_of_workers_reach_the_live_ray_cluster() -> None:
    pool = cluster_pool(key=key_of(worker=worker_class(max_workers=5)))
    group = {"groupName": "models", "minReplicas": 0, "maxReplicas": 2, "replicas": 1}
    live = {"metadata": {"resourceVersion": "7"}, "spec": {"workerGroupSpecs": [group]}}

    assert worker_bounds_patch(pool, live) == {
        "metadata": {"resourceVersion": "7"},
        "spec": {"workerGroupSpecs": [group | {"maxReplicas": 5}]},
    }
    group["maxReplicas"] = 5
    assert worker_bounds_patch(pool, live) is None
