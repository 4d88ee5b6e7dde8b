"""The gateway's files as Envoy gets them, each taken by the real binary."""

from pathlib import Path

import pytest

from builders.plan_values import gateway_model, gateway_settings
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import (
    Endpoint,
    GatewayConfig,
    Unavailable,
)
from support.envoy_validation import validate
from support.golden import check_golden

SETTINGS = gateway_settings(metrics=Endpoint(address="127.0.0.1", port=8090))
CHAT = gateway_model("chat")
EMBED = gateway_model("embed", request_timeout_seconds=30.0)
BIG = gateway_model(
    "big",
    unavailable=Unavailable(
        reason=Reason.MEMORY_FIT, message="it needs 9.1 GiB and the machine has 7.6 GiB"
    ),
)
SERVED = {
    "no-model": (),
    "one-model": (CHAT,),
    "three-models": (CHAT, EMBED, gateway_model("other-7b")),
    "one-unavailable": (CHAT, BIG),
}


def test_the_bootstrap_and_the_clusters_are_as_they_were() -> None:
    config = build_gateway((), SETTINGS)

    check_golden("plan/gateway/bootstrap.yaml", config.bootstrap)
    check_golden("plan/gateway/clusters.yaml", config.clusters.text)


@pytest.mark.parametrize("case", SERVED)
def test_the_routes_are_as_they_were(case: str) -> None:
    config = build_gateway(SERVED[case], SETTINGS)

    check_golden(f"plan/gateway/routes-{case}.yaml", config.routes.text)


@pytest.mark.parametrize("case", SERVED)
def test_envoy_takes_the_configuration(case: str, tmp_path: Path) -> None:
    ended = validate(build_gateway(SERVED[case], SETTINGS), tmp_path)

    assert ended.returncode == 0, ended.stderr


def test_envoy_would_refuse_a_wrong_field(tmp_path: Path) -> None:
    config = build_gateway((CHAT,), SETTINGS)
    wrong = config.routes.text.replace("prefix_rewrite", "prefix_rewritten")
    ended = validate(config_with_routes(config, wrong), tmp_path)

    assert ended.returncode != 0
    assert "prefix_rewritten" in ended.stderr


def config_with_routes(config: GatewayConfig, text: str) -> GatewayConfig:
    routes = type(config.routes)(text=text, version="wrong")
    return GatewayConfig(bootstrap=config.bootstrap, routes=routes, clusters=config.clusters)
