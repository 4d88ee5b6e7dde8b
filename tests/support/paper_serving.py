"""What stands below the operator where there are no nodes: KubeRay and the kubelet, on paper.

RayServices become ready, and fetch pods end well. Without a head, nobody asks a pool's Serve.
"""

from typing import Any, Final

from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import PODS, RAYSERVICES, Manifest, ref_of

NOW: Final = "2026-01-01T00:00:00Z"


async def serve_on_paper(admin: Api, namespace: str) -> None:
    """Have what the operator made in a namespace look as if it ran."""
    for pool in (await admin.list(RAYSERVICES, namespace))[0]:
        generation = pool["metadata"]["generation"]
        if (pool.get("status") or {}).get("observedGeneration") != generation:
            await _report(admin, pool, _ready(pool["metadata"]["name"], generation))
    for pod in (await admin.list(PODS, namespace))[0]:
        if (pod.get("status") or {}).get("phase") == "Pending":
            await _report(admin, pod, _fetched(pod))


async def _report(admin: Api, live: Manifest, status: dict[str, Any]) -> None:
    try:
        await admin.patch_status(ref_of(live), status)
    except errors.NotFound:
        # It went away meanwhile.
        return


def ray_cluster_of(pool: str) -> str:
    """Return the name of the RayCluster that a pool is said to have; nobody makes one."""
    return f"{pool}-paper"


def _ready(pool: str, generation: int) -> dict[str, Any]:
    """Return what KubeRay says of a pool that serves."""
    return {
        "observedGeneration": generation,
        "activeServiceStatus": {"rayClusterName": ray_cluster_of(pool)},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "NonZeroServeEndpoints",
                "message": "",
                "lastTransitionTime": NOW,
            }
        ],
    }


def _fetched(pod: Manifest) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    words = dict(word.split("=", 1) for word in container["command"] if "=" in word)
    digest = words.get("--sha256", "0" * 64)
    done = FetchDone(path="/weights/model.gguf", bytes=1000, sha256=digest)
    ended = {
        "exitCode": 0,
        "reason": "Completed",
        "message": done.model_dump_json(by_alias=True, exclude_none=True),
        "startedAt": NOW,
        "finishedAt": NOW,
    }
    return {
        "phase": "Succeeded",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended},
            }
        ],
    }
