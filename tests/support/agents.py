"""A hub and a cluster behind a NAT, each a real API server, and the agent that calls the hub.

The agent has the credentials that `slm cluster join --mode pull` makes, and no others. On the hub
the links run; the decide loop is missing, and what it decides is written by the test.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from builders.placements import HASH, placed_status
from builders.pool_values import TOKEN_KEY
from cluster.access import KubeAccess
from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import placement_namespace
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.authority import Held, held_leaf
from smallmodel_operator.clusters.clock import SystemClock
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import (
    CONFIGMAPS,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    SECRETS,
    Manifest,
    Ref,
    Resource,
    ref_of,
)
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.watch import Place, Watch
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.handlers.agent import Agent
from smallmodel_operator.handlers.agents import Agents
from smallmodel_operator.handlers.canary import HubName
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.link import Hub, Peers
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.handlers.neighbours import Neighbours
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.agents import AGENT_ACCOUNT, agent_manifests
from smallmodel_operator.plan.gateway.config_map import (
    GATEWAY_NAME,
    InvalidSnapshot,
    entries_of,
    read_snapshot,
)
from smallmodel_operator.plan.gateway.secret_files import TLS_SECRET
from smallmodel_operator.plan.gateway.told import TOLD_NAME
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.settings import Settings
from support.acting import acting_as
from support.linked_members import SYSTEM, LinkedPair, until

IMAGE: Final = "example.invalid/serving-cpu:test"


@dataclass
class Cut:
    """Passed as `around`: the line between an agent and its hub.

    Attributes:
        is_cut: Nobody gets an answer.
        calls: What was asked of the hub, in order: verb and plural.
    """

    is_cut: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, request: Request, send: Send) -> Answer:
        """See one call."""
        if self.is_cut:
            raise errors.Unreachable(f"{request.what}: the line is cut")
        call = request.call
        kind = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        self.calls.append((call.verb, kind))
        return await send(request)


@dataclass(kw_only=True)
class AgentPair(LinkedPair):
    """One hub with one cluster behind a NAT."""

    hub_plane: KubeAccess
    folder: Path
    line: Cut = field(default_factory=Cut)
    declared: list[str] = field(default_factory=list)
    links: Links = field(init=False)
    agents: Agents = field(init=False)
    neighbours: Neighbours = field(init=False)
    off_by: timedelta = timedelta()
    """How far the agent's clock is from the hub's."""

    async def declare(self, name: str) -> None:
        """Have a ModelCluster of mode Pull, with an account for its agent."""
        self.declared.append(name)
        manifest = {
            "apiVersion": MODELCLUSTERS.api_version,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": name},
            "spec": {"connection": {"mode": "Pull"}},
        }
        await self.admin.create(manifest)
        text = yaml.safe_dump_all(agent_manifests(name, self.hub_id))
        self.hub_plane.apply(text, "--force-conflicts")

    async def clear(self) -> None:
        """Take away what has no namespace of the test's own."""
        for name in self.declared:
            for kind in ("clusterrole", "clusterrolebinding"):
                role = f"{AGENT_ACCOUNT}:{name}"
                self.hub_plane.kubectl("delete", "--ignore-not-found", kind, role)
            await self.admin.delete(MODELCLUSTERS.ref(name))
        for kept in (
            CONFIGMAPS.ref(GATEWAY_NAME, SYSTEM),
            CONFIGMAPS.ref(TOLD_NAME, SYSTEM),
            SECRETS.ref(TLS_SECRET, SYSTEM),
        ):
            await self.member_admin.delete(kept)

    def kubeconfig(self, name: str | None = None) -> Path:
        """Return the file with the credentials of a cluster's agent: the pair's, or that one's."""
        namespace = placement_namespace(name or self.cluster)
        path = acting_as(self.hub_plane, namespace, AGENT_ACCOUNT, self.folder)
        config = json.loads(path.read_text())
        config.pop("preferences", None)
        path.write_text(json.dumps(config))
        made: Path = path.rename(self.folder / f"{name or self.cluster}.kubeconfig")
        return made

    async def agent(self, kubeconfig: Path, **settings: Any) -> Agent:
        """Return the agent as its process would make it."""
        return Agent(
            api=self.member_api,
            settings=Settings(namespace=SYSTEM, serving_cpu_image=IMAGE, workers_max=3, **settings),
            agent=AgentSettings(
                cluster_name=self.cluster, hub_id=self.hub_id, hub_kubeconfig=kubeconfig
            ),
            cluster_uid=await cluster_uid(self.member_api),
            token_key=TOKEN_KEY,
            around=self.line,
            clock=ShiftedClock(self.off_by),
        )

    @asynccontextmanager
    async def serving(self, kubeconfig: Path, **settings: Any) -> AsyncIterator[Agent]:
        """Be the agent's process that has just started, until the block ends."""
        agent = await self.agent(kubeconfig, **settings)
        task = asyncio.create_task(agent.run())
        try:
            await until(lambda: agent.is_synced or task.done())
            if task.done():
                await task
            yield agent
        finally:
            await _ended(task)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Links]:
        """Be the hub's process that has just started, until the block ends."""
        self.stores = HubStores(hub_id=self.hub_id)
        name = HubName(hub_id=self.hub_id, namespace=SYSTEM, identity="hub-0")
        peers = Peers(
            connected=lambda _name, _api: None,
            disconnected=lambda _: None,
            heard=lambda: self.neighbours.lead(),
            asked=lambda cluster: self.neighbours.queue.add(cluster),
        )
        self.links = Links(Hub(api=self.hub_api, name=name, now=_now), peers)
        self.agents = Agents(
            api=self.hub_api,
            stores=self.stores,
            hears=self.links.hears,
            conflicts=self.conflicts,
        )
        self.neighbours = Neighbours(
            api=self.hub_api,
            stores=self.stores,
            certificates=Certificates(self.hub_api, SYSTEM, self.hub_id),
            links=self.links,
            conflicts=self.conflicts,
        )
        watches = [
            Watch(self.hub_api, Place(resource=resource), self)
            for resource in (MODELCLUSTERS, MODELPLACEMENTS)
        ]
        queues = (self.agents.queue, self.neighbours.queue)
        work = [*(watch.run() for watch in watches), *(queue.run() for queue in queues)]
        tasks = [asyncio.create_task(one) for one in (*work, self.links.run())]
        try:
            yield self.links
        finally:
            for task in tasks:
                await _ended(task)

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Be told by the hub's watches."""
        if resource is MODELPLACEMENTS:
            key = self.stores.see_placement(manifest, gone=gone)
            cluster = manifest["metadata"]["namespace"].removeprefix(placement_namespace(""))
            if key is not None:
                self.agents.see(cluster, key)
                self.neighbours.lead()
            return
        cluster, news = self.stores.see_cluster(manifest, gone=gone)
        if news.declared:
            self.neighbours.lead()
        # Others' tests have clusters of their own.
        if cluster is not None and cluster.metadata.name.startswith(self.cluster):
            self.links.see(cluster)

    async def listed(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Be told of a whole list."""

    async def told(self, name: str | None = None) -> ModelCluster:
        """Return the ModelCluster as it is on the hub."""
        manifest = await self.admin.get(MODELCLUSTERS.ref(name or self.cluster))
        assert manifest is not None
        return ModelCluster.model_validate(manifest)

    async def is_linked(self, state: str, name: str | None = None) -> bool:
        """Tell whether the hub says that of the link."""
        link = (await self.told(name)).status.link
        return link is not None and link.state == state

    async def answer_at(self, cluster: str, address: str) -> Ref:
        """Have the model answer in another cluster, whose gateway is at an address."""
        self.declared.append(cluster)
        await self.admin.create(
            {
                "apiVersion": MODELCLUSTERS.api_version,
                "kind": MODELCLUSTERS.kind,
                "metadata": {"name": cluster},
                "spec": {"connection": {"mode": "Pull"}, "gateway": {"address": address}},
            }
        )
        namespace = placement_namespace(cluster)
        metadata = {"name": namespace}
        await self.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made = placement_manifest(self.decision(cluster=cluster))
        made["metadata"] |= {"namespace": namespace, "finalizers": []}
        await self.admin.apply(made)
        ref = ref_of(made)
        status = placed_status(verified_hash=HASH)
        values = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self.admin.patch_status(ref, values)
        return ref

    async def held(self, namespace: str = SYSTEM) -> Held:
        """Return what the member's gateway shows to others, which is where its agent is."""
        return await held_leaf(self.member_admin, namespace)

    async def is_led_to(self, pool: str) -> bool:
        """Tell whether the member's gateway leads requests to a pool of the model's namespace."""
        return await self.is_led(f"{pool}-serve-svc.{self.namespace}.svc")

    async def is_led(self, upstream: str) -> bool:
        """Tell whether the member's gateway leads requests there."""
        found = await self.member_admin.get(CONFIGMAPS.ref(GATEWAY_NAME, SYSTEM)) or {}
        try:
            config = read_snapshot(entries_of(found))
        except InvalidSnapshot:
            return False
        return upstream in config.clusters.text

    async def hub_has(self, name: str = "chat") -> bool:
        """Tell whether the hub has the placement."""
        return await self.admin.get(self.on_hub(name)) is not None


class ShiftedClock(SystemClock):
    """A clock that somebody set wrong."""

    def __init__(self, off_by: timedelta) -> None:
        self._off_by = off_by

    def now(self) -> datetime:
        """Return what it shows."""
        return datetime.now(UTC) + self._off_by


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        raise task.exception()  # type: ignore[misc]  # It is not None.
