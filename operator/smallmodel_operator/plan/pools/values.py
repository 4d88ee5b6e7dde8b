"""What pools are built from, and what building them returns."""

from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.modelplacement import WorkerClass
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pool import PlannedModel

Manifest = dict[str, Any]
"""One Kubernetes object, as YAML has it. Only builders make it, and only `clusters` reads it."""

MODELS_PER_POOL: Final = 20
WEIGHTS_CLAIM: Final = "smallmodel-weights"
WEIGHTS_FOLDER: Final = "/weights"
SERVE_PORT: Final = 8000
DASHBOARD_PORT: Final = 8265
TOKEN_KEY: Final = "auth_token"  # noqa: S105 - the key's name in the Secret
"""KubeRay's name of the key in the Secret that `authOptions` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsVolume:
    """The claim of each namespace in which fetched weights lie."""

    claim: str = WEIGHTS_CLAIM
    create: bool = True
    """False: the claim is there already, and is never written to."""
    size: str = "50Gi"
    storage_class: str | None = None
    """Unset: the cluster's default."""
    access_mode: str = "ReadWriteOnce"
    """`ReadWriteMany` where workers run on several nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTolerance:
    """Where the head keeps Ray's state, so that models go on answering while it restarts."""

    redis_address: str
    """For example `redis:6379`."""
    redis_secret: str | None = None
    """A Secret of the pool's namespace with the key `password`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What all pools of a cluster have in common: the installation's choices."""

    hub_id: str
    operator_namespace: str
    cpu_image: str
    gpu_image: str | None = None
    """Unset: no engine for accelerators is offered."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    weights: WeightsVolume = WeightsVolume()
    fetch_environment: tuple[tuple[str, str], ...] = ()
    """Further variables of fetch Jobs, for example the address of a mirror."""
    models_per_pool: int = MODELS_PER_POOL
    fault_tolerance: FaultTolerance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKey:
    """What models must have in common to share a pool."""

    namespace: str
    worker: WorkerClass
    dedicated_to: str | None = None
    """The one model of a pool with `isolation: Dedicated`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPool:
    """One RayService and all of its models."""

    key: PoolKey
    name: str
    """Of the RayService: `<class>-<n>-<hash of the template>`."""
    models: tuple[PlannedModel, ...]
    """All of them; empty while the pool starts with `_index` alone."""
    contract: int = CONTRACT
