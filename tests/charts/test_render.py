"""What the chart renders is valid, the same each time, and asks for no more than it needs."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from builders.cluster_profiles import provider
from smallmodel_operator.api import crd
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.settings import Settings
from support.golden import check_golden
from tools import helm
from tools.helm import Manifest
from tools.kubernetes_cli import fetch_program

ROOT: Final = Path(__file__).resolve().parents[2]
# The oldest that Chart.yaml admits, what the tests' own cluster is, and the newest schema there is.
VERSIONS: Final = ("1.30", "1.36", "1.37")
RENDERS: Final = ("default_render", "everything", "agent_render", "member_render")
PLUGINS: Final = """\
clusters:
  credentialProviders:
    - name: gke
      execConfig:
        apiVersion: client.authentication.k8s.io/v1
        command: /plugins/gke
        args: [--all]
        env: [{name: A, value: b}]
        provideClusterInfo: true
operator:
  extraVolumes: [{name: plugins, image: {reference: "plugins:1"}}]
  extraVolumeMounts: [{name: plugins, mountPath: /plugins, readOnly: true}]
"""
OTHERS: Final = frozenset({"smallmodel.dev", "monitoring.coreos.com"})


def identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]
        elif manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment_of(manifests: list[Manifest]) -> dict[str, str]:
    for name, pod in pods(manifests):
        if name == "smallmodel-operator":
            return {one["name"]: one.get("value", "x") for one in pod["containers"][0]["env"]}
    raise AssertionError("there is no operator")


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in inside:
        if isinstance(child, dict | list) and child:
            yield from leaves(child, (*path, str(key)))
        else:
            yield (*path, str(key)), child


def test_helm_lint_finds_nothing() -> None:
    subprocess.run([fetch_program("helm"), "lint", "--strict", "--quiet", helm.CHART], check=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("render", RENDERS)
def test_each_object_is_valid(render: str, version: str, request: pytest.FixtureRequest) -> None:
    for manifest in request.getfixturevalue(render):
        if manifest["apiVersion"].split("/")[0] not in OTHERS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_rendering_is_the_same_each_time() -> None:
    assert helm.render_text() == helm.render_text()


def test_the_default_is_what_was_looked_at(default_render: list[Manifest]) -> None:
    found = [one for one in default_render if one["kind"] != "CustomResourceDefinition"]
    check_golden("chart/default.yaml", yaml.safe_dump_all(found, sort_keys=True))


def test_two_releases_in_two_namespaces_share_no_object(everything: list[Manifest]) -> None:
    first = helm.render(release="one", namespace="first")
    second = helm.render(["--set", "crds.install=false"], release="one", namespace="second")
    assert {identity(one) for one in first} & {identity(one) for one in second} == set()


@pytest.mark.parametrize("render", RENDERS)
def test_no_object_is_rendered_twice(render: str, request: pytest.FixtureRequest) -> None:
    counted = Counter(identity(one) for one in request.getfixturevalue(render))
    assert [name for name, count in counted.items() if count > 1] == []


def test_names_that_look_like_numbers_stay_names() -> None:
    rendered = helm.render(["--set-string", "fullnameOverride=123"], release="1", namespace="2")
    wrong = [
        (identity(manifest), path, value)
        for manifest in rendered
        if manifest["kind"] != "CustomResourceDefinition"
        for path, value in leaves(manifest)
        if (path[-1] in ("name", "namespace", "serviceAccountName") or "labels" in path[:-1])
        and not isinstance(value, str)
    ]
    assert wrong == []


def test_nothing_is_rendered_that_an_api_server_drops(everything: list[Manifest]) -> None:
    """An empty list is not stored, and so would differ at every apply."""
    lists = [
        (identity(manifest), path)
        for manifest in everything
        if manifest["kind"] != "CustomResourceDefinition"
        for path, value in leaves(manifest)
        if value in ([], None)
    ]
    assert lists == []


def test_each_definition_is_the_committed_one_and_outlives_the_release(
    default_render: list[Manifest],
) -> None:
    rendered = {
        one["metadata"]["name"]: one
        for one in default_render
        if one["kind"] == "CustomResourceDefinition"
    }
    assert set(rendered) == {kind.crd_name for kind in crd.KINDS}
    for name, manifest in rendered.items():
        committed = yaml.safe_load((ROOT / "crds" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert manifest["spec"] == committed["spec"]
        assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_definitions_can_be_left_to_somebody_else() -> None:
    rendered = helm.render(["--set", "crds.install=false"])
    assert [one for one in rendered if one["kind"] == "CustomResourceDefinition"] == []


@pytest.mark.parametrize("render", RENDERS)
def test_each_pod_meets_the_restricted_standard(
    render: str, request: pytest.FixtureRequest
) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for name, pod in pods(request.getfixturevalue(render)):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert {"hostNetwork", "hostPID", "hostIPC"} & set(pod) == set(), name
        volumes = {key for volume in pod.get("volumes", []) for key in volume if key != "name"}
        assert volumes <= {"emptyDir", "configMap", "secret"}, name
        for container in containers(pod):
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False, name
            assert inner["capabilities"] == {"drop": ["ALL"]}, name
            assert inner["readOnlyRootFilesystem"] is True, name


@pytest.mark.parametrize("render", RENDERS)
def test_each_container_says_what_memory_it_needs(
    render: str, request: pytest.FixtureRequest
) -> None:
    for name, pod in pods(request.getfixturevalue(render)):
        for container in containers(pod):
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}, name
            assert set(resources["limits"]) == {"memory"}, name


@pytest.mark.parametrize("render", RENDERS)
def test_no_pod_gets_variables_of_services(render: str, request: pytest.FixtureRequest) -> None:
    """The Service smallmodel-gateway would make SMALLMODEL_GATEWAY_PORT and others."""
    assert all(
        pod["enableServiceLinks"] is False for _, pod in pods(request.getfixturevalue(render))
    )


def test_the_default_values_are_the_defaults_of_the_operator(
    default_render: list[Manifest],
) -> None:
    told = Settings.from_environment(environment_of(default_render))
    bare = Settings(
        namespace=told.namespace,
        pod_name=told.pod_name,
        serving_cpu_image=told.serving_cpu_image,
    )
    assert told.pools("id") == bare.pools("id")
    assert told.gateway() == bare.gateway()
    # The address of the gateway's Service, and whom to ask outside: the operator knows neither.
    installed = {"gateway_url": None, "s3_endpoint": None}
    assert told.model_copy(update=installed).model_dump() == bare.model_dump()


def test_each_variable_that_the_chart_sets_is_one_that_the_operator_reads(
    everything: list[Manifest],
) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    assert set(environment_of(everything)) <= known


def test_values_reach_the_operator(everything: list[Manifest]) -> None:
    told = Settings.from_environment(environment_of(everything))
    pools = told.pools("id")
    assert told.watch_namespaces == ("team-a", "team-b")
    assert told.gateway_allow_from == ("*",)
    assert pools.gpu_image == "ghcr.io/smallmodel/smallmodel-serving-gpu:0.1.0"
    assert pools.image_pull_secrets == ("pull",)
    assert pools.metrics_namespaces == ("monitoring",)
    assert pools.fetch_environment == (("HF_ENDPOINT", "https://hub.internal"),)
    assert [toleration.key for toleration in pools.tolerations] == ["dedicated"]
    policy = told.placement.policy()
    assert (policy.currency, policy.carbon_price_ton) == ("EUR", 0.0)
    assert told.placement.price_tables().grid["DE"] == 6
    assert pools.fault_tolerance is not None
    service = "smallmodel-operator-redis.smallmodel-system.svc:6379"
    assert pools.fault_tolerance.redis_address == service


def test_credential_plugins_and_where_they_lie_reach_the_operator(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(PLUGINS)
    manifests = helm.render(["--values", str(values)])
    told = Settings.from_environment(environment_of(manifests))
    assert told.credential_providers == (
        provider(args=["--all"], env=[{"name": "A", "value": "b"}], provideClusterInfo=True),
    )
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in manifests
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "smallmodel-operator"
    )
    assert pod["volumes"][-1] == {"name": "plugins", "image": {"reference": "plugins:1"}}
    mount = {"name": "plugins", "mountPath": "/plugins", "readOnly": True}
    assert pod["containers"][0]["volumeMounts"][-1] == mount


def test_the_clusters_own_jurisdiction_reaches_the_operator() -> None:
    told = Settings.from_environment(
        environment_of(helm.render(["--set", "cluster.jurisdiction=DE"]))
    )
    assert told.cluster_jurisdiction == "DE"


@pytest.mark.parametrize(
    ("arguments", "endpoint"),
    [
        ([], "https://s3.amazonaws.com"),
        (["--set", "dataSources.s3Endpoint=http://s3.internal:9000"], "http://s3.internal:9000"),
        (["--set", "dataSources.s3Endpoint="], None),
        (["--set", "role=Agent,agent.clusterName=edge,agent.hubID=hub"], None),
    ],
    ids=["Amazon's unless told", "one of the administrator's", "none", "none of an agent"],
)
def test_the_s3_that_is_asked_for_buckets_reaches_the_operator(
    arguments: list[str], endpoint: str | None
) -> None:
    told = Settings.from_environment(environment_of(helm.render(arguments)))
    assert told.s3_endpoint == endpoint


@pytest.mark.parametrize(
    ("value", "image"),
    [
        ("images.tag=2.0", "ghcr.io/smallmodel/smallmodel-operator:2.0"),
        (
            "images.registry=registry.internal:5000/slm",
            "registry.internal:5000/slm/smallmodel-operator:0.1.0",
        ),
        ("images.operator=localhost/operator:test", "localhost/operator:test"),
        ("images.operator=r.internal/o@sha256:abc", "r.internal/o@sha256:abc"),
    ],
)
def test_an_image_is_a_name_in_the_registry_or_a_whole_reference(value: str, image: str) -> None:
    rendered = dict(pods(helm.render(["--set", value])))
    assert rendered["smallmodel-operator"]["containers"][0]["image"] == image


def test_pools_admit_the_gateway_that_the_chart_makes(default_render: list[Manifest]) -> None:
    wanted = PoolSettings(hub_id="", operator_namespace="", cpu_image="").gateway_labels
    gateway = next(
        one
        for one in default_render
        if one["kind"] == "Deployment" and one["metadata"]["name"] == GATEWAY_NAME
    )
    assert set(wanted) <= set(gateway["spec"]["template"]["metadata"]["labels"].items())


def test_a_gateway_pod_waits_less_than_it_is_given(default_render: list[Manifest]) -> None:
    gateway = dict(pods(default_render))[GATEWAY_NAME]
    envoy = next(one for one in gateway["containers"] if one["name"] == "envoy")
    within = int(envoy["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert within == gateway["terminationGracePeriodSeconds"] - 10


def kept(manifests: list[Manifest]) -> set[str]:
    return {
        one["metadata"]["name"]
        for one in manifests
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        and one["kind"] != "CustomResourceDefinition"
    }


def test_what_answers_outlives_the_release_unless_models_are_deleted(
    default_render: list[Manifest], everything: list[Manifest]
) -> None:
    of_gateway = [one for one in default_render if one["metadata"]["name"] == GATEWAY_NAME]
    assert len(of_gateway) == 7
    assert kept(of_gateway) == {GATEWAY_NAME}
    assert kept(default_render) == {GATEWAY_NAME}
    assert kept(everything) == set()


def test_the_notes_have_the_next_command() -> None:
    text = (helm.CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    assert "kubectl apply -f -" in text
    assert "kubectl wait --for=condition=Ready" in text


def test_the_dashboard_asks_for_metrics_that_are_made(everything: list[Manifest]) -> None:
    config = next(one for one in everything if one["metadata"]["name"].endswith("-dashboard"))
    dashboard = json.loads(config["data"]["smallmodel.json"])
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:ray_)?smallmodel_\w+", target["expr"])
    }
    assert len(asked) > 8
    page = (ROOT / "docs" / "how-to" / "metrics.md").read_text(encoding="utf-8")
    agent = ROOT / "operator" / "smallmodel_operator" / "gateway" / "metrics.py"
    made = page + agent.read_text(encoding="utf-8")
    strangers = {name for name in asked if re.sub(r"_(bucket|count|sum)$", "", name) not in made}
    assert strangers == set()
