"""The whole installation on a cluster with pods, and a namespace whose models are measured."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from pydantic import ValidationError

from bench.children import until
from bench.client import Client, LostError, Reply, chat_body, completion_tokens
from bench.cluster.kube import Kube
from bench.plan import Bench
from bench.slm_up import CARD
from cluster import bringup, serving_images
from cluster.addresses import API_PORT
from cluster.options import ClusterOptions
from cluster.running import Cluster
from smallmodel_operator.api.serving import ENGINE_REPORT_SUFFIX, EngineReport
from support.installation import SYSTEM, Installed, Team, installed

MODELS: Final = "/apis/smallmodel.dev/v1alpha1"
SMALL: Final[dict[str, Any]] = {"model": CARD, "contextLength": 1024}
"""The spec of the measured models: what is measured is the way to them, and not their size."""

_GATEWAY: Final = "smallmodel-gateway"
_PROMPT: Final = "Say hello."
_ASK_PAUSE: Final = 0.05
_LOOK_SECONDS: Final = 0.2
_TITLE: Final = "ray::ServeReplica:"
"""What Ray calls the process of a replica; the model's name follows."""
_USER: Final = 1000
"""Whom the pods run as."""


@dataclass(slots=True, kw_only=True)
class Space:
    """A namespace with models."""

    pods: "PodCluster"
    team: Team

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://{self.pods.gateway}/{self.team.namespace}/v1"

    async def apply(self, model: str, **spec: Any) -> None:
        """Make a SmallModel, without the time that kubectl takes."""
        await self.pods.kube.create(
            f"{MODELS}/namespaces/{self.team.namespace}/smallmodels",
            {
                "apiVersion": "smallmodel.dev/v1alpha1",
                "kind": "SmallModel",
                "metadata": {"name": model, "namespace": self.team.namespace},
                "spec": SMALL | spec,
            },
        )

    async def change(self, model: str, **spec: Any) -> None:
        """Change fields of a SmallModel's spec."""
        path = f"{MODELS}/namespaces/{self.team.namespace}/smallmodels/{model}"
        await self.pods.kube.merge(path, {"spec": spec})

    async def ask(self, model: str, tokens: int = 4, *, stream: bool = False) -> Reply:
        """Send one request over a connection of its own, without retries.

        Raises:
            LostError: It got no whole answer, one that is not 200, or other than these tokens.
        """
        client = Client(self.url)
        try:
            body = chat_body(model, _PROMPT, tokens, stream=stream)
            reply = await client.post("/chat/completions", body)
        finally:
            client.close()
        if reply.status != 200:
            raise LostError(f"status {reply.status}: {reply.body[:300].decode(errors='replace')}")
        if completion_tokens(reply.body) != tokens:
            raise LostError(f"{completion_tokens(reply.body)} tokens instead of {tokens}")
        return reply

    async def first_answer(self, model: str, within: float) -> float:
        """Return when a model first answered, on the clock of `time.perf_counter`.

        It is asked again as soon as it refused: before it is known there is nothing that could
        hold a request.

        Raises:
            TimeoutError: It did not in time.
        """
        told = "nothing was asked"
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        return (await self.ask(model)).ended
                    except LostError as refused:
                        told = str(refused)
                    await asyncio.sleep(_ASK_PAUSE)
        except TimeoutError as late:
            raise TimeoutError(f"{model} did not answer within {within:g} s: {told}") from late

    async def until_ready(self, *models: str, within: float = 300.0) -> None:
        """Wait until SmallModels say that they are Ready."""

        async def ready() -> bool:
            path = f"{MODELS}/namespaces/{self.team.namespace}/smallmodels"
            items = (await self.pods.kube.get(path))["items"]
            return {each["metadata"]["name"] for each in items if is_ready(each)} >= set(models)

        await until(ready, f"{', '.join(models)} are Ready", within, _LOOK_SECONDS)

    async def pods_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the pool's pods of a kind, `head` or `worker`."""
        path = f"/api/v1/namespaces/{self.team.namespace}/pods?labelSelector=ray.io%2Fnode-type"
        found = await self.pods.kube.get(f"{path}%3D{kind}")
        return list(found["items"])

    async def until_asleep(self, *models: str, within: float = 120.0) -> None:
        """Wait until the engines of models sleep, and their replicas are there."""

        async def asleep() -> bool:
            found = await self._replicas()
            reports = [each for pod in found for each in self.pods.reports(pod)]
            there = {name for running in found.values() for name in running}
            awake = {report.model for report in reports if report.state != "Asleep"}
            return set(models) <= there - awake

        await until(asleep, f"{', '.join(models)} are asleep", within, _LOOK_SECONDS)

    async def until_parked(self, *models: str, within: float = 180.0) -> None:
        """Wait until models have no replica, those that finish what they have included."""

        async def parked() -> bool:
            found = await self._replicas()
            return not any(name in running for running in found.values() for name in models)

        await until(parked, f"{', '.join(models)} are parked", within, _LOOK_SECONDS)

    async def _replicas(self) -> dict[str, dict[str, int]]:
        """Return the processes of replicas by pod and model."""
        uids = [pod["metadata"]["uid"] for pod in await self.pods_of("worker")]
        return {uid: replicas(uid) for uid in uids}

    async def until_no_worker(self, within: float = 240.0) -> None:
        """Wait until the pool has no worker pod any more."""

        async def none() -> bool:
            return not await self.pods_of("worker")

        await until(none, "the pool has no worker", within, _LOOK_SECONDS)

    def remove(self) -> None:
        """Delete the namespace and all that is in it."""
        self.pods.operator.remove_team(self.team)
        self.pods.spaces.remove(self)


@dataclass(slots=True, kw_only=True)
class PodCluster:
    """A cluster with the operator, that runs."""

    operator: Installed
    cluster: Cluster
    kube: Kube
    gateway: str
    """The address of its Service."""
    version: str
    """Of Kubernetes."""
    spaces: list[Space] = field(default_factory=list)

    def new_space(self, weights_of: Space | None = None) -> Space:
        """Make a namespace.

        Args:
            weights_of: Its fetched weights are in the new one's volume from the start.
        """
        space = Space(pods=self, team=self.operator.new_team())
        if weights_of is not None:
            target = self.operator.volumes / space.team.namespace
            source = self.operator.volumes / weights_of.team.namespace
            shutil.copytree(source, target, dirs_exist_ok=True)
            target.chmod(0o777)
            for path in target.rglob("*"):
                os.chown(path, _USER, _USER)
        self.spaces.append(space)
        return space

    def reports(self, pod: str) -> list[EngineReport]:
        """Return the reports of the engines in a worker pod, those of killed replicas included."""
        found = []
        for node in range(self.cluster.record.options.nodes):
            volume = self.cluster.files.node(node).root / "kubelet" / "pods" / pod / "volumes"
            for file in (volume / "kubernetes.io~empty-dir" / "node").glob(
                f"*{ENGINE_REPORT_SUFFIX}"
            ):
                # It may end, or be replaced, while it is read.
                with contextlib.suppress(FileNotFoundError, ValidationError):
                    found.append(EngineReport.model_validate_json(file.read_text()))
        return found


@contextlib.asynccontextmanager
async def pod_cluster(bench: Bench) -> AsyncIterator[PodCluster]:
    """Give a new cluster with the operator, built from this checkout, and no model."""
    bench.say("bring up a cluster, and install the operator")
    images = serving_images.build(serving_images.IMAGES, bench.new_folder("images"))
    options = ClusterOptions(name="pods", images=tuple(images))
    with bringup.lent(options) as lent:
        async with on_cluster(lent, bench.new_folder("volumes")) as pods:
            yield pods


@contextlib.asynccontextmanager
async def on_cluster(cluster: Cluster, volumes: Path) -> AsyncIterator[PodCluster]:
    """Install the operator on a cluster that has the images, and take the namespaces away.

    Args:
        cluster: One of ours.
        volumes: A folder for the weights of its namespaces.
    """
    address = f"https://{cluster.record.addresses.api_server}:{API_PORT}"
    with installed(
        cluster,
        volumes,
        serving_images.OPERATOR.reference,
        serving_images.SERVING_CPU.reference,
        # The measuring client is no pod, and is admitted as anybody is.
        gateway={"allowFrom": ["*"]},
    ) as operator:
        service = cluster.get("-n", SYSTEM, "service", _GATEWAY)
        async with Kube(address, cluster.files.pki) as kube:
            pods = PodCluster(
                operator=operator,
                cluster=cluster,
                kube=kube,
                gateway=service["spec"]["clusterIP"],
                version=(await kube.get("/version"))["gitVersion"],
            )
            yield pods


def is_ready(model: dict[str, Any]) -> bool:
    """Return whether an object's condition Ready is true, for its present generation."""
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration") in (None, model["metadata"]["generation"])
        for condition in (model.get("status") or {}).get("conditions", ())
    )


def replicas(pod: str) -> dict[str, int]:
    """Return this machine's numbers of the processes in a pod that are replicas, by model."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            words = process.cmdline()
            if not words or not words[0].startswith(_TITLE):
                continue
            if f"pod{pod}" in Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8"):
                found[words[0].removeprefix(_TITLE).partition(":")[0]] = process.pid
    return found
