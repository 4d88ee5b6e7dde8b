"""A hub and one cluster that it works on, each a real API server; only the decide loop is missing.

What the hub decided is written by the test. KubeRay, the kubelet and Ray are on paper.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from builders.pool_values import TOKEN_KEY, placement_of, pool_settings
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import (
    FINALIZER,
    LABEL_ACCEPT_FROM,
    LABEL_HUB,
    placement_name,
    placement_namespace,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    MODELCLUSTERS,
    MODELPLACEMENTS,
    NAMESPACES,
    RAYSERVICES,
    Manifest,
    Resource,
)
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.watch import Place, Watch
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.linked import Gateways, LinkedMember
from smallmodel_operator.handlers.member import Installation, Listeners
from smallmodel_operator.handlers.members import Members
from smallmodel_operator.handlers.mirrors import Hub
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.placements import placement_manifest, spec_hash
from support.paper_reach import PaperReach

SYSTEM: Final = "smallmodel-system"
PATIENCE: Final = 180.0
"""A fresh cluster takes its time with the first pods."""


@dataclass
class Faults:
    """Passed to `Api.connect` as `around`: what answers to lists become.

    Attributes:
        lists: The plural whose lists are spoilt; None: none.
        spoil: Makes another answer of an answer, or raises.
        spoilt: How many were.
    """

    lists: str | None = None
    spoil: Callable[[Answer], Answer] = lambda answer: answer
    spoilt: int = 0

    async def __call__(self, request: Request, send: Send) -> Answer:
        """See one call."""
        answer = await send(request)
        if request.call.verb != "list" or request.call.resource != self.lists:
            return answer
        self.spoilt += 1
        return self.spoil(answer)


def fails_with(error: errors.ApiError) -> Callable[[Answer], Answer]:
    """Return a fault: this error in place of an answer."""

    def spoil(_answer: Answer) -> Answer:
        raise error

    return spoil


def without(share: float) -> Callable[[Answer], Answer]:
    """Return a fault: a list that lacks this share of its items, and says nothing of it."""

    def spoil(answer: Answer) -> Answer:
        told = answer.json()
        items = told["items"]
        told["items"] = items[: round(len(items) * (1 - share))]
        return Answer(status=200, content=json.dumps(told).encode())

    return spoil


def cut_short(answer: Answer) -> Answer:
    """Be a fault: half of the bytes."""
    return Answer(status=200, content=answer.content[: len(answer.content) // 2])


@dataclass
class LinkedPair:
    """One hub with one member, as one process of the operator works on them.

    Attributes:
        admin: An administrator of the hub.
        member_admin: One of the member.
        hub_api: What the operator calls on the hub.
        member_api: What it calls on the member.
        hub_id: The installation.
        cluster: The ModelCluster's name.
        namespace: The models'.
    """

    admin: Api
    member_admin: Api
    hub_api: Api
    member_api: Api
    hub_id: str = field(default_factory=lambda: f"hub-{uuid4().hex[:8]}")
    cluster: str = field(default_factory=lambda: f"edge-{uuid4().hex[:8]}")
    namespace: str = field(default_factory=lambda: f"team-{uuid4().hex[:8]}")
    stores: HubStores = field(init=False)
    members: Members = field(init=False)
    conflicts: Counter[str] = field(default_factory=Counter)

    async def prepare(self, *, accepts: bool = True) -> None:
        """Have a ModelCluster, and a namespace for models in the member."""
        await self.declare(self.cluster)
        labels = {LABEL_ACCEPT_FROM: self.hub_id} if accepts else {}
        await self.member_admin.create(_namespace(self.namespace, labels))
        for admin in (self.admin, self.member_admin):
            if await admin.get(NAMESPACES.ref(SYSTEM)) is None:
                await admin.create(_namespace(SYSTEM, {}))

    async def declare(self, name: str) -> None:
        """Have a ModelCluster."""
        manifest = {
            "apiVersion": MODELCLUSTERS.api_version,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": name},
            "spec": {"connection": {"mode": "Push", "kubeconfigSecretRef": {"name": name}}},
        }
        await self.admin.create(manifest)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[LinkedMember]:
        """Be one process of the operator that has just started, until the block ends."""
        self.stores = HubStores(hub_id=self.hub_id)
        self.members = Members(self._member)
        watch = Watch(self.hub_api, Place(resource=MODELPLACEMENTS), self)
        self._is_read: Callable[[], bool] = lambda: watch.is_read
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.run()), group.create_task(self.members.run())]
            self.members.connected(self.cluster, self.member_api)
            try:
                await until(lambda: bool(list(self.members)))
                (member,) = self.members
                await until(lambda: member.is_read)
                yield member
            finally:
                for task in tasks:
                    task.cancel()

    def _member(self, name: str, api: Api) -> LinkedMember:
        all_of = Installation(
            api=self.hub_api,
            stores=self.stores,
            settings=pool_settings(hub_id=self.hub_id),
            workers_max=3,
            namespace=SYSTEM,
            identity="by-hand",
            token_key=TOKEN_KEY,
            conflicts=self.conflicts,
        )
        return LinkedMember(
            name=name,
            api=api,
            all_of=all_of,
            hub=Hub(api=self.hub_api, stores=self.stores, is_read=lambda: self._is_read()),
            listeners=Listeners(changed=lambda: None, news=lambda _: None, told=lambda _: None),
            reach=PaperReach(api),
            gateway=Gateways(
                settings=ClusterGatewaySettings(),
                allow_from=(),
                certificates=Certificates(self.hub_api, SYSTEM, self.hub_id),
            ),
        )

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Be told by the hub's watch."""
        del resource
        key = self.stores.see_placement(manifest, gone=gone)
        if key is not None:
            self.members.decided(self.cluster, key)

    async def listed(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Be told of a whole list; of placements, no absence follows from it."""
        for member in self.members:
            member.work_on_all()

    def decision(self, name: str = "chat", **spec: Any) -> ModelPlacement:
        """Return what the hub decides for the member."""
        made = placement_of(
            name,
            namespace=self.namespace,
            metadata={
                "namespace": placement_namespace(self.cluster),
                "labels": {LABEL_HUB: self.hub_id},
                "finalizers": [FINALIZER],
            },
            **{"cluster": self.cluster, "hub_id": self.hub_id, **spec},
        )
        whole = made.spec.model_copy(update={"spec_hash": spec_hash(made.spec)})
        return made.model_copy(update={"spec": whole})

    async def decide(self, name: str = "chat", **spec: Any) -> None:
        """Have the hub decide."""
        await self.admin.apply(placement_manifest(self.decision(name, **spec)))

    async def revoke(self, name: str = "chat") -> None:
        """Have the hub end it."""
        await self.admin.delete(self.on_hub(name))

    def on_hub(self, name: str = "chat") -> Any:
        """Return the reference to the hub's object."""
        namespace = placement_namespace(self.cluster)
        return MODELPLACEMENTS.ref(placement_name(self.namespace, name), namespace)

    def on_member(self, name: str = "chat") -> Any:
        """Return the reference to its mirror."""
        return MODELPLACEMENTS.ref(placement_name(self.namespace, name), SYSTEM)

    async def hub_status(self, name: str = "chat") -> Manifest:
        """Return what the hub's object says."""
        found = await self.admin.get(self.on_hub(name))
        return (found or {}).get("status") or {}

    async def pools(self) -> list[Manifest]:
        """Return the RayServices in the member."""
        return (await self.member_admin.list(RAYSERVICES, self.namespace))[0]

    async def is_ready(self, name: str = "chat") -> bool:
        """Return whether the hub's object says that a request was answered."""
        conditions = (await self.hub_status(name)).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    async def says(self, reason: str, name: str = "chat") -> bool:
        """Return whether the hub's object has a problem of that reason."""
        problem = (await self.hub_status(name)).get("problem") or {}
        return bool(problem.get("reason") == reason)

    def deletions(self) -> int:
        """Return how many objects of the member the operator asked to delete."""
        return sum(n for call, n in self.member_api.calls.items() if call.verb == "delete")


async def until(
    condition: Callable[[], bool | Awaitable[bool]], *, within: float = PATIENCE
) -> None:
    """Return once a condition holds.

    Raises:
        TimeoutError: It does not in time.
    """
    async with asyncio.timeout(within):
        while True:
            came = condition()
            if came if isinstance(came, bool) else await came:
                return
            await asyncio.sleep(0.1)


def _namespace(name: str, labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
