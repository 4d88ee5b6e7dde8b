"""What the operator renders, read by those for whom it is rendered: Ray, and the serving package.

Ray ignores names that it does not know, so a misspelt field would be lost in silence. These tests
hold what Ray kept against what was given to it.
"""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import ray.serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from builders.plan_values import model_args, planned_model
from smallmodel_operator.api.serving import (
    INDEX_DEPLOYMENT,
    MODEL_DEPLOYMENT,
    IndexConfig,
    ModelArgs,
    ModelTuning,
    VllmArgs,
)
from smallmodel_operator.api.smallmodel import Accelerator
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.serve import ServeFront, build_serve_config, dump_serve_config
from smallmodel_operator.plan.timeouts import (
    StackPaths,
    StackPorts,
    StackTimeouts,
    serve_environment,
)

FRONT = ServeFront(host="127.0.0.1", port=8000, timeouts=StackTimeouts(request=600, drain=5))
MODELS = (
    planned_model("chat"),
    planned_model(
        "gpu",
        args=model_args("gpu", engine=VllmArgs(arguments=("--seed=7",))),
        accelerator=Accelerator.model_validate({"class": "NVIDIA-L4"}),
        verified=True,
    ),
)


def rendered() -> dict[str, Any]:
    text = dump_serve_config(build_serve_config(Pool(models=MODELS), FRONT))
    config: dict[str, Any] = json.loads(text)
    return config


def application(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in rendered()["applications"] if each["name"] == name
    )
    return found


def understood_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Return what Ray keeps of a config."""
    with warnings.catch_warnings():
        # Ray calls `metrics_interval_s` deprecated, and still paces its reports by it.
        warnings.simplefilter("ignore", DeprecationWarning)
        schema = ServeDeploySchema.model_validate(config)
    kept: dict[str, Any] = schema.model_dump(mode="json", exclude_unset=True)
    return kept


def test_ray_keeps_every_field_of_the_config() -> None:
    assert understood_by_ray(rendered()) == rendered()


def test_ray_would_lose_a_misspelt_field() -> None:
    config = rendered()
    config["applications"][1]["deployments"][0]["max_queued_request"] = 1

    assert understood_by_ray(config) != config


def test_ray_knows_every_field_of_the_autoscaling_config() -> None:
    given = application("chat")["deployments"][0]["autoscaling_config"]
    with pytest.warns(DeprecationWarning, match="metrics_interval_s"):
        kept = AutoscalingConfig.model_validate(given).model_dump(exclude_unset=True)

    assert kept == given


def test_ray_reads_every_environment_variable() -> None:
    ports = StackPorts(
        frontend=1,
        haproxy_stats=2,
        haproxy_metrics=3,
        fallback_http=4,
        fallback_grpc=5,
        replica_http_first=10,
        replica_http_last=19,
        replica_grpc_first=20,
        replica_grpc_last=29,
        ray_metrics=6,
    )
    constants = Path(ray.serve.__file__).parent / "_private" / "constants.py"
    source = constants.read_text(encoding="utf-8")
    names = [name for name, _ in serve_environment(ports, StackPaths(folder="/x"), FRONT.timeouts)]

    assert [name for name in names if f'"{name}"' not in source] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_serving_package_reads_the_same_arguments(model: Any) -> None:
    found = application(model.name)

    assert ModelArgs.model_validate(found["args"]) == model.args
    tuning = ModelTuning.model_validate(found["deployments"][0]["user_config"])
    assert tuning == model.tuning


def test_the_index_reads_the_same_models() -> None:
    config = application("_index")["deployments"][0]["user_config"]

    assert [model.name for model in IndexConfig.model_validate(config).models] == ["chat", "gpu"]


@pytest.mark.parametrize("name", ["chat", "_index"])
def test_the_import_paths_lead_to_what_the_config_overrides(name: str) -> None:
    found = application(name)
    module, _, attribute = found["import_path"].partition(":")
    builder = getattr(importlib.import_module(module), attribute)
    built = builder(model_args("chat")) if name == "chat" else builder({})

    assert built._bound_deployment.name == found["deployments"][0]["name"]
    assert {MODEL_DEPLOYMENT, INDEX_DEPLOYMENT} >= {built._bound_deployment.name}
