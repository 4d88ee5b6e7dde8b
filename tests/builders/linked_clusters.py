"""A hub and clusters that it calls, as fake API servers, and the links between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, failure, fake_kube_api
from builders.kubeconfigs import TOKEN, encoded, kubeconfig, pair, server_tls, written
from smallmodel_operator.api.credential_providers import CredentialProvider
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.plugins import PLUGIN_SECONDS, Plugins
from smallmodel_operator.clusters.ref import LEASES, MODELCLUSTERS, SECRETS, Manifest
from smallmodel_operator.handlers.canary import HubName
from smallmodel_operator.handlers.link import Hub, Link, Peers
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.status.link import PERIOD_SECONDS
from support.waiting import eventually

SYSTEM = "smallmodel-system"
HUB = HubName(hub_id="hub-1", namespace=SYSTEM, identity="operator-0")
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/smallmodel-hub-hub-1"


@dataclass
class Member:
    """A cluster that the hub calls.

    Attributes:
        token: The one that is taken.
        cut: Nobody gets an answer.
        hung: Whoever asks waits until this is set.
    """

    kube: FakeKubeApi
    token: str = TOKEN
    cut: bool = False
    hung: asyncio.Event | None = None

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer as an API server behind that line."""
        if self.hung is not None:
            await self.hung.wait()
        if self.cut:
            assert request.transport is not None
            request.transport.abort()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return failure(401, "Unauthorized", "who is it?")
        return await self.kube.answer(request)

    @property
    def leased(self) -> bool:
        """Whether a canary wrote there."""
        return LEASE in self.kube.objects


@dataclass
class Linked:
    """A hub with its links."""

    hub: FakeKubeApi
    api: Api
    stack: AsyncExitStack
    clock: FakeClock = field(default_factory=FakeClock)
    told: list[tuple[str, str]] = field(default_factory=list)
    apis: dict[str, Api] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    links: Links = field(init=False)
    task: asyncio.Task[None] | None = None
    providers: tuple[CredentialProvider, ...] = ()
    """Who gives tokens for clusters of ClusterProfiles, from the next restart on."""
    patience: float = PLUGIN_SECONDS

    def __post_init__(self) -> None:
        self.hub.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
        self.restart()

    def restart(self) -> None:
        """Have another process of the operator, which knows what the status says."""
        peers = Peers(
            connected=self._connected,
            disconnected=self._disconnected,
            heard=lambda: self.told.append(("heard", "")),
            asked=lambda name: self.told.append(("asked", name)),
        )
        hub = Hub(
            api=self.api,
            name=HUB,
            now=self.now,
            clock=self.clock,
            providers=self.providers,
            plugins=Plugins(seconds=self.patience),
        )
        self.links = Links(hub, peers)

    def now(self) -> str:
        """The time by the clock."""
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _connected(self, name: str, api: Api) -> None:
        self.told.append(("connected", name))
        self.apis[name] = api

    def _disconnected(self, name: str) -> None:
        self.told.append(("disconnected", name))

    async def member(self, name: str, *, uid: str | None = None) -> Member:
        """Bring up a cluster; with the uid of another one, it is that one."""
        kube = await self.stack.enter_async_context(fake_kube_api(server_tls(pair())))
        member = Member(kube)
        kube.dispatch = member.dispatch  # type: ignore[method-assign]
        kube.put("/api/v1/namespaces/kube-system", kube_system(uid or f"uid-{name}"))
        self.members[name] = member
        return member

    async def join(self, name: str, **connection: object) -> Member:
        """Bring up a cluster and declare it."""
        member = await self.member(name)
        self.keep_secret(name)
        self.declare(name, **connection)
        return member

    def keep_secret(self, name: str, *, token: str | None = None, **fields: Any) -> None:
        """Keep a kubeconfig for a cluster in its Secret."""
        member = self.members[name]
        config = kubeconfig(
            cluster={
                "server": member.kube.url,
                "certificate-authority-data": encoded(pair().certificate),
            },
            user={"token": token or member.token, **fields},
        )
        self.hub.put(
            secret_path(name),
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": SYSTEM},
                "data": {"kubeconfig": encoded(written(config))},
            },
        )

    def pull(self, name: str) -> None:
        """Declare a cluster whose agent calls the hub."""
        self.declare(name, mode="Pull", kubeconfigSecretRef=None)

    def beat(self, name: str, *, uid: str = "uid-edge", request: str = "") -> None:
        """Have the agent of a cluster renew its Lease, whose times nobody reads."""
        annotations = {"smallmodel.dev/cluster-uid": uid} if uid else {}
        if request:
            annotations["smallmodel.dev/gateway-request"] = request
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "smallmodel-agent", "annotations": annotations},
            "spec": {"renewTime": "1999-01-01T00:00:00.000000Z"},
        }
        self.hub.put(agent_lease_path(name), lease)

    def declare(self, name: str, **connection: object) -> None:
        """Write a ModelCluster, and tell the links of it."""
        wanted = {"mode": "Push", "kubeconfigSecretRef": {"name": name}, **connection}
        manifest = {
            "apiVersion": MODELCLUSTERS.api_version,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": name},
            "spec": {"connection": {k: v for k, v in wanted.items() if v is not None}},
        }
        live = self.hub.objects.get(cluster_path(name), {})
        self.hub.put(cluster_path(name), manifest | {"status": live.get("status", {})})
        self.see(name)

    def see(self, name: str) -> None:
        """Tell the links of a ModelCluster, as a watch does."""
        self.links.see(self.cluster(name))

    def cluster(self, name: str) -> ModelCluster:
        """The ModelCluster as it is on the hub."""
        return ModelCluster.model_validate(self.hub.objects[cluster_path(name)])

    def said(self, name: str) -> tuple[str, str]:
        """State and reason in the status."""
        link = self.cluster(name).status.link
        assert link is not None
        return link.state, link.reason

    def link(self, name: str) -> Link:
        """The link to a cluster."""
        (found,) = (link for link in self.links if link.name == name)
        return found

    async def look(self, times: int = 1) -> None:
        """Have every link send that many canaries."""
        for _ in range(times):
            if self.task is None:
                self.task = asyncio.create_task(self.links.run())
            else:
                self.clock.turn(PERIOD_SECONDS)
            await self.settled()

    async def settled(self) -> None:
        """Return once every link that does not hang waits for its next canary."""
        hanging = sum(member.hung is not None for member in self.members.values())
        await eventually(
            lambda: self.clock.sleeping == len(list(self.links)) - hanging, "each link has looked"
        )

    async def close(self) -> None:
        """End the process."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None


def kube_system(uid: str) -> Manifest:
    """The namespace whose UID tells clusters apart."""
    metadata = {"name": "kube-system", "uid": uid}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def cluster_path(name: str) -> str:
    """Where the hub has a ModelCluster."""
    return MODELCLUSTERS.ref(name).path


def agent_lease_path(name: str) -> str:
    """Where the agent of a cluster tells the hub that it lives."""
    return LEASES.ref("smallmodel-agent", f"slm-cluster-{name}").path


def secret_path(name: str) -> str:
    """Where the hub has the Secret of a cluster."""
    return SECRETS.ref(name, SYSTEM).path


@asynccontextmanager
async def linked() -> AsyncIterator[Linked]:
    """Run a hub."""
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(fake_kube_api())
        api = await stack.enter_async_context(Api.of(Credentials(server=hub.url, token="hub")))
        made = Linked(hub, api, stack)
        try:
            yield made
        finally:
            await made.close()
