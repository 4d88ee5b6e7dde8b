"""What pools are built from, and what building them returns."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from smallmodel_operator.api.modelplacement import WorkerClass
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN, REQUEST_TIMEOUT_FLOOR, StackTimeouts

Manifest = dict[str, Any]
"""One Kubernetes object, as YAML has it. Only builders make it, and only `clusters` reads it."""

MODELS_PER_POOL: Final = 20
WEIGHTS_CLAIM: Final = "smallmodel-weights"
WEIGHTS_FOLDER: Final = "/weights"
SERVE_PORT: Final = 8000
DASHBOARD_PORT: Final = 8265
METRICS_PORT: Final = 8080
TOKEN_KEY: Final = "auth_token"  # noqa: S105 - the key's name in the Secret
"""KubeRay's name of the key in the Secret that `authOptions` names."""
RAY_VERSION: Final = "2.60.0"
"""Of the serving images. KubeRay chooses probes and authentication by it."""

LABEL_TEMPLATE: Final = "smallmodel.dev/template"
"""On a pool: the hash of the template that it was made from."""
LABEL_DEDICATED: Final = "smallmodel.dev/dedicated-to"
"""On a pool with `isolation: Dedicated`: its one model."""
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
COMPONENT_POOL: Final = "pool"
COMPONENT_FETCH: Final = "fetch"
ANNOTATION_CLAIM: Final = "smallmodel.dev/claim"
"""On a pool: the user's own claim that its workers mount. No label, which may be too short."""
ANNOTATION_WORKER: Final = "smallmodel.dev/worker"
"""On a pool: its WorkerClass as JSON, so that the pool's key can be read back."""


class VolumeKind(StrEnum):
    """What fetched weights lie in."""

    CLAIM = "Claim"
    """A claim of the namespace, which fetch Jobs fill once for all of its pools."""
    POOL = "Pool"
    """A volume of each worker of a pool, which is gone with it and filled by its replicas."""


class UpgradePolicy(StrEnum):
    """What becomes of a pool whose template is outdated."""

    MOVE = "Move"
    """Its models move one at a time to a new pool beside it."""
    RECREATE = "Recreate"
    """It ends at once, as with Deployments, and requests are held until a new pool answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsVolume:
    """Where the fetched weights of each namespace lie."""

    kind: VolumeKind = VolumeKind.CLAIM
    claim: str = WEIGHTS_CLAIM
    create: bool = True
    """False: the claim is there already and is never written to, or there is to be none."""
    size: str = "50Gi"
    """Of the claim, or the most that a pool's volume holds."""
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
class Toleration:
    """A taint that a pool's workers put up with."""

    key: str
    operator: str = "Exists"
    value: str | None = None
    effect: str | None = None
    """Unset: every effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorNodes:
    """How the cluster names its devices; the defaults are those of NVIDIA's device plugin."""

    resource: str = "nvidia.com/gpu"
    product_label: str = "nvidia.com/gpu.product"
    tolerations: tuple[Toleration, ...] = (Toleration(key="nvidia.com/gpu"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What all pools of a cluster have in common: the installation's choices."""

    hub_id: str
    operator_namespace: str
    cpu_image: str
    gpu_image: str | None = None
    """Unset: no engine for accelerators is offered."""
    ray_version: str = RAY_VERSION
    """Of both images."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    weights: WeightsVolume = WeightsVolume()
    fetch_environment: tuple[tuple[str, str], ...] = ()
    """Further variables of fetch Jobs, for example the address of a mirror."""
    fetch_deadline_seconds: int = 6 * 3600
    """How long one fetch may take before its Job is failed."""
    models_per_pool: int = MODELS_PER_POOL
    upgrade_policy: UpgradePolicy = UpgradePolicy.MOVE
    max_surge_pools: int = 1
    """Pools that may be there beyond the old ones while models move to a new template."""
    fault_tolerance: FaultTolerance | None = None
    accelerators: AcceleratorNodes = AcceleratorNodes()
    tolerations: tuple[Toleration, ...] = ()
    """Of all pods of pools and of fetch Jobs."""
    kuberay_namespace: str = "kuberay-system"
    """Where KubeRay runs, which has to reach the dashboard."""
    gateway_labels: tuple[tuple[str, str], ...] = (
        ("app.kubernetes.io/name", "smallmodel-gateway"),
    )
    """Of the gateway's pods in the operator's namespace, which send the requests."""
    gateway_namespaces: tuple[str, ...] = ()
    """Of a Gateway's pods that send requests in the place of ours."""
    metrics_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods may read Ray's metrics."""
    request_timeout_seconds: float = REQUEST_TIMEOUT_FLOOR
    """The longest `requestTimeout` that a pool honours; Serve cannot change it while it runs."""
    worker_drain_seconds: float = 60.0
    """How long a worker that is told to stop waits for answers that are still being written."""
    worker_idle_seconds: int = 60
    """How long a worker without replicas stays."""

    @property
    def timeouts(self) -> StackTimeouts:
        """The limits of every pool's Serve."""
        return StackTimeouts(request=self.request_timeout_seconds, drain=CLUSTER_DRAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKey:
    """What models must have in common to share a pool."""

    namespace: str
    worker: WorkerClass
    dedicated_to: str | None = None
    """The one model of a pool with `isolation: Dedicated`."""
    claim: str | None = None
    """A claim of the user's own that the models' weights lie in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptApplication:
    """An application as the live pool has it, which is left exactly so."""

    name: str
    text: str
    """The application as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPool:
    """One RayService and all of its models."""

    key: PoolKey
    name: str
    """Of the RayService: `<class>-<n>-<hash of the template>`."""
    models: tuple[PlannedModel, ...]
    """All of them; empty while the pool starts with `_index` alone."""
    kept: tuple[KeptApplication, ...] = ()
    """Models that this pool only serves until they moved away: their live applications."""
    contract: int = CONTRACT
    declined: bool = False
    """The wish to empty it cannot be granted, and is removed from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePool:
    """A RayService that exists and is ours."""

    name: str
    key: PoolKey
    template_hash: str
    models: frozenset[str]
    """Names of the applications in its config, `_index` aside."""
    contract: int = CONTRACT
    fetches: bool = False
    """Its workers have volumes of their own, which their replicas fill."""
    deleting: bool = False
    """Nothing is added to it any more."""
    wish: str | None = None
    """When somebody asked for it to be emptied into fuller pools, as RFC 3339."""
    emptying: bool = False
    """That wish is being granted: its models move out, and none is added."""


class PoolError(ValueError):
    """A pool cannot be built from what was given: a mistake of the operator, not of a user."""
