import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import MIB, names, planned_model, pool
from smallmodel_operator.api.serving import ModelTuning
from smallmodel_operator.api.smallmodel import Accelerator, Scaling
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.serve import (
    ServeFront,
    build_serve_config,
    dump_serve_config,
)
from smallmodel_operator.plan.timeouts import StackTimeouts

FRONT = ServeFront(host="127.0.0.1", port=8000, timeouts=StackTimeouts(request=600, drain=5))


def rendered(*models: Any) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(
        dump_serve_config(build_serve_config(Pool(models=models), FRONT))
    )
    return config


def deployment(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = rendered(planned_model(**changed))["applications"][1]["deployments"][0]
    return found


@given(st.lists(names, unique=True, max_size=8))
def test_the_same_models_in_any_order_are_the_same_text(models: list[str]) -> None:
    texts = {
        dump_serve_config(build_serve_config(pool(*order), FRONT))
        for order in (models, reversed(models))
    }

    assert len(texts) == 1
    assert "\n" not in texts.pop()


@given(st.lists(names, unique=True, max_size=8))
def test_every_model_has_an_application_and_a_route_of_its_own(models: list[str]) -> None:
    applications = build_serve_config(pool(*models), FRONT).applications
    routes = [application.route_prefix for application in applications]

    assert [application.name for application in applications] == ["_index", *sorted(models)]
    assert routes == ["/-index", *(f"/{name}" for name in sorted(models))]


def test_an_empty_pool_is_the_index_alone_and_pinned_to_the_head() -> None:
    assert rendered()["applications"] == [
        {
            "name": "_index",
            "route_prefix": "/-index",
            "import_path": "smallmodel_serving.runtime.index:build_index",
            "args": {},
            "deployments": [
                {
                    "name": "Index",
                    "num_replicas": 1,
                    "user_config": {"models": []},
                    "ray_actor_options": {
                        "num_cpus": 0,
                        "resources": {"node:__internal_head__": 0.001},
                    },
                }
            ],
        }
    ]


def test_the_index_learns_the_models_without_a_restart() -> None:
    tuning = ModelTuning(idle_timeout_seconds=1, start_timeout_seconds=45)
    index = rendered(planned_model("b", tuning=tuning), planned_model("a"))["applications"][0]

    assert index["args"] == {}
    assert index["deployments"][0]["user_config"] == {
        "models": [
            {"name": "a", "startTimeoutSeconds": 60},
            {"name": "b", "startTimeoutSeconds": 45},
        ]
    }


def test_the_overrides_of_a_model_are_complete() -> None:
    assert deployment() == {
        "name": "Model",
        "max_ongoing_requests": 8,
        "max_queued_requests": 100,
        "backpressure_config": {"status_code": 429, "retry_after_s": 5},
        "autoscaling_config": {
            "min_replicas": 0,
            "initial_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 4,
            "metrics_interval_s": 1,
            "look_back_period_s": 3,
            "upscale_delay_s": 1,
            "downscale_delay_s": 60,
            "downscale_to_zero_delay_s": 3600,
        },
        "user_config": {
            "keepAwake": False,
            "idleTimeoutSeconds": 300,
            "startTimeoutSeconds": 60,
        },
        "graceful_shutdown_wait_loop_s": 1,
        "graceful_shutdown_timeout_s": 305,
        "health_check_period_s": 5,
        "health_check_timeout_s": 60,
        "ray_actor_options": {"num_cpus": 0.01, "memory": 60 * MIB},
    }


@pytest.mark.parametrize(
    ("least", "room", "verified", "expected"),
    [
        (0, 3, False, (0, 1, 3)),
        (0, 3, True, (0, None, 3)),
        (2, 3, False, (2, 2, 3)),
        (2, 3, True, (2, None, 3)),
        (3, 1, False, (1, 1, 1)),
        (3, 1, True, (1, None, 1)),
    ],
)
def test_a_model_starts_with_one_replica_until_it_answered_and_is_then_left_to_ray(
    least: int, room: int, verified: bool, expected: tuple[int, int | None, int]
) -> None:
    scaling = deployment(scaling=Scaling(min_replicas=least), max_replicas=room, verified=verified)[
        "autoscaling_config"
    ]

    assert expected == (
        scaling["min_replicas"],
        scaling.get("initial_replicas"),
        scaling["max_replicas"],
    )


def test_what_the_user_tunes_lies_in_the_overrides() -> None:
    found = deployment(
        scaling=Scaling(park_after="2h", max_queued_requests=7, request_timeout="10s")
    )

    assert found["autoscaling_config"]["downscale_to_zero_delay_s"] == 7200
    assert found["max_queued_requests"] == 7
    assert found["graceful_shutdown_timeout_s"] == 15


def test_devices_are_asked_of_ray_and_an_unknown_resting_size_is_not() -> None:
    accelerator = Accelerator.model_validate({"class": "NVIDIA-L4", "count": 2})
    options = deployment(accelerator=accelerator, resting_memory_bytes=0)["ray_actor_options"]

    assert options == {"num_cpus": 0.01, "num_gpus": 2}


@pytest.mark.parametrize(("percent", "asked"), [(None, 1), (7, 0.07), (50, 0.5), (100, 1)])
def test_a_part_of_a_device_is_asked_of_ray_as_such(
    percent: int | None, asked: int | float
) -> None:
    one = Accelerator.model_validate({"class": "NVIDIA-L4"})
    options = deployment(accelerator=one, device_percent=percent)["ray_actor_options"]

    # Ray refuses 1.0 and more with a fraction, and JSON keeps 1 apart from 1.0.
    assert json.dumps(options["num_gpus"]) == json.dumps(asked)


def test_replicas_are_spread_over_nodes_only_where_that_is_asked_for() -> None:
    front = FRONT.model_copy(update={"replicas_per_node": 1})
    text = dump_serve_config(build_serve_config(pool("chat"), front))
    spread = json.loads(text)["applications"][1]["deployments"][0]

    assert spread["max_replicas_per_node"] == 1
    assert "max_replicas_per_node" not in deployment()


def test_serve_listens_where_it_is_told_with_the_pools_timeout() -> None:
    assert rendered()["http_options"] == {
        "host": "127.0.0.1",
        "port": 8000,
        "request_timeout_s": 600,
    }
