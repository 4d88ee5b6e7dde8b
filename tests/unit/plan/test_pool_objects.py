import base64
import re
from typing import Any

import pytest

from builders.pool_values import NAMESPACE, cluster_pool, pool_settings
from smallmodel_operator.plan.pools.objects import (
    build_claim,
    build_namespace_objects,
    build_pool_objects,
    pool_token,
    token_secret,
)
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import Manifest, WeightsVolume

OWNED = {"smallmodel.dev/hub": "hub-1", "app.kubernetes.io/managed-by": "smallmodel-operator"}


def fence(**settings: Any) -> Manifest:
    (policy,) = build_pool_objects(cluster_pool("chat"), pool_settings(**settings))
    assert policy["kind"] == "NetworkPolicy"
    return policy


def ports_from(policy: Manifest, source: Manifest) -> set[int] | str:
    """The ports that a source may reach; `all` where no port is named."""
    found: set[int] = set()
    for rule in policy["spec"]["ingress"]:
        if source in rule["from"]:
            if "ports" not in rule:
                return "all"
            found |= {port["port"] for port in rule["ports"]}
    return found


def namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def test_the_fence_is_around_the_pods_of_the_pool_alone() -> None:
    pool = cluster_pool("chat")
    policy = fence()
    cluster = build_ray_service(pool, pool_settings())["spec"]["rayClusterConfig"]
    labels = [
        cluster["headGroupSpec"]["template"]["metadata"]["labels"],
        cluster["workerGroupSpecs"][0]["template"]["metadata"]["labels"],
    ]

    assert policy["metadata"]["name"] == pool.name
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    for each in labels:
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= each.items()
    assert pool.name in policy["spec"]["podSelector"]["matchLabels"].values()


def test_the_pods_of_a_pool_reach_each_other_on_every_port() -> None:
    own = {"podSelector": {"matchLabels": {"smallmodel.dev/pool": cluster_pool().name}}}

    assert ports_from(fence(), own) == "all"


def test_the_gateways_pods_reach_serve_and_nothing_else() -> None:
    pods = {"podSelector": {"matchLabels": {"app": "gate"}}}
    policy = fence(gateway_labels=(("app", "gate"),))

    assert ports_from(policy, namespace("smallmodel-system") | pods) == {8000}


@pytest.mark.parametrize("who", ["smallmodel-system", "kuberay"])
def test_the_dashboard_is_open_to_the_operator_and_to_kuberay(who: str) -> None:
    assert ports_from(fence(kuberay_namespace="kuberay"), namespace(who)) == {8000, 8265}


def test_nobody_else_is_let_in() -> None:
    sources = [source for rule in fence()["spec"]["ingress"] for source in rule["from"]]

    assert len(sources) == 4


def test_metrics_are_read_from_the_namespaces_that_are_named() -> None:
    policy = fence(metrics_namespaces=("monitoring",))

    assert ports_from(policy, namespace("monitoring")) == {8080}
    assert ports_from(fence(), namespace("monitoring")) == set()


def test_the_pods_of_somebodys_own_gateway_reach_the_models_alone() -> None:
    policy = fence(gateway_namespaces=("envoys",))

    assert ports_from(policy, namespace("envoys")) == {8000}
    assert ports_from(fence(), namespace("envoys")) == set()


def test_the_token_lies_where_kuberay_looks_for_it() -> None:
    pool = cluster_pool()
    secret = token_secret(pool, pool_settings(), "s3cret")
    auth = build_ray_service(pool, pool_settings())["spec"]["rayClusterConfig"]["authOptions"]

    assert secret["metadata"]["name"] == auth["secretName"]
    assert base64.b64decode(secret["data"]["auth_token"]) == b"s3cret"


def test_a_pools_token_is_its_own_and_the_same_each_time() -> None:
    token = pool_token("a key", "team", "cpu-4gi-1")

    assert token == pool_token("a key", "team", "cpu-4gi-1")
    others = [("another", "team", "cpu-4gi-1"), ("a key", "x", "cpu-4gi-1"), ("a key", "team", "x")]
    assert len({token, *(pool_token(*one) for one in others)}) == 4
    assert re.fullmatch(r"[\w-]{43}", token), "256 bits, and what a header takes"


def test_without_a_key_there_is_no_token() -> None:
    with pytest.raises(ValueError, match="empty"):
        pool_token("", "team", "cpu-4gi-1")


def test_a_namespace_gets_a_claim_and_a_fence_around_its_fetches() -> None:
    claim, policy = build_namespace_objects(NAMESPACE, pool_settings())

    assert claim == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "smallmodel-weights", "namespace": NAMESPACE, "labels": OWNED},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "50Gi"}},
        },
    }
    assert policy["spec"] == {
        "ingress": [],
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "fetch"}},
        "policyTypes": ["Ingress"],
    }


def test_a_claim_that_is_there_already_is_not_made() -> None:
    settings = pool_settings(weights=WeightsVolume(claim="mine", create=False))

    assert [each["kind"] for each in build_namespace_objects(NAMESPACE, settings)] == [
        "NetworkPolicy"
    ]


@pytest.mark.parametrize("name", ["fast", ""])
def test_a_claim_names_its_storage_class_where_one_is_set(name: str) -> None:
    settings = pool_settings(weights=WeightsVolume(storage_class=name, size="1Gi"))
    spec = build_claim(NAMESPACE, settings)["spec"]

    assert spec["storageClassName"] == name
    assert spec["resources"]["requests"]["storage"] == "1Gi"


def test_everything_says_whose_it_is_and_lies_in_the_models_namespace() -> None:
    pool = cluster_pool("chat")
    objects = [
        *build_pool_objects(pool, pool_settings()),
        *build_namespace_objects(NAMESPACE, pool_settings()),
        token_secret(pool, pool_settings(), "x"),
        build_ray_service(pool, pool_settings()),
    ]

    for each in objects:
        assert each["metadata"]["namespace"] == NAMESPACE
        assert OWNED.items() <= each["metadata"]["labels"].items()
        assert "ownerReferences" not in each["metadata"]
