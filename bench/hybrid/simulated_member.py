"""A cluster that is simulated below the operator: an API server, one node, and KubeRay on paper.

What the hub asks of a cluster is answered as Kubernetes does; that pools are ready and weights are
there is said as soon as they are asked for. There is no kubelet, no pod and no Ray.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml
from aiohttp import web

from bench.cluster.control_plane import Seen
from bench.cluster.fakes import node_status, pod_succeeded, pool_ready
from bench.cluster.operator_process import SYSTEM
from bench.hybrid.simulated_api import Manifest, Place, SimulatedApi, answer
from builders.kubeconfigs import encoded, kubeconfig, pair, server_tls
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, LABEL_JOB
from smallmodel_operator.clusters.ref import (
    CRDS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    RAYSERVICES,
)

_LOOPBACK: Final = "127.0.0.1"
_KUBERAY: Final = "kuberay-operator"
_ROOM: Final = {"cpu": "400", "memory": "2Ti", "pods": "1000"}
_DEPLOYMENT: Final = {
    "template": {"spec": {"containers": [{"image": "quay.io/kuberay/operator:v1.6.2"}]}}
}
_CRD: Final = {
    "versions": [
        {
            "name": RAYSERVICES.version,
            "schema": {
                "openAPIV3Schema": {
                    "properties": {
                        "spec": {
                            "properties": {
                                "rayClusterConfig": {"properties": {"authOptions": {}}},
                            }
                        }
                    }
                }
            },
        }
    ]
}
"""As much of KubeRay's definition as a hub reads."""
_ENDS_SECONDS: Final = 0.1


@dataclass
class SimulatedMember:
    """One cluster.

    Attributes:
        name: Of its ModelCluster.
        seen: Its RayServices, as they are.
        accepted: When each RayService was accepted, on the clock of `time.perf_counter`, and its
            Serve config.
        lag: Seconds by which every answer, and every line of a watch, is late.
        url: Its API server, once it is up.
    """

    name: str
    seen: Seen = field(default_factory=Seen)
    accepted: list[tuple[float, str]] = field(default_factory=list)
    lag: float = 0.0
    url: str = ""
    api: SimulatedApi = field(init=False)
    _alive: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.api = SimulatedApi(self._wrote)
        self._alive.set()

    def prepare(self, hub_id: str, namespaces: Sequence[str]) -> None:
        """Have what a cluster has that joined a hub, and namespaces that take its models."""
        self.api.told = {
            "/version": {"gitVersion": "v1.36.3"},
            f"/apis/{RAYSERVICES.api_version}": {"resources": [{"name": RAYSERVICES.plural}]},
        }
        for space in ("kube-system", SYSTEM):
            self.api.put(NAMESPACES.ref(space).path, _named(NAMESPACES.kind, space))
        for space in namespaces:
            labels = {LABEL_ACCEPT_FROM: hub_id}
            self.api.put(NAMESPACES.ref(space).path, _named(NAMESPACES.kind, space, labels))
        node = {**_named(NODES.kind, f"{self.name}-node"), "status": node_status(_ROOM)}
        self.api.put(NODES.ref(f"{self.name}-node").path, node)
        crd = f"{RAYSERVICES.plural}.{RAYSERVICES.group}"
        self.api.put(CRDS.ref(crd).path, {**_named(CRDS.kind, crd), "spec": _CRD})
        kuberay = {**_named(DEPLOYMENTS.kind, _KUBERAY), "spec": _DEPLOYMENT}
        self.api.put(DEPLOYMENTS.ref(_KUBERAY, "kuberay-system").path, kuberay)

    def kubeconfig(self) -> bytes:
        """Return the file by which a hub calls it."""
        authority = encoded(pair().certificate)
        cluster = {"server": self.url, "certificate-authority-data": authority}
        return yaml.safe_dump(kubeconfig(cluster=cluster)).encode()

    def pool_uids(self) -> tuple[str, ...]:
        """Return the UIDs of the RayServices that are there now."""
        pools = self.api.list(Place.of(RAYSERVICES.path()))["items"]
        return tuple(pool["metadata"]["uid"] for pool in pools)

    def die(self) -> None:
        """Accept connections from now on, and answer nobody: as behind a black hole."""
        self._alive.clear()

    def mend(self) -> None:
        """Answer again, and at once; what was asked meanwhile never arrived."""
        self.lag = 0.0
        self._alive.set()

    async def dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, unless it cannot."""
        try:
            await self._arrive(request)
            return await answer(self.api, request, before_line=lambda: self._arrive(request))
        except ConnectionError:
            # Whoever asked is gone, or was never heard: nobody reads this.
            return web.Response()

    async def _arrive(self, request: web.BaseRequest) -> None:
        if not self._alive.is_set():
            await self._alive.wait()
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("nothing came through")
        if self.lag:
            await asyncio.sleep(self.lag)

    def _wrote(self, place: Place, manifest: Manifest) -> None:
        """Do what KubeRay and the kubelet would, once the answer is on its way."""
        loop = asyncio.get_running_loop()
        if place.kind == RAYSERVICES.path():
            at = time.perf_counter()
            self.seen.see_pool(manifest, at)
            self.accepted.append((at, manifest["spec"].get("serveConfigV2", "")))
            loop.call_soon(self._serve, place)
        elif place.kind == JOBS.path():
            loop.call_soon(self._fetch, place, manifest)

    def _serve(self, place: Place) -> None:
        path = RAYSERVICES.ref(place.name, place.namespace).path
        live = self.api.get(path)
        if live is not None:
            self.api.put_status(path, pool_ready(place.name, live["metadata"]["generation"]))

    def _fetch(self, place: Place, job: Manifest) -> None:
        name = f"{place.name}-0"
        labels = {LABEL_JOB: place.name}
        pod = {**_named(PODS.kind, name, labels), "spec": job["spec"]["template"]["spec"]}
        path = PODS.ref(name, place.namespace).path
        self.api.put(path, pod)
        self.api.put_status(path, pod_succeeded(pod))


@contextlib.asynccontextmanager
async def simulated_members(members: Sequence[SimulatedMember]) -> AsyncIterator[None]:
    """Have their API servers listen on loopback, each on a port of its own."""
    tls = server_tls(pair())
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            member.url = await stack.enter_async_context(_listening(member, tls))
        yield
        for member in members:
            member.mend()


@contextlib.asynccontextmanager
async def _listening(member: SimulatedMember, tls: ssl.SSLContext) -> AsyncIterator[str]:
    server = web.Server(member.dispatch, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=_ENDS_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, _LOOPBACK, 0, ssl_context=tls).start()
        yield f"https://{_LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _named(kind: str, name: str, labels: dict[str, str] | None = None) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "labels": labels or {}}}
