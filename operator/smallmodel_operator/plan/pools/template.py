"""A pool's template: its Ray cluster, which never changes but for the number of workers."""

import json
from dataclasses import replace
from functools import lru_cache
from typing import Final

from smallmodel_operator.api.names import short_hash
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pools.pods import head_group, worker_group
from smallmodel_operator.plan.pools.security import container_security
from smallmodel_operator.plan.pools.values import (
    FaultTolerance,
    Manifest,
    PoolError,
    PoolKey,
    PoolSettings,
)

_HASH_DIGITS: Final = 8
_AUTOSCALER_REQUESTS: Final = {"cpu": "50m", "memory": "128Mi"}
_AUTOSCALER_LIMITS: Final = {"cpu": "500m", "memory": "512Mi"}
_ANY_POOL: Final = ""


def token_secret_name(pool: str) -> str:
    """Return the name of the Secret that opens the pool's dashboard."""
    return f"{pool}-token"


def build_template(key: PoolKey, pool: str, settings: PoolSettings) -> Manifest:
    """Return the RayService's `rayClusterConfig`.

    Raises:
        PoolError: No pod can be made of the worker class.
    """
    template: Manifest = {
        "rayVersion": settings.ray_version,
        "enableInTreeAutoscaling": True,
        "authOptions": {"mode": "token", "secretName": token_secret_name(pool)},
        "autoscalerOptions": {
            # Said expressly: KubeRay gives pods `restartPolicy: Never` only then.
            "version": "v2",
            "idleTimeoutSeconds": settings.worker_idle_seconds,
            # Ray's default of 5 s would be added to every wake that needs a worker.
            "env": [{"name": "AUTOSCALER_UPDATE_INTERVAL_S", "value": "1"}],
            "imagePullPolicy": settings.image_pull_policy,
            "resources": {
                "requests": dict(_AUTOSCALER_REQUESTS),
                "limits": dict(_AUTOSCALER_LIMITS),
            },
            "securityContext": container_security(),
        },
        "headGroupSpec": head_group(pool, settings),
        "workerGroupSpecs": [worker_group(key, pool, settings)],
    }
    if settings.fault_tolerance:
        template["gcsFaultToleranceOptions"] = _redis(settings.fault_tolerance)
    return template


def template_hash(key: PoolKey, settings: PoolSettings) -> str:
    """Return the name of the template: pools with the same one are made alike.

    Covers everything but the pool's name and its number of workers, and the contract of its models'
    arguments, so that arguments of another contract need another pool.

    Raises:
        PoolError: No pod can be made of the worker class.
    """
    return _hash(key, settings, CONTRACT)


@lru_cache(maxsize=1024)
def _hash(key: PoolKey, settings: PoolSettings, contract: int) -> str:
    one = replace(key, worker=key.worker.model_copy(update={"max_workers": 1}))
    # Whose the pods are makes them no others.
    template = build_template(one, _ANY_POOL, replace(settings, hub_id=""))
    text = json.dumps([contract, template], sort_keys=True)
    return short_hash(text, _HASH_DIGITS)


def _redis(tolerance: FaultTolerance) -> Manifest:
    options: Manifest = {"redisAddress": tolerance.redis_address}
    if tolerance.redis_secret:
        reference = {"name": tolerance.redis_secret, "key": "password"}
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": reference}}
    return options


def refusal(key: PoolKey, settings: PoolSettings) -> str | None:
    """Return why no pod can be made for a pool of that key; None where one can."""
    try:
        template_hash(key, settings)
    except PoolError as error:
        return str(error)
    return None
