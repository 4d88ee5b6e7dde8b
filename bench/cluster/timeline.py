"""When things came to be in a namespace, as watches see them."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from bench.cluster.pods import MODELS, Space, is_ready
from bench.slm_up import Phase

IN_CONFIG: Final = "in the pool's Serve config"
ANSWERED: Final = "first answer"

_LISTED_SECONDS: Final = 1.0
"""Until the watches have told what was there before them."""


class Timeline:
    """The first time of each thing that happened to one model and its pool."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.began = time.perf_counter()
        """On the clock of `time.perf_counter`."""
        self._marks: dict[str, float] = {}
        self._before: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin: what was so already is left out."""
        self._before = frozenset(self._marks)
        self._marks.clear()
        self.began = time.perf_counter()

    def mark(self, what: str, at: float | None = None) -> None:
        """Note that something is so, unless it was so before."""
        if what not in self._before:
            self._marks.setdefault(what, time.perf_counter() if at is None else at)

    def seconds(self, what: str) -> float:
        """Return when something was so, in seconds since the beginning.

        Raises:
            KeyError: It never was.
        """
        return self._marks[what] - self.began

    def phases(self) -> tuple[Phase, ...]:
        """Return everything, the earliest first."""
        ordered = sorted(self._marks.items(), key=lambda item: item[1])
        return tuple(Phase(text=text, at=at - self.began) for text, at in ordered)

    def on_model(self, model: dict[str, Any]) -> None:
        """Look at a SmallModel."""
        if model["metadata"]["name"] == self._model and is_ready(model):
            self.mark("SmallModel is Ready")

    def on_placement(self, placement: dict[str, Any]) -> None:
        """Look at a ModelPlacement."""
        if placement["spec"]["model"]["name"] != self._model:
            return
        status = placement.get("status") or {}
        self.mark("ModelPlacement is made")
        if (status.get("fetch") or {}).get("path"):
            self.mark("weights are there")
        if (status.get("deployment") or {}).get("healthy"):
            self.mark("Serve has it running")
        if (status.get("probe") or {}).get("passed"):
            self.mark("verified")

    def on_pool(self, pool: dict[str, Any]) -> None:
        """Look at a RayService."""
        self.mark("RayService is made")
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in (pool.get("status") or {}).get("conditions", ())
        ):
            self.mark("RayService is Ready")
        config = json.loads(pool["spec"].get("serveConfigV2") or '{"applications": []}')
        if any(each["name"] == self._model for each in config["applications"]):
            self.mark(IN_CONFIG)

    def on_pod(self, pod: dict[str, Any]) -> None:
        """Look at a pod."""
        labels = pod["metadata"].get("labels") or {}
        kind = labels.get("ray.io/node-type")
        if kind is None:
            if (pod.get("status") or {}).get("phase") == "Succeeded":
                self.mark("fetch pod is done")
            return
        self.mark(f"{kind} pod is made")
        containers = (pod.get("status") or {}).get("containerStatuses") or ()
        if any("running" in (each.get("state") or {}) for each in containers):
            self.mark(f"{kind} pod runs")


@contextlib.asynccontextmanager
async def timeline(space: Space, model: str) -> AsyncIterator[Timeline]:
    """Watch a namespace as long as the block runs. The clock starts when it is entered."""
    namespace = space.team.namespace
    line = Timeline(model)
    watched: dict[str, Callable[[dict[str, Any]], None]] = {
        f"{MODELS}/namespaces/{namespace}/smallmodels": line.on_model,
        f"{MODELS}/namespaces/slm-cluster-local/modelplacements": line.on_placement,
        f"/apis/ray.io/v1/namespaces/{namespace}/rayservices": line.on_pool,
        f"/api/v1/namespaces/{namespace}/pods": line.on_pod,
    }

    async def watch(path: str, look: Callable[[dict[str, Any]], None]) -> None:
        async for kind, seen in space.pods.kube.watch(path):
            if kind in {"ADDED", "MODIFIED"} and _is_in(seen, namespace):
                look(seen)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch(path, look)) for path, look in watched.items()]
        await asyncio.sleep(_LISTED_SECONDS)
        line.start()
        try:
            yield line
        finally:
            for task in tasks:
                task.cancel()


def _is_in(seen: dict[str, Any], namespace: str) -> bool:
    model = (seen.get("spec") or {}).get("model")
    if isinstance(model, dict):
        return bool(model.get("namespace") == namespace)
    return True
