"""A real API server with the kinds of this project, and a thousand SmallModels in it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from bench.children import ROOT, until
from bench.cluster.fakes import fake_serving_side
from bench.cluster.kube import Kube, KubeError
from bench.cluster.operator_process import SYSTEM
from cluster import bringup
from cluster.addresses import API_PORT
from cluster.folders import ClusterFiles
from cluster.options import ClusterOptions
from cluster.running import Cluster
from smallmodel_operator.install.catalogue import build_card
from smallmodel_operator.local.bundled import fetch_bundled_cards

MODELS: Final = "/apis/smallmodel.dev/v1alpha1"
PLACEMENTS: Final = f"{MODELS}/modelplacements"
RAYSERVICES: Final = "/apis/ray.io/v1/rayservices"

_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MODEL: Final = "smollm2-135m-instruct"
_INDEX: Final = "_index"
_AT_ONCE: Final = 16


@dataclass(slots=True)
class SeenPool:
    """A RayService as the watch of the benchmark saw it last."""

    config: str
    models: frozenset[str]
    made: float
    """When it was seen first, on the clock of `time.perf_counter`."""
    at: float
    """When its config changed last, on the clock of `time.perf_counter`."""


@dataclass(slots=True)
class Seen:
    """What the benchmark's own watches saw."""

    placements: dict[str, float] = field(default_factory=dict)
    """When each was seen first."""
    pools: dict[tuple[str, str], SeenPool] = field(default_factory=dict)

    def served(self) -> int:
        """Return how many models are in the configs of RayServices."""
        return sum(len(pool.models) for pool in self.pools.values())

    def last_change(self) -> float:
        """Return when a config changed last."""
        return max(pool.at for pool in self.pools.values())

    def see_pool(self, pool: dict[str, Any], at: float) -> None:
        """Take a RayService as it is at that time, on the clock of `time.perf_counter`."""
        key = (pool["metadata"]["namespace"], pool["metadata"]["name"])
        config = pool["spec"].get("serveConfigV2", "")
        known = self.pools.get(key)
        if known is not None and known.config == config:
            return
        names = {each["name"] for each in json.loads(config)["applications"]} - {_INDEX}
        made = known.made if known is not None else at
        self.pools[key] = SeenPool(config=config, models=frozenset(names), made=made, at=at)

    def pool_of(self, namespace: str, model: str) -> SeenPool:
        """Return the pool that has a model."""
        return next(
            pool
            for (space, _), pool in self.pools.items()
            if space == namespace and model in pool.models
        )


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """One that runs."""

    kubeconfig: Path
    kube: Kube
    seen: Seen
    version: str
    server: psutil.Process
    """The API server."""

    def server_cpu(self) -> float:
        """Return the processor time in seconds that the API server has used."""
        times = self.server.cpu_times()
        return float(times.user + times.system)

    async def make_models(
        self,
        namespace: str,
        names: Iterable[str],
        more: Callable[[str], dict[str, Any]] = lambda _: {},
    ) -> None:
        """Make SmallModels of six lines each, and a namespace for them.

        Args:
            namespace: Theirs.
            names: Theirs.
            more: Returns further fields of a model's spec by its name.
        """
        await self.kube.create(
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        )
        limit = asyncio.Semaphore(_AT_ONCE)

        async def make(name: str) -> None:
            async with limit:
                await self.kube.create(
                    f"{MODELS}/namespaces/{namespace}/smallmodels",
                    {
                        "apiVersion": "smallmodel.dev/v1alpha1",
                        "kind": "SmallModel",
                        "metadata": {"name": name, "namespace": namespace},
                        "spec": {"model": _MODEL} | more(name),
                    },
                )

        await asyncio.gather(*(make(name) for name in names))

    async def change_model(self, namespace: str, name: str, spec: dict[str, Any]) -> None:
        """Change fields of a SmallModel's spec."""
        path = f"{MODELS}/namespaces/{namespace}/smallmodels/{name}"
        await self.kube.merge(path, {"spec": spec})


@contextlib.asynccontextmanager
async def control_plane() -> AsyncIterator[ControlPlane]:
    """Give a control plane with our kinds, KubeRay's kinds, cards, and the fake serving side."""
    async with (
        bare_control_plane() as plane,
        fake_serving_side(plane.kube),
        watching(watch_placements(plane), watch_pools(plane)),
    ):
        yield plane


@contextlib.asynccontextmanager
async def bare_control_plane() -> AsyncIterator[ControlPlane]:
    """Give a control plane with our kinds, KubeRay's kinds and cards; nobody watches it."""
    options = ClusterOptions(name="bench", kubelet=False, dns=False, spare_memory=False)
    with bringup.lent(options) as lent:
        files = ClusterFiles(lent.record.options.name)
        async with Kube(_address(lent), files.pki) as kube:
            await _install(kube)
            yield ControlPlane(
                kubeconfig=lent.kubeconfig,
                kube=kube,
                seen=Seen(),
                version=(await kube.get("/version"))["gitVersion"],
                server=_server(files),
            )


@contextlib.asynccontextmanager
async def watching(*watches: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Watch as long as the block runs."""
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_written(plane: ControlPlane, models: int, within: float) -> None:
    """Return when all placements are there, and all models are in RayServices.

    Raises:
        TimeoutError: They were not in time.
    """
    seen = plane.seen
    await until(
        lambda: seen.served() >= models and len(seen.placements) >= models,
        f"all of {models} models are in RayServices",
        within,
    )


def _server(files: ClusterFiles) -> psutil.Process:
    """Return the API server of a cluster, known by its own files."""
    word = f"--client-ca-file={files.pki}/ca.crt"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if word in process.cmdline():
                return process
    raise KubeError(f"no process has {word}")


def _address(lent: Cluster) -> str:
    return f"https://{lent.record.addresses.api_server}:{API_PORT}"


async def _install(kube: Kube) -> None:
    for file in sorted((ROOT / "crds").glob("*.smallmodel.dev.yaml")):
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        await kube.apply(f"{_CRDS}/{crd['metadata']['name']}", crd)
    await kube.create(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}},
    )
    for kind in ("modelcards", "smallmodels", "modelplacements", "modelclusters", "datasources"):
        await _served(kube, f"{MODELS}/{kind}")
    for card in fetch_bundled_cards().cards:
        manifest = build_card(card)
        await kube.apply(f"{MODELS}/modelcards/{manifest['metadata']['name']}", manifest)


async def _served(kube: Kube, path: str) -> None:
    """Return when a kind can be listed, which is some time after its definition is accepted."""
    async with asyncio.timeout(30):
        while True:
            try:
                await kube.get(path)
            except KubeError:
                await asyncio.sleep(0.1)
            else:
                return


async def watch_placements(plane: ControlPlane) -> None:
    """Note when each ModelPlacement is there."""
    async for kind, placement in plane.kube.watch(PLACEMENTS):
        if kind == "ADDED":
            plane.seen.placements.setdefault(placement["metadata"]["name"], time.perf_counter())


async def watch_pools(plane: ControlPlane) -> None:
    """Note which models are in RayServices."""
    async for kind, pool in plane.kube.watch(RAYSERVICES):
        if kind in {"ADDED", "MODIFIED"}:
            plane.seen.see_pool(pool, time.perf_counter())
