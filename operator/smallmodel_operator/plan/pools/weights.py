"""Where fetched weights lie, and who fetches them there.

In a claim of the namespace only fetch Jobs write, and serving pods mount it read-only. Where there
is no claim, each worker has an emptyDir, and replicas fetch what they serve into it.
"""

import json
from typing import Final

from smallmodel_operator.api.modelplacement import PinnedWeights
from smallmodel_operator.api.serving import FETCH_ENVIRONMENT_VARIABLE, WeightsSource
from smallmodel_operator.plan.pools.values import (
    WEIGHTS_FOLDER,
    Manifest,
    PoolSettings,
    VolumeKind,
    WeightsVolume,
)

_VOLUME: Final = "weights"


def weights_volume(weights: WeightsVolume) -> Manifest:
    """Return the volume of a fetch Job's pod, or of a worker."""
    if weights.kind is VolumeKind.POOL:
        return {"name": _VOLUME, "emptyDir": {"sizeLimit": weights.size}}
    return {"name": _VOLUME, "persistentVolumeClaim": {"claimName": weights.claim}}


def worker_mount(weights: WeightsVolume) -> Manifest:
    """Return where a worker mounts it: to write there only where its replicas fetch."""
    mount: Manifest = {"name": _VOLUME, "mountPath": WEIGHTS_FOLDER}
    return mount if weights.kind is VolumeKind.POOL else mount | {"readOnly": True}


def fetch_variables(settings: PoolSettings) -> dict[str, str]:
    """Return what a worker needs for fetching, in one variable: only the fetch is to see it.

    A proxy, for example, would otherwise get what Ray's own processes say to each other.
    """
    if settings.weights.kind is not VolumeKind.POOL or not settings.fetch_environment:
        return {}
    return {FETCH_ENVIRONMENT_VARIABLE: json.dumps(dict(sorted(settings.fetch_environment)))}


def fetches_itself(ray_service: Manifest) -> bool:
    """Return whether the workers of a live RayService have volumes of their own."""
    groups = ray_service["spec"].get("rayClusterConfig", {}).get("workerGroupSpecs") or ()
    return any(
        volume["name"] == _VOLUME and "emptyDir" in volume
        for group in groups
        for volume in group["template"]["spec"].get("volumes") or ()
    )


def weights_source(weights: PinnedWeights) -> WeightsSource:
    """Return what a replica is told, so that it fetches exactly what the Job has checked."""
    return WeightsSource(
        uri=weights.uri,
        revision=weights.revision,
        sha256=weights.sha256,
        bytes=weights.bytes,
        cache=WEIGHTS_FOLDER,
    )


def refused_secret(weights: PinnedWeights, settings: PoolSettings) -> str | None:
    """Return the Secret for which weights cannot be served without a claim; None: they can be.

    Only a fetch Job may see a Secret: in a worker, every model of the pool could read it.
    """
    if settings.weights.kind is VolumeKind.CLAIM or weights.secret_ref is None:
        return None
    return weights.secret_ref.name
