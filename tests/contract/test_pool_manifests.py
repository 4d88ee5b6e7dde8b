"""The objects of a pool, held against the schemas of those who take them.

KubeRay's are recorded; those of Kubernetes are in its Python client.
"""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import ray
import yaml

from builders.fake_api_server import fake_admit
from builders.pool_values import cluster_pool, pool_settings
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import RAY_VERSION, TOKEN_KEY
from support.kuberay_schema import GOLDEN, VERSIONS, ray_services, recorded

RAY_SERVICES = ray_services()
PLAIN = [
    document
    for path in sorted(GOLDEN.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if document["kind"] != "RayService"
]
POD_TEMPLATES = [
    group["template"]
    for each in RAY_SERVICES.values()
    for group in (
        each["spec"]["rayClusterConfig"]["headGroupSpec"],
        *each["spec"]["rayClusterConfig"]["workerGroupSpecs"],
    )
]


def unknown_fields(value: Any, kind: str, where: str = "") -> Iterator[str]:
    """Every field that the Kubernetes client's type of that name does not have."""
    if kind.startswith("List["):
        for each in value:
            yield from unknown_fields(each, kind[5:-1], where)
    elif kind.startswith("Dict["):
        inner = kind[5:-1].partition(", ")[2]
        for name, each in value.items():
            yield from unknown_fields(each, inner, f"{where}.{name}")
    elif hasattr(kubernetes.client, kind):
        model = getattr(kubernetes.client, kind)
        names = {alias: name for name, alias in model.attribute_map.items()}
        for name, each in value.items():
            if name not in names:
                yield f"{where}.{name}"
            else:
                yield from unknown_fields(each, model.openapi_types[names[name]], f"{where}.{name}")
    elif kind in ("str", "int", "bool") and type(value).__name__ != kind:
        yield f"{where} is {value!r}, and no {kind}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", RAY_SERVICES)
def test_kuberay_takes_every_ray_service(version: str, case: str) -> None:
    assert fake_admit(recorded(version), RAY_SERVICES[case]) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "edit",
    [
        lambda cluster: cluster["authOptions"].update(secret="x"),
        lambda cluster: cluster["authOptions"].update(mode="Token"),
        lambda cluster: cluster["autoscalerOptions"].update(version="v3"),
        lambda cluster: cluster["workerGroupSpecs"][0].update(maxReplica=1),
        lambda cluster: cluster["workerGroupSpecs"][0].update(maxReplicas="1"),
        lambda cluster: cluster["workerGroupSpecs"][0]["template"]["spec"].update(tolerance=[]),
        lambda cluster: cluster["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
    ],
)
def test_kuberays_schema_would_refuse_a_mistake(version: str, edit: Any) -> None:
    built = build_ray_service(cluster_pool("chat"), pool_settings())
    edit(built["spec"]["rayClusterConfig"])

    assert fake_admit(recorded(version), built) != []


@pytest.mark.parametrize("document", PLAIN, ids=lambda each: each["metadata"]["name"])
def test_kubernetes_knows_every_field(document: dict[str, Any]) -> None:
    assert list(unknown_fields(document, f"V1{document['kind']}")) == []


@pytest.mark.parametrize("template", POD_TEMPLATES)
def test_kubernetes_knows_every_field_of_a_pools_pods(template: dict[str, Any]) -> None:
    assert list(unknown_fields(template, "V1PodTemplateSpec")) == []


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = {"spec": {"containers": [{"name": 1, "volumeMount": []}]}}

    assert list(unknown_fields(wrong, "V1PodTemplateSpec")) == [
        ".spec.containers.name is 1, and no str",
        ".spec.containers.volumeMount",
    ]


def test_the_pools_say_the_version_of_ray_that_is_pinned() -> None:
    assert ray.__version__ == RAY_VERSION


def test_ray_reads_every_variable_of_its_own() -> None:
    folder = Path(ray.__file__).parent
    source = "".join(
        (folder / path).read_text(encoding="utf-8")
        for path in (
            "serve/_private/constants.py",
            "_private/ray_constants.py",
            "autoscaler/_private/constants.py",
            "_common/usage/usage_constants.py",
        )
    )
    clusters = [each["spec"]["rayClusterConfig"] for each in RAY_SERVICES.values()]
    names = {
        variable["name"]
        for variables in (
            *(each["autoscalerOptions"]["env"] for each in clusters),
            *(template["spec"]["containers"][0]["env"] for template in POD_TEMPLATES),
        )
        for variable in variables
        if variable["name"].startswith(("RAY", "AUTOSCALER"))
    }

    assert len(names) > 20
    assert sorted(name for name in names if f'"{name}"' not in source) == []


def test_the_example_token_is_none() -> None:
    (secret,) = [each for each in PLAIN if each["kind"] == "Secret"]

    assert base64.b64decode(secret["data"][TOKEN_KEY]) == b"not-a-real-token"


def test_waiting_for_the_head_ends_with_what_to_do(tmp_path: Path) -> None:
    cluster = build_ray_service(cluster_pool(), pool_settings())["spec"]["rayClusterConfig"]
    (wait,) = cluster["workerGroupSpecs"][0]["template"]["spec"]["initContainers"]
    # A clock that is already past the limit, and an address at which nothing listens.
    script = f"SECONDS=301; {wait['command'][-1]}"

    ended = subprocess.run(
        ["bash", "-c", script],
        env={"FQ_RAY_IP": "127.0.0.1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert "Ray's head at 127.0.0.1:6379 did not answer within 300 s" in ended.stderr
