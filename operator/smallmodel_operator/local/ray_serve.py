"""An embedded Ray with Serve in HAProxy mode, inside this process."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smallmodel_operator.api.names import INDEX_APPLICATION
from smallmodel_operator.local.errors import StackFailed
from smallmodel_operator.status.serve import ServedApplication, ServedDeployment, served_application

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

_OBJECT_STORE_BYTES: Final = 80_000_000
"""Serve keeps no objects there; Ray's least is 75 MB, its default 30 % of all memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySettings:
    """How the embedded Ray is started."""

    folder: Path
    """For sockets and logs; a short path."""
    metrics_port: int
    cpus: int
    dashboard_port: int | None
    """Set: the dashboard is started on loopback, behind the token."""


def set_environment(variables: Mapping[str, str]) -> None:
    """Set what Ray and Serve read when they are imported and started.

    A token of this run's own keeps others on the machine from running code through Ray's ports.
    """
    os.environ.update(variables)
    os.environ.update(
        {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(24),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DEDUP_LOGS": "0",
            "RAY_SERVE_LOG_TO_STDERR": "0",
            # Each of Ray's processes has tens of threads, and by default an arena for each.
            "MALLOC_ARENA_MAX": "2",
        }
    )


def start_ray(settings: RaySettings) -> Path:
    """Start Ray's processes as children of this one, and return the folder with their logs.

    Raises:
        StackFailed: Ray did not start.
    """
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=settings.cpus,
            num_gpus=0,
            include_dashboard=settings.dashboard_port is not None,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="warning",
            _temp_dir=str(settings.folder),
            _metrics_export_port=settings.metrics_port,
            _node_ip_address="127.0.0.1",
        )
    except (RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise StackFailed(
            f"Ray did not start: {error}; its logs lie in {settings.folder}"
        ) from error
    _end_idle_helpers(keep_dashboard=settings.dashboard_port is not None)
    return settings.folder / "session_latest" / "logs"


def _end_idle_helpers(*, keep_dashboard: bool) -> None:
    """End those of Ray's processes that have nothing to do on one machine.

    They are the autoscaler's monitor (there are no nodes to add), the log monitor (nothing is
    logged to the driver) and the head of the dashboard where nobody asked for one. Together they
    hold some 300 MB; `ray.init` has no switch for them.
    """
    from ray._private.worker import _global_node

    _global_node.kill_monitor()
    _global_node.kill_log_monitor()
    if not keep_dashboard:
        _global_node.kill_dashboard()


def start_serve(config: str) -> None:
    """Start Serve with the HTTP options of a Serve config."""
    from ray import serve
    from ray.serve.config import HTTPOptions

    options = json.loads(config)
    serve.start(
        proxy_location=options["proxy_location"],
        http_options=HTTPOptions(**options["http_options"]),
    )


def apply(config: str) -> None:
    """Give Serve the whole desired config; applications that it lacks are deleted.

    This is what the dashboard's `PUT /api/serve/applications/` does with the same text; the
    dashboard itself is not started for it.
    """
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(json.loads(config)))


def observe() -> dict[str, ServedApplication]:
    """Return what Serve says of each model's application, by model name."""
    from ray import serve

    return {
        name: read_overview(name, overview)
        for name, overview in serve.status().applications.items()
        if name != INDEX_APPLICATION
    }


def read_overview(name: str, overview: "ApplicationStatusOverview") -> ServedApplication:
    """Return what Serve says of one application; the replicas that it wants are no part of it."""
    return served_application(
        name,
        status=overview.status.value,
        message=overview.message,
        deployed_at=overview.last_deployed_time_s,
        deployments=tuple(_deployment(deployment) for deployment in overview.deployments.values()),
    )


def _deployment(seen: "DeploymentStatusOverview") -> ServedDeployment:
    return ServedDeployment(
        status=seen.status.value,
        message=seen.message,
        replicas=seen.replica_states.get("RUNNING", 0),
    )
