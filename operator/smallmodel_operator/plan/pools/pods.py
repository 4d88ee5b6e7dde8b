"""The pods of a pool: a head that runs Serve and no model, and workers that run the models.

Every number here was needed or measured on a real cluster: docs/reference/pools.md says which.
"""

from math import ceil
from typing import Final

from smallmodel_operator.api.base import amount, human_bytes
from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL
from smallmodel_operator.api.serving import NODE_FOLDER_VARIABLE, NODE_MEMORY_VARIABLE
from smallmodel_operator.placement.cluster_workers import WORKER_OVERHEAD
from smallmodel_operator.plan.pools.claims import claim_mounts, claim_volumes
from smallmodel_operator.plan.pools.security import container_security, pod_security
from smallmodel_operator.plan.pools.values import (
    COMPONENT_POOL,
    DASHBOARD_PORT,
    LABEL_COMPONENT,
    METRICS_PORT,
    SERVE_PORT,
    Manifest,
    PoolError,
    PoolKey,
    PoolSettings,
    Toleration,
)
from smallmodel_operator.plan.pools.weights import fetch_variables, weights_volume, worker_mount
from smallmodel_operator.plan.timeouts import (
    POD_PORTS,
    StackPaths,
    serve_environment,
)

WORKER_GROUP: Final = "models"
GCS_PORT: Final = 6379
CLIENT_PORT: Final = 10001

HEAD_REQUESTS: Final = {"cpu": "200m", "memory": "1536Mi"}
HEAD_LIMITS: Final = {"cpu": "2", "memory": "3Gi"}

_OBJECT_STORE_BYTES: Final = 100_000_000
_HEAD_GRACE_SECONDS: Final = 10
_GRACE_MARGIN_SECONDS: Final = 20
_INIT_REQUESTS: Final = {"cpu": "10m", "memory": "16Mi"}
_INIT_LIMITS: Final = {"cpu": "100m", "memory": "64Mi"}
_HEAD_WAIT_SECONDS: Final = 300
_TMP_SIZE: Final = "2Gi"
_NODE_FOLDER: Final = "/run/smallmodel"
_HAPROXY_FOLDER: Final = "/tmp/haproxy"  # noqa: S108 - the pod's own emptyDir

# KubeRay's own init container imports Ray under a limit of 200m CPU, which takes 8 to 10 s. A
# connection to the head's GCS says the same in milliseconds.
_WAIT_FOR_HEAD: Final = (
    f"until (exec 3<>/dev/tcp/$FQ_RAY_IP/{GCS_PORT}) 2>/dev/null; do "
    f"if ((SECONDS >= {_HEAD_WAIT_SECONDS})); then "
    f"echo \"Ray's head at $FQ_RAY_IP:{GCS_PORT} did not answer within {_HEAD_WAIT_SECONDS} s; "
    "look at this pool's head pod, and at its NetworkPolicy\" >&2; exit 1; fi; sleep 0.5; done"
)


def head_group(pool: str, settings: PoolSettings) -> Manifest:
    """Return the head group: Serve's controller, HAProxy, the dashboard and the autoscaler."""
    container = {
        "name": "ray-head",
        "image": settings.cpu_image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": _variables(_environment(settings)),
        "ports": [
            _port("gcs-server", GCS_PORT),
            _port("dashboard", DASHBOARD_PORT),
            _port("client", CLIENT_PORT),
            _port("metrics", METRICS_PORT),
            _port("serve", SERVE_PORT),
        ],
        "resources": {"requests": dict(HEAD_REQUESTS), "limits": dict(HEAD_LIMITS)},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - an emptyDir
    }
    spec = _pod(settings) | {
        "containers": [container],
        "terminationGracePeriodSeconds": _HEAD_GRACE_SECONDS,
        "volumes": [_scratch("tmp")],
    }
    return {
        "rayStartParams": {"num-cpus": "0", "object-store-memory": str(_OBJECT_STORE_BYTES)},
        "template": {"metadata": {"labels": _labels(pool, settings)}, "spec": spec},
    }


def worker_group(key: PoolKey, pool: str, settings: PoolSettings) -> Manifest:
    """Return the worker group, which Ray's autoscaler keeps between none and `maxWorkers`.

    Raises:
        PoolError: The class has accelerators and there is no image for them, or it has no memory
            left beside Ray.
    """
    worker = key.worker
    engines = _engine_bytes(key)
    start = {
        "num-cpus": str(ceil(amount(worker.cpu))),
        "memory": str(engines),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
    }
    if worker.accelerator:
        start["num-gpus"] = str(worker.accelerator.count)
    return {
        "groupName": WORKER_GROUP,
        "minReplicas": 0,
        "maxReplicas": worker.max_workers,
        "rayStartParams": start,
        "template": {
            "metadata": {"labels": _labels(pool, settings)},
            "spec": _worker_spec(key, settings, engines),
        },
    }


def _worker_spec(key: PoolKey, settings: PoolSettings, engines: int) -> Manifest:
    image = _worker_image(key, settings)
    node = {NODE_FOLDER_VARIABLE: _NODE_FOLDER, NODE_MEMORY_VARIABLE: str(engines)}
    drain = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": f"{settings.worker_drain_seconds:g}"}
    container = {
        "name": "ray-worker",
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": _variables(_environment(settings) | node | drain | fetch_variables(settings)),
        "ports": [_port("metrics", METRICS_PORT), _port("serve", SERVE_PORT)],
        "resources": _worker_resources(key, settings),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir
            {"name": "node", "mountPath": _NODE_FOLDER},
            worker_mount(settings.weights),
            *claim_mounts(key.claim),
        ],
    }
    wait = {
        "name": "wait-for-head",
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["/bin/bash", "-c", _WAIT_FOR_HEAD],
        "resources": {"requests": dict(_INIT_REQUESTS), "limits": dict(_INIT_LIMITS)},
        "securityContext": container_security(),
    }
    spec = _pod(settings) | {
        "automountServiceAccountToken": False,
        "initContainers": [wait],
        "containers": [container],
        "terminationGracePeriodSeconds": _worker_grace(settings),
        "volumes": [
            _scratch("tmp"),
            {"name": "node", "emptyDir": {}},
            weights_volume(settings.weights),
            *claim_volumes(key.claim),
        ],
    }
    if key.worker.accelerator:
        nodes = settings.accelerators
        spec["nodeSelector"] = {nodes.product_label: key.worker.accelerator.class_}
        spec["tolerations"] = _tolerations((*settings.tolerations, *nodes.tolerations))
    return spec


def _pod(settings: PoolSettings) -> Manifest:
    spec: Manifest = {"enableServiceLinks": False, "securityContext": pod_security()}
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.tolerations:
        spec["tolerations"] = _tolerations(settings.tolerations)
    return spec


def _worker_image(key: PoolKey, settings: PoolSettings) -> str:
    if not key.worker.accelerator:
        return settings.cpu_image
    if not settings.gpu_image:
        raise PoolError(
            f"worker class {key.worker.name!r} has accelerators, and no image for them is set; "
            "set the serving image for GPUs, or place the model on a class without them"
        )
    return settings.gpu_image


def _engine_bytes(key: PoolKey) -> int:
    engines = int(amount(key.worker.memory)) - WORKER_OVERHEAD
    if engines <= 0:
        raise PoolError(
            f"worker class {key.worker.name!r} has {key.worker.memory}, and Ray itself takes "
            f"{human_bytes(WORKER_OVERHEAD)}; a worker needs more than that"
        )
    return engines


def _worker_resources(key: PoolKey, settings: PoolSettings) -> Manifest:
    worker = key.worker
    devices = (
        {settings.accelerators.resource: str(worker.accelerator.count)}
        if worker.accelerator
        else {}
    )
    requests = {"cpu": worker.cpu, "memory": worker.memory} | devices
    # No limit on CPU: engines have a number of threads of their own, and the kernel shares cores by
    # the requests. A limit would stop all threads of a model for parts of each 100 ms.
    return {"requests": requests, "limits": {"memory": worker.memory} | devices}


def _worker_grace(settings: PoolSettings) -> int:
    """Return how long a worker has to end: Ray drains it, and then it ends by itself.

    No longer than that: Kubernetes looks at an ending namespace again only after half of its pods'
    longest grace.
    """
    return ceil(settings.worker_drain_seconds) + _GRACE_MARGIN_SECONDS


def _environment(settings: PoolSettings) -> dict[str, str]:
    paths = StackPaths(folder=_HAPROXY_FOLDER)
    return dict(serve_environment(POD_PORTS, paths, settings.timeouts)) | {
        # The image's home may not be writable.
        "HOME": "/tmp",  # noqa: S108 - an emptyDir
        # glibc's default of eight arenas a core keeps freed memory in each.
        "MALLOC_ARENA_MAX": "2",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _variables(values: dict[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def _labels(pool: str, settings: PoolSettings) -> dict[str, str]:
    return {LABEL_COMPONENT: COMPONENT_POOL, LABEL_HUB: settings.hub_id, LABEL_POOL: pool}


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _scratch(name: str) -> Manifest:
    return {"name": name, "emptyDir": {"sizeLimit": _TMP_SIZE}}


def _tolerations(tolerations: tuple[Toleration, ...]) -> list[Manifest]:
    return [toleration(each) for each in tolerations]


def toleration(value: Toleration) -> Manifest:
    """Return a toleration as a pod has it."""
    fields = {
        "key": value.key,
        "operator": value.operator,
        "value": value.value,
        "effect": value.effect,
    }
    return {name: field for name, field in fields.items() if field is not None}
