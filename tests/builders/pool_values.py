"""Values of pools: settings, worker classes, placements, and pools that exist."""

from typing import Any

from builders.plan_values import MIB, SHA256, model_args, planned_model
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementSpec,
    ModelPlacementStatus,
    ModelReference,
    PinnedWeights,
    Quarantine,
    WorkerClass,
)
from smallmodel_operator.api.names import placement_name
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelTuning
from smallmodel_operator.api.smallmodel import Accelerator, Engine, Isolation, Scaling
from smallmodel_operator.plan.pools.fetchjob import build_fetch_job
from smallmodel_operator.plan.pools.names import pool_name, template_hash
from smallmodel_operator.plan.pools.values import (
    ClusterPool,
    FaultTolerance,
    LivePool,
    Manifest,
    PoolKey,
    PoolSettings,
    VolumeKind,
    WeightsVolume,
)

NAMESPACE = "team-a"
TOKEN_KEY = "k" * 64
"""What tokens of pools are made from."""
OUTDATED = "00000000"
"""A template's hash that is never today's."""
WITHOUT_CLAIMS = WeightsVolume(kind=VolumeKind.POOL, create=False)
"""Replicas fetch for themselves."""
REDIS = FaultTolerance(redis_address="redis:6379", redis_secret="redis-password")


def pool_settings(**changed: Any) -> PoolSettings:
    """An installation with images for CPU and GPU."""
    values: dict[str, Any] = {
        "hub_id": "hub-1",
        "operator_namespace": "smallmodel-system",
        "cpu_image": "registry.example/serving-cpu:1",
        "gpu_image": "registry.example/serving-gpu:1",
    }
    return PoolSettings(**values | changed)


def worker_class(name: str = "cpu-4gi", **changed: Any) -> WorkerClass:
    """Workers with 2 CPU and 4 GiB."""
    return WorkerClass(**{"name": name, "cpu": "2", "memory": "4Gi", "max_workers": 2} | changed)


def gpu_class(count: int = 1) -> WorkerClass:
    """Workers with that many L4."""
    accelerator = Accelerator.model_validate({"class": "NVIDIA-L4", "count": count})
    return worker_class("nvidia-l4", memory="16Gi", accelerator=accelerator)


def key_of(**changed: Any) -> PoolKey:
    """The key of shared pools with small CPU workers."""
    values: dict[str, Any] = {"namespace": NAMESPACE, "worker": worker_class()}
    return PoolKey(**values | changed)


def cluster_pool(*names: str, key: PoolKey | None = None, **changed: Any) -> ClusterPool:
    """The first pool of its key, with models of those names."""
    key = key or key_of()
    values: dict[str, Any] = {
        "key": key,
        "name": pool_name(key, 1, pool_settings()),
        "models": tuple(planned_model(name) for name in names),
    }
    return ClusterPool(**values | changed)


def live_pool(number: int, *names: str, key: PoolKey | None = None, **changed: Any) -> LivePool:
    """A pool that exists and has today's template."""
    key = key or key_of()
    values: dict[str, Any] = {
        "name": pool_name(key, number, pool_settings()),
        "key": key,
        "template_hash": template_hash(key, pool_settings()),
        "models": frozenset(names),
    }
    return LivePool(**values | changed)


def outdated_pool(number: int, *names: str, key: PoolKey | None = None) -> LivePool:
    """A pool that exists and was made from an older template."""
    return live_pool(number, *names, key=key, name=f"old-{number}", template_hash=OUTDATED)


def weights(**changed: Any) -> PinnedWeights:
    """One file at the hub, with its digest."""
    values: dict[str, Any] = {"uri": "hf://example/tiny/q4_1.gguf", "sha256": SHA256}
    return PinnedWeights(**values | changed)


def placement_of(
    name: str = "chat",
    *,
    namespace: str = NAMESPACE,
    metadata: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> ModelPlacement:
    """A ModelPlacement on the local cluster that no pool holds."""
    values: dict[str, Any] = {
        "hub_id": "hub-1",
        "cluster": "local",
        "model": ModelReference(namespace=namespace, name=name, generation=1),
        "engine": Engine.LLAMA_CPP,
        "variant": "q4_1",
        "weights": weights(),
        "worker": worker_class(),
        "args": model_args(name, weights=""),
        "tuning": ModelTuning(idle_timeout_seconds=300, start_timeout_seconds=60),
        "scaling": Scaling(),
        "max_replicas": 2,
        "max_ongoing_requests": 8,
        "target_ongoing_requests": 4,
        "resting_memory_bytes": 60 * MIB,
    }
    return ModelPlacement(
        metadata=ObjectMeta.model_validate(
            {"name": placement_name(namespace, name), "namespace": "slm-cluster-local"}
            | (metadata or {})
        ),
        spec=ModelPlacementSpec(**values | spec),
        status=ModelPlacementStatus(**status or {}),
    )


def dedicated_placement(name: str, **changed: Any) -> ModelPlacement:
    """A ModelPlacement that wants a pool of its own."""
    return placement_of(name, isolation=Isolation.DEDICATED, **changed)


def quarantine() -> Quarantine:
    """A revision that never worked."""
    return Quarantine(
        serving_hash="abc",
        attempts=1,
        until="2026-01-01T00:00:00Z",
        reason=Reason.LOAD_FAILED,
        message="it does not load",
    )


def fetch_job_of(placement: ModelPlacement, settings: PoolSettings) -> Manifest:
    """The Job that fetches the placement's weights."""
    return build_fetch_job(placement.spec.model.namespace, placement.spec.weights, settings)
