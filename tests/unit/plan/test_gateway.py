from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import gateway_model, gateway_settings, names, planned_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.document import duration
from smallmodel_operator.plan.gateway.values import (
    Endpoint,
    GatewayModel,
    Unavailable,
    gateway_models,
)
from smallmodel_operator.plan.pool import Pool

WHY = Unavailable(reason=Reason.MEMORY_FIT, message="it needs 100 % more")


def routes(*models: GatewayModel, **settings: Any) -> list[dict[str, Any]]:
    text = build_gateway(models, gateway_settings(**settings)).routes.text
    found: list[dict[str, Any]] = yaml.safe_load(text)["resources"][0]["virtual_hosts"][0]["routes"]
    return found


@given(st.lists(names, unique=True, max_size=8))
def test_the_same_models_in_any_order_are_the_same_text(models: list[str]) -> None:
    built = [
        build_gateway([gateway_model(name) for name in order], gateway_settings())
        for order in (models, list(reversed(models)))
    ]

    assert built[0] == built[1]


@given(st.sets(names, max_size=5), st.sets(names, max_size=5))
def test_models_never_change_the_static_part_and_always_change_the_version(
    before: set[str], after: set[str]
) -> None:
    old = build_gateway([gateway_model(name) for name in before], gateway_settings())
    new = build_gateway([gateway_model(name) for name in after], gateway_settings())

    assert old.bootstrap == new.bootstrap
    assert old.clusters == new.clusters
    assert (old.routes.version == new.routes.version) is (before == after)


@given(st.lists(names, unique=True, min_size=1, max_size=5))
def test_each_model_is_reached_by_body_and_by_path_and_by_nothing_else(models: list[str]) -> None:
    to_serve = [route for route in routes(*map(gateway_model, models)) if "route" in route]
    paths = {(route["match"]["prefix"], route["route"].get("prefix_rewrite")) for route in to_serve}

    assert paths == {
        *(("/v1/", f"/{name}/v1/") for name in models),
        *((f"/{name}/v1/", None) for name in models),
    }
    assert all(route["route"]["timeout"] == "0s" for route in to_serve)
    assert not [route for route in to_serve if "retry_policy" in route["route"]]


def test_a_model_that_cannot_be_asked_has_no_way_to_serve() -> None:
    assert not [route for route in routes(gateway_model(unavailable=WHY)) if "route" in route]


def test_a_refusal_lists_twenty_models_and_counts_the_rest() -> None:
    found = routes(*(gateway_model(f"m{number:02}") for number in range(23)))
    errors = [
        route["direct_response"]["body_format"]["json_format"]["error"]
        for route in found
        if route["match"].get("prefix") == "/v1/" and "direct_response" in route
    ]
    texts = [error["message"] for error in errors if error["param"] == "model"]

    assert len(texts) == 2
    assert all("m00, m01" in text and "m19 and 3 more" in text for text in texts)
    assert not any("m20" in text for text in texts)


def test_metrics_have_a_route_only_where_there_is_an_exporter() -> None:
    exporter = Endpoint(address="127.0.0.1", port=9)

    assert {"path": "/metrics"} in [route["match"] for route in routes(metrics=exporter)]
    assert {"path": "/metrics"} not in [route["match"] for route in routes()]


def test_a_pools_models_have_their_own_timeouts_and_those_that_failed_their_reasons() -> None:
    pool = Pool(
        models=(
            planned_model("slow", scaling=Scaling(request_timeout="20m")),
            planned_model("big"),
        )
    )

    assert gateway_models(pool, {"big": WHY, "unplanned": WHY}) == (
        gateway_model("big", unavailable=WHY),
        gateway_model("slow", request_timeout_seconds=1200),
        gateway_model("unplanned", request_timeout_seconds=0, unavailable=WHY),
    )
    assert gateway_models(Pool(models=())) == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(300, "300s"), (0.25, "0.25s"), (100000, "100000s"), (0, "0s"), (1.0005, "1s")],
)
def test_durations_are_written_as_protobuf_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
