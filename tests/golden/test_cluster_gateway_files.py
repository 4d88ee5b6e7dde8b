"""The files of a cluster's gateway as Envoy gets them, each taken by the real binary."""

import json
from pathlib import Path

import pytest
import yaml

from builders.plan_values import gateway_model, namespace_routes, peer
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.config_map import gateway_restart
from smallmodel_operator.plan.gateway.http_route import (
    ParentGateway,
    build_http_routes,
    service_models,
)
from smallmodel_operator.plan.gateway.values import (
    DiscoveryFile,
    Endpoint,
    GatewayConfig,
    Unavailable,
)
from support.envoy_validation import validate
from support.golden import check_golden

FIRST = Endpoint(address="llamacpp-cpu-1-0a1b2c3d-serve-svc.team-a.svc", port=8000)
SECOND = Endpoint(address="vllm-l4-1-4e5f6a7b-serve-svc.team-a.svc", port=8000)
OTHER = Endpoint(address="llamacpp-cpu-1-0a1b2c3d-serve-svc.team-b.svc", port=8000)
FETCHING = Unavailable(reason=Reason.FETCHING, message="42 % of its weights are there")

TEAM_A = namespace_routes(
    "team-a",
    RoutedModel(model=gateway_model("chat"), upstream=FIRST),
    RoutedModel(model=gateway_model("embed", request_timeout_seconds=30.0), upstream=SECOND),
    RoutedModel(model=gateway_model("big", unavailable=FETCHING)),
    admitted=("10.244.0.8", "10.244.0.7", "fd00::7", "10.245.0.0/24"),
)
FAR = namespace_routes(
    "team-a",
    RoutedModel(model=gateway_model("chat"), upstream=FIRST),
    RoutedModel(model=gateway_model("embed"), elsewhere=(peer("munich"),)),
    RoutedModel(model=gateway_model("both"), elsewhere=(peer("munich"), peer("paris"))),
    RoutedModel(model=gateway_model("big"), elsewhere=(peer("munich"),), leaving=SECOND),
    RoutedModel(model=gateway_model("going", unavailable=FETCHING), leaving=FIRST),
)
TEAM_B = namespace_routes("team-b", RoutedModel(model=gateway_model("chat"), upstream=OTHER))
EMPTY = namespace_routes("team-c")

CASES: dict[str, tuple[NamespaceRoutes, ...]] = {
    "nothing": (),
    "one-namespace": (TEAM_B,),
    "other-clusters": (FAR, TEAM_B),
    "three-namespaces": (TEAM_A, TEAM_B, EMPTY),
}


def built(case: str, **settings: object) -> GatewayConfig:
    known = [peer("munich").identity] if case == "other-clusters" else []
    return build_cluster_gateway(CASES[case], ClusterGatewaySettings(**settings), known)  # type: ignore[arg-type] # a few fields, chosen by each test


def check_json(name: str, file: DiscoveryFile) -> None:
    """Compare it indented; what Envoy gets is one line."""
    assert file.text.count("\n") == 1
    check_golden(name, json.dumps(json.loads(file.text), indent=1) + "\n")


def test_the_bootstrap_is_as_it_was() -> None:
    check_golden("plan/gateway/cluster/bootstrap.yaml", built("nothing").bootstrap)


@pytest.mark.parametrize("case", CASES)
def test_the_routes_and_clusters_are_as_they_were(case: str) -> None:
    config = built(case)

    check_json(f"plan/gateway/cluster/routes-{case}.json", config.routes)
    check_json(f"plan/gateway/cluster/clusters-{case}.json", config.clusters)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loopback", [True, False])
def test_envoy_takes_the_configuration(case: str, loopback: bool, tmp_path: Path) -> None:
    ended = validate(built(case, admit_loopback=loopback), tmp_path)

    assert ended.returncode == 0, ended.stderr


def test_envoy_takes_two_families_of_addresses(tmp_path: Path) -> None:
    ended = validate(built("nothing", listen=Endpoint(address="::", port=8080)), tmp_path)

    assert ended.returncode == 0, ended.stderr


def test_the_restart_and_the_http_routes_are_as_they_were() -> None:
    parent = ParentGateway(name="public", namespace="gateways", section="https")
    objects = [
        gateway_restart(built("nothing"), "smallmodel-system"),
        *build_http_routes("team-a", service_models(TEAM_A.models), parent, "hub-1"),
    ]

    check_golden("plan/gateway/cluster/objects.yaml", yaml.safe_dump_all(objects))
