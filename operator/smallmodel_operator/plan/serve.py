"""The Serve config of a pool: one application for each model, and `_index`.

The shape is Ray's `ServeDeploySchema`, so the names are Ray's. What a user tunes lies in
`deployments[]`, which Ray applies without a restart and replaces as a whole: overrides are always
complete. Only `args` and `ray_actor_options` restart an application.
"""

import json
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.names import INDEX_APPLICATION
from smallmodel_operator.api.serving import (
    INDEX_DEPLOYMENT,
    MODEL_DEPLOYMENT,
    RETRY_AFTER_SECONDS,
    IndexConfig,
    IndexedModel,
    ModelArgs,
    ModelTuning,
)
from smallmodel_operator.plan.pool import PlannedModel, Pool
from smallmodel_operator.plan.timeouts import StackTimeouts, shutdown_timeout

MODEL_IMPORT_PATH: Final = "smallmodel_serving.runtime.application:build"
INDEX_IMPORT_PATH: Final = "smallmodel_serving.runtime.index:build_index"

INDEX_ROUTE: Final = "/-index"
"""No model can have this route: a name begins with a letter or a digit."""

TOKEN_CPU: Final = 0.01
"""CPU that a replica asks Ray for; how many threads it runs is set apart from this."""

_WHOLE: Final = 100
"""Hundredths of a device."""

_HEAD_RESOURCE: Final = "node:__internal_head__"
_HEAD_SHARE: Final = 0.001

# Reaction times, in seconds. With Ray's default interval of 10 s the first request to a model at
# zero replicas waits 9 to 11 s; with 1 s it waits 1.8 to 2.8 s (measured on Ray 2.60).
_METRICS_INTERVAL: Final = 1.0
_LOOK_BACK: Final = 3.0
_UPSCALE_DELAY: Final = 1.0
_DOWNSCALE_DELAY: Final = 60.0

_HEALTH_PERIOD: Final = 5.0
# A machine whose cores all compute tokens answers late without being ill.
_HEALTH_TIMEOUT: Final = 60.0
_SHUTDOWN_LOOP: Final = 1.0


class _RayModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AutoscalingConfig(_RayModel):
    """When replicas come and go. Ray replaces it as a whole, so it is always complete."""

    min_replicas: int
    initial_replicas: int | None
    """Set: Ray goes to that number at every change of the config, and not only at the first."""
    max_replicas: int
    target_ongoing_requests: int
    metrics_interval_s: float = _METRICS_INTERVAL
    look_back_period_s: float = _LOOK_BACK
    upscale_delay_s: float = _UPSCALE_DELAY
    downscale_delay_s: float = _DOWNSCALE_DELAY
    downscale_to_zero_delay_s: float


class BackpressureConfig(_RayModel):
    """What a request gets that finds the queue full."""

    status_code: Literal[429] = 429
    retry_after_s: int = RETRY_AFTER_SECONDS


class RayActorOptions(_RayModel):
    """What each replica asks Ray for."""

    num_cpus: float
    num_gpus: int | float | None = None
    """Whole devices, or a part of one: Ray counts it, and nothing enforces it."""
    memory: int | None = None
    resources: dict[str, float] | None = None


class ModelDeployment(_RayModel):
    """The overrides of a model's deployment."""

    name: Literal["Model"] = MODEL_DEPLOYMENT
    max_ongoing_requests: int
    max_queued_requests: int
    backpressure_config: BackpressureConfig = BackpressureConfig()
    autoscaling_config: AutoscalingConfig
    user_config: ModelTuning
    graceful_shutdown_wait_loop_s: float = _SHUTDOWN_LOOP
    graceful_shutdown_timeout_s: float
    health_check_period_s: float = _HEALTH_PERIOD
    health_check_timeout_s: float = _HEALTH_TIMEOUT
    max_replicas_per_node: int | None = None
    ray_actor_options: RayActorOptions


class IndexDeployment(_RayModel):
    """The overrides of the index: one replica on the head, taking no CPU.

    Unpinned it could land on a worker, which could then never be scaled down.
    """

    name: Literal["Index"] = INDEX_DEPLOYMENT
    num_replicas: int = 1
    user_config: IndexConfig
    ray_actor_options: RayActorOptions = RayActorOptions(
        num_cpus=0, resources={_HEAD_RESOURCE: _HEAD_SHARE}
    )


class NoArgs(_RayModel):
    """The index takes none: a change of arguments would restart it."""


class Application(_RayModel):
    """One Serve application."""

    name: str
    route_prefix: str
    import_path: str
    args: ModelArgs | NoArgs
    deployments: tuple[ModelDeployment | IndexDeployment]


class HttpOptions(_RayModel):
    """Serve's own HTTP settings, which cannot change while it runs."""

    host: str
    port: int
    request_timeout_s: float


class ServeConfig(_RayModel):
    """All applications of one Ray cluster: what is missing here is deleted by Ray."""

    proxy_location: Literal["EveryNode", "HeadOnly"]
    http_options: HttpOptions
    applications: tuple[Application, ...]


class ServeFront(_RayModel):
    """Where and how Serve listens."""

    host: str
    port: int
    timeouts: StackTimeouts
    proxy_location: Literal["EveryNode", "HeadOnly"] = "EveryNode"
    replicas_per_node: int | None = None
    """The most replicas of one model on one Ray node; unset: as many as Ray finds room for."""

    @property
    def http_options(self) -> HttpOptions:
        """The same, as Serve takes it."""
        return HttpOptions(host=self.host, port=self.port, request_timeout_s=self.timeouts.request)


def build_serve_config(pool: Pool, front: ServeFront) -> ServeConfig:
    """Return the whole config of a pool: `_index` first, then the models by name."""
    models = sorted(pool.models, key=lambda model: model.name)
    return ServeConfig(
        proxy_location=front.proxy_location,
        http_options=front.http_options,
        applications=(
            _index(models),
            *(_application(model, front) for model in models),
        ),
    )


def dump_serve_config(config: ServeConfig) -> str:
    """Return the config as one line of JSON: the same config is the same text."""
    values = config.model_dump(mode="json", exclude_none=True)
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _index(models: list[PlannedModel]) -> Application:
    indexed = tuple(
        IndexedModel(name=model.name, start_timeout_seconds=model.tuning.start_timeout_seconds)
        for model in models
    )
    return Application(
        name=INDEX_APPLICATION,
        route_prefix=INDEX_ROUTE,
        import_path=INDEX_IMPORT_PATH,
        args=NoArgs(),
        deployments=(IndexDeployment(user_config=IndexConfig(models=indexed)),),
    )


def _application(model: PlannedModel, front: ServeFront) -> Application:
    return Application(
        name=model.name,
        route_prefix=f"/{model.name}",
        import_path=MODEL_IMPORT_PATH,
        args=model.args,
        deployments=(
            ModelDeployment(
                max_ongoing_requests=model.max_ongoing_requests,
                max_queued_requests=model.scaling.max_queued_requests,
                autoscaling_config=_autoscaling(model),
                user_config=model.tuning,
                graceful_shutdown_timeout_s=shutdown_timeout(model, front.timeouts),
                max_replicas_per_node=front.replicas_per_node,
                ray_actor_options=RayActorOptions(
                    num_cpus=TOKEN_CPU,
                    num_gpus=_devices(model),
                    memory=model.resting_memory_bytes or None,
                ),
            ),
        ),
    )


def _devices(model: PlannedModel) -> int | float | None:
    if model.device_percent is not None and model.device_percent < _WHOLE:
        return model.device_percent / _WHOLE
    return model.accelerator.count if model.accelerator else None


def _autoscaling(model: PlannedModel) -> AutoscalingConfig:
    least = min(model.scaling.min_replicas, model.max_replicas)
    # One replica at first proves that the model loads. After that there is no initial number: Ray
    # would go back to it whenever anything of the deployment's config changes, which would wake a
    # parked model or park a busy one.
    initial = None if model.verified else max(least, 1)
    return AutoscalingConfig(
        min_replicas=least,
        initial_replicas=initial,
        max_replicas=model.max_replicas,
        target_ongoing_requests=model.target_ongoing_requests,
        downscale_to_zero_delay_s=seconds(model.scaling.park_after),
    )
