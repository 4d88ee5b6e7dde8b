"""Answers of Ray's dashboard to `GET /api/serve/applications/`, in the form of Ray 2.60."""

import json
from typing import Any

from builders.plan_values import model_args

Answer = dict[str, Any]


def replica(state: str = "RUNNING", number: int = 1) -> Answer:
    """One replica, with all that Ray says of it."""
    return {
        "node_id": "6c0a", "node_ip": "10.244.0.9", "node_instance_id": "i-1", "actor_id": "a1",
        "actor_name": f"SERVE_REPLICA::chat#Model#{number}", "worker_id": "w1",
        "log_file_path": "/serve/replica_chat_Model.log", "replica_id": f"r{number}",
        "state": state, "pid": 321, "start_time_s": 1_790_000_000.5,
    }  # fmt: skip


def deployment(
    *replicas: Answer, status: str = "HEALTHY", message: str = "", target: int | None = None
) -> Answer:
    """The deployment of a model."""
    return {
        "name": "Model",
        "status": status,
        "status_trigger": "CONFIG_UPDATE_COMPLETED",
        "message": message,
        "deployment_config": {
            "name": "Model",
            "max_ongoing_requests": 8,
            "max_queued_requests": 100,
            "user_config": {"keepAwake": False},
            "autoscaling_config": {"min_replicas": 0, "max_replicas": 3},
            "ray_actor_options": {"num_cpus": 0.01, "memory": 209_715_200.0},
        },
        "target_num_replicas": len(replicas) if target is None else target,
        "required_resources": {"CPU": 0.01, "memory": 209_715_200.0},
        "replicas": list(replicas),
    }


def application(
    name: str = "chat",
    *,
    status: str = "RUNNING",
    message: str = "",
    deployments: dict[str, Answer] | None = None,
    args: dict[str, Any] | None = None,
) -> Answer:
    """The application of a model with one replica."""
    given = model_args(name).model_dump(mode="json") if args is None else args
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "docs_path": None,
        "status": status,
        "message": message,
        "last_deployed_time_s": 1_790_000_001.25,
        "deployed_app_config": {
            "name": name,
            "route_prefix": f"/{name}",
            "import_path": "smallmodel_serving.runtime.application:build",
            "args": given,
            "deployments": [{"name": "Model", "max_ongoing_requests": 8}],
        },
        "source": "declarative",
        "deployments": {"Model": deployment(replica())} if deployments is None else deployments,
        "external_scaler_enabled": False,
    }


def index() -> Answer:
    """The application that is always there."""
    return application("_index", args={})


def instance(*applications: Answer) -> Answer:
    """The whole answer."""
    return {
        "controller_info": {"node_id": "6c0a", "actor_name": "SERVE_CONTROLLER_ACTOR"},
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000, "request_timeout_s": 600.0},
        "grpc_options": {"port": 9000, "grpc_servicer_functions": []},
        "proxies": {},
        "applications": {each["name"]: each for each in applications},
        "target_capacity": None,
        "target_groups": [],
    }


def text(*applications: Answer) -> str:
    """The whole answer as it is sent."""
    return json.dumps(instance(*applications))
