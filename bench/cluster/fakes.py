"""What stands below the operator where there are no nodes: a fake of KubeRay and of kubelets."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from typing import Any, Final

from bench.cluster.kube import Kube
from smallmodel_operator.api.fetch import FetchDone

NODE: Final = "bench-node"

_RAYSERVICES: Final = "/apis/ray.io/v1/rayservices"
_PODS: Final = "/api/v1/pods"
_HEARTBEAT_SECONDS: Final = 5.0
# More than a thousand models ask for, so that placement has room for all of them.
_CAPACITY: Final = {"cpu": "4000", "memory": "16Ti", "pods": "10000"}


class FakeServingSide:
    """Has one node be there, marks every RayService Ready, and ends every fetch Job well.

    It answers as soon as it sees an object: what is measured is the operator's own time and the
    API server's, and not that of pods that do not exist.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.ready = 0
        """RayServices that were marked Ready."""
        self.fetched = 0
        """Pods of fetch Jobs that were ended."""

    async def prepare(self) -> None:
        """Make the node."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE, "labels": {"kubernetes.io/os": "linux"}},
        }
        await self._kube.create("/api/v1/nodes", node)
        await self._beat()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_node())
            group.create_task(self._keep_ready())
            group.create_task(self._fetch())

    async def _keep_node(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        status = {"status": node_status(_CAPACITY)}
        await self._kube.merge(f"/api/v1/nodes/{NODE}/status", status)
        await self._kube.merge(f"/api/v1/nodes/{NODE}", {"spec": {"taints": None}})

    async def _keep_ready(self) -> None:
        async for kind, pool in self._kube.watch(_RAYSERVICES):
            if kind not in {"ADDED", "MODIFIED"} or pool["metadata"].get("deletionTimestamp"):
                continue
            generation = pool["metadata"]["generation"]
            if (pool.get("status") or {}).get("observedGeneration") == generation:
                continue
            name, namespace = pool["metadata"]["name"], pool["metadata"]["namespace"]
            path = f"/apis/ray.io/v1/namespaces/{namespace}/rayservices/{name}/status"
            await self._kube.merge(path, {"status": pool_ready(name, generation)})
            self.ready += 1

    async def _fetch(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for kind, pod in self._kube.watch(_PODS):
                job = (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name")
                if job is not None and kind == "ADDED" and _phase(pod) == "Pending":
                    group.create_task(self._end(pod))

    async def _end(self, pod: dict[str, Any]) -> None:
        """Have a fetch pod end well, in one step."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        await self._kube.merge(path, {"status": pod_succeeded(pod)})
        self.fetched += 1


@contextlib.asynccontextmanager
async def fake_serving_side(kube: Kube) -> AsyncIterator[FakeServingSide]:
    """Run one as long as the block runs."""
    fake = FakeServingSide(kube)
    await fake.prepare()
    task = asyncio.create_task(fake.run())
    try:
        yield fake
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def node_status(room: dict[str, str]) -> dict[str, Any]:
    """Return the status of a node that takes pods, and has that much."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "FakeNode",
        "message": "there is no kubelet",
        "lastHeartbeatTime": _now(),
    }
    return {"capacity": room, "allocatable": room, "conditions": [condition]}


def _phase(pod: dict[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def pool_ready(name: str, generation: int) -> dict[str, Any]:
    """Return what KubeRay says of a pool that serves."""
    return {
        "observedGeneration": generation,
        "serviceStatus": "Running",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "NonZeroServeEndpoints",
                "message": "",
                "lastTransitionTime": _now(),
            }
        ],
        "activeServiceStatus": {"rayClusterName": f"{name}-fake"},
    }


def pod_succeeded(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a fetch pod that found the weights."""
    container = pod["spec"]["containers"][0]
    words = dict(word.split("=", 1) for word in container["command"] if "=" in word)
    done = FetchDone(
        path="/weights/fake/model.gguf",
        bytes=int(words.get("--bytes", "100000000")),
        sha256=words.get("--sha256", "0" * 64),
    )
    ended = {
        "exitCode": 0,
        "reason": "Completed",
        "message": done.model_dump_json(by_alias=True, exclude_none=True),
        "startedAt": _now(),
        "finishedAt": _now(),
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
