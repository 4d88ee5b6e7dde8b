"""What stands below the operator where there are no nodes: KubeRay and the kubelet, on paper.

RayServices become ready, and fetch pods end well. Without a head, nobody asks a pool's Serve; with
`serving_on_paper` a fake of one answers for it, and models become Ready.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from aiohttp import web

from builders import serve_answers
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import NODES, PODS, RAYSERVICES, Manifest, ref_of
from smallmodel_operator.plan.pools.values import DASHBOARD_PORT, SERVE_PORT

NOW: Final = "2026-01-01T00:00:00Z"
_PAUSE_SECONDS: Final = 0.1


async def serve_on_paper(admin: Api, namespace: str, head: str = "") -> None:
    """Have what the operator made in a namespace look as if it ran.

    Args:
        admin: Writes what KubeRay and the kubelet would.
        namespace: The models'.
        head: The address at which pools are said to have their heads; empty: they say none.
    """
    for pool in (await admin.list(RAYSERVICES, namespace))[0]:
        generation = pool["metadata"]["generation"]
        if (pool.get("status") or {}).get("observedGeneration") != generation:
            await _report(admin, pool, _ready(pool["metadata"]["name"], generation, head))
    for pod in (await admin.list(PODS, namespace))[0]:
        if (pod.get("status") or {}).get("phase") == "Pending":
            await _report(admin, pod, _fetched(pod))


@contextlib.asynccontextmanager
async def serving_on_paper(admin: Api, namespace: str) -> AsyncIterator[None]:
    """Have a node, and have all that the operator makes in a namespace run, until the block ends.

    The heads of all pools are one fake on an address of loopback. It says of every model in their
    configs that it runs, and answers for it.
    """
    head = f"127.77.{random.randrange(256)}.{random.randrange(1, 255)}"  # noqa: S311 - no secret
    node = f"paper-{uuid4().hex[:8]}"
    await admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})

    async def work() -> None:
        while True:
            await admin.patch_status(NODES.ref(node), _node_status())
            await serve_on_paper(admin, namespace, head)
            await asyncio.sleep(_PAUSE_SECONDS)

    async with _fake_head(admin, namespace, head), asyncio.TaskGroup() as group:
        task = group.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await admin.delete(NODES.ref(node))


@contextlib.asynccontextmanager
async def _fake_head(admin: Api, namespace: str, address: str) -> AsyncIterator[None]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/api/serve/applications/":
            return web.json_response(await _applications(admin, namespace))
        if request.path.endswith("/chat/completions"):
            chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
            return web.Response(text=f"data: {chunk}\n\ndata: [DONE]\n\n")
        # Of its engines `_index` says nothing, as in images of before that was told.
        return web.Response(status=404)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        for port in (DASHBOARD_PORT, SERVE_PORT):
            await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


async def _applications(admin: Api, namespace: str) -> dict[str, Any]:
    """Return what Ray's dashboard would say: that all runs that the pools' configs have."""
    pools, _ = await admin.list(RAYSERVICES, namespace)
    configs = [json.loads(pool["spec"]["serveConfigV2"]) for pool in pools]
    applications = [
        serve_answers.application(each["name"], args=each.get("args", {}))
        for config in configs
        for each in config["applications"]
    ]
    return serve_answers.instance(*applications)


def _node_status() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [{**ready, "lastHeartbeatTime": now, "lastTransitionTime": NOW}],
    }


async def _report(admin: Api, live: Manifest, status: dict[str, Any]) -> None:
    try:
        await admin.patch_status(ref_of(live), status)
    except errors.NotFound:
        # It went away meanwhile.
        return


def ray_cluster_of(pool: str) -> str:
    """Return the name of the RayCluster that a pool is said to have; nobody makes one."""
    return f"{pool}-paper"


def _ready(pool: str, generation: int, head: str) -> dict[str, Any]:
    """Return what KubeRay says of a pool that serves."""
    names = {"podIP": head, "podName": f"{ray_cluster_of(pool)}-head"}
    told = {"rayClusterStatus": {"head": names}} if head else {}
    return {
        "observedGeneration": generation,
        "activeServiceStatus": {"rayClusterName": ray_cluster_of(pool), **told},
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
