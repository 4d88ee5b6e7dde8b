"""Names of pools. A template's hash is part of the name, so a new template is another pool."""

from typing import Final

from smallmodel_operator.api.names import (
    LABEL_HUB,
    LABEL_MANAGED_BY,
    MANAGER,
    RAYSERVICE_NAME_MAX,
    bounded,
)
from smallmodel_operator.plan.pools.template import template_hash, token_secret_name
from smallmodel_operator.plan.pools.values import PoolKey, PoolSettings

__all__ = [
    "owned_labels",
    "pool_name",
    "same_key",
    "template_hash",
    "template_of",
    "token_secret_name",
]

_LETTER: Final = "w"


def pool_name(key: PoolKey, number: int, settings: PoolSettings) -> str:
    """Return `<class>-<number>-<hash of the template>`, which KubeRay takes as a name.

    Raises:
        PoolError: No pod can be made of the worker class.
    """
    ending = f"-{number}-{template_hash(key, settings)}"
    # KubeRay makes Services of the name, which have to begin with a letter.
    first = key.worker.name if key.worker.name[0].isalpha() else f"{_LETTER}{key.worker.name}"
    return f"{bounded(first, RAYSERVICE_NAME_MAX - len(ending))}{ending}"


def template_of(pool: str) -> str:
    """Return the hash of the template that a pool was made from, which ends its name."""
    return pool.rpartition("-")[2]


def same_key(one: PoolKey, other: PoolKey) -> bool:
    """Return whether models of both keys may share a pool; the number of workers may differ."""
    return _comparable(one) == _comparable(other)


def owned_labels(settings: PoolSettings) -> dict[str, str]:
    """Return the labels of everything that this installation makes for pools."""
    return {LABEL_HUB: settings.hub_id, LABEL_MANAGED_BY: MANAGER}


def _comparable(key: PoolKey) -> tuple[object, ...]:
    worker = key.worker
    return (
        key.namespace,
        key.dedicated_to,
        key.claim,
        worker.name,
        worker.cpu,
        worker.memory,
        worker.accelerator,
    )
