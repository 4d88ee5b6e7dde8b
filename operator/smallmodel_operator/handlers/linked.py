"""A cluster that the hub works on by its own client: watches, mirrors and a serve loop.

All of its tasks, queues and calls are its own, so that one which hangs slows no other.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.reach import ForwardedReach, Reach
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, NAMESPACES, Resource
from smallmodel_operator.clusters.watch import Place, Watch
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.gateway import CHANGED, LOOK, GatewayLoop
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.member import SERVED, Installation, Listeners, Member, now
from smallmodel_operator.handlers.mirrors import Hub, MirrorLoop
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.plan.pools.values import Manifest

_MIRROR_WORKERS: Final = 8
_RESYNC_SECONDS: Final = 300.0
_GATEWAY_REST: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateways:
    """What gateways of all clusters have in common."""

    settings: ClusterGatewaySettings
    allow_from: tuple[str, ...]
    certificates: Certificates | None = None
    """None: requests are led to no other cluster, and none come from there."""


class LinkedMember:
    """One other cluster, from when it is connected until it is not."""

    def __init__(
        self,
        *,
        name: str,
        api: Api,
        all_of: Installation,
        hub: Hub,
        listeners: Listeners,
        jurisdiction: Callable[[], str | None] = lambda: None,
        reach: Reach | None = None,
        gateway: Gateways | None = None,
    ) -> None:
        """Make it; `run` does the work.

        Args:
            name: The ModelCluster.
            api: The cluster's.
            all_of: What all clusters have in common.
            hub: Where the placements come from.
            listeners: Who is told. The decide loop learns of a placement's status once the hub's
                object has it.
            jurisdiction: Tells the cluster's, by its own settings; None: they do not say.
            reach: How the cluster's pods are reached; None: through its API server.
            gateway: What gateways of all clusters have in common; None: there are none.
        """
        self.name = name
        self._changed = listeners.changed
        self.reach = reach or ForwardedReach(api, cluster=name)
        self.api = api
        self._namespace = all_of.namespace
        self._decided = all_of.stores.placements_on(name)
        mirrors = Placements(hub_id=all_of.settings.hub_id, mirrored=True)
        self.stores = ClusterStores(placements=mirrors)
        self.member = Member(
            name=name,
            api=api,
            all_of=all_of,
            stores=self.stores,
            listeners=Listeners(
                changed=listeners.changed,
                news=listeners.news,
                told=self.mirror,
                pod=self.lead,
            ),
            orphans=self._orphans,
            jurisdiction=jurisdiction,
            reach=self.reach,
        )
        self.mirrors = MirrorLoop(
            api=api,
            hub=hub,
            stores=self.stores,
            name=name,
            namespace=all_of.namespace,
            now=now,
            carried=lambda key: self.member.namespace_queue.add(key[0]),
            told=listeners.told,
            overwriting=self.member.edits.tell,
        )
        self.mirror_queue = WorkQueue[ObjectKey](
            f"{name}/mirror",
            named(self.mirrors.work, self._fields),
            workers=_MIRROR_WORKERS,
            failed=log_failure(f"{name}/mirror", self._fields, all_of.conflicts),
        )
        self._gateways = gateway
        self._by_agent = all_of.by_agent
        self.gateway = self._gateway(gateway, all_of, hub) if gateway is not None else None
        self.gateway_queue = WorkQueue[str](
            f"{name}/gateway",
            self._lead,
            workers=1,
            rest=_GATEWAY_REST,
            failed=log_failure(f"{name}/gateway", lambda _: {"cluster": name}, all_of.conflicts),
        )
        self._watches = [Watch(api, place, self) for place in self._places()]

    @property
    def queues(self) -> tuple[WorkQueue[Any], ...]:
        """All queues, for metrics."""
        return self.mirror_queue, self.member.namespace_queue, self.gateway_queue

    @property
    def is_read(self) -> bool:
        """Whether everything of the cluster was read once since it was connected."""
        return all(watch.is_read for watch in self._watches)

    def view(self) -> ClusterView | None:
        """Return the cluster as it was seen last, or None before everything of it was read."""
        return self.member.view() if self.is_read else None

    def mirror(self, key: ObjectKey) -> None:
        """Have a placement and its mirror be worked on."""
        self.mirror_queue.add(key)

    def lead(self) -> None:
        """Have the gateway learn where requests go now."""
        self.gateway_queue.add(CHANGED)

    def note_deleted(self, key: ObjectKey) -> None:
        """Have the gateway know that a SmallModel was seen to be deleted."""
        if self.gateway is not None:
            self.gateway.note_deleted(key)

    async def run(self) -> None:
        """Read everything, then work until cancelled.

        Raises:
            ApiError: The hub could not make the namespace of the cluster's placements.
        """
        try:
            await self.member.cluster.prepare()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.member.cluster.run(), name=f"cluster {self.name}")
                for watch in self._watches:
                    group.create_task(watch.run(), name=f"watch {self.name}")
                await self.member.cluster.seen()
                for watch in self._watches:
                    # What is not read yet is not absent: nothing is decided before.
                    await watch.read()
                self.work_on_all()
                # Before, it was none that models could be placed on.
                self._changed()
                for queue in self.queues:
                    group.create_task(queue.run(), name=queue.name)
                group.create_task(self._resync(), name=f"resync {self.name}")
                if self._gateways is not None and self._gateways.certificates is not None:
                    own = self._gateways.certificates.run(self.name, self.api)
                    group.create_task(own, name=f"certificate {self.name}")
        finally:
            await self.member.close()

    def work_on_all(self) -> None:
        """Have everything worked on once."""
        for key in self.mirrors.known():
            self.mirror_queue.add(key, later=True)
        self.member.serve_all()
        self.gateway_queue.add(LOOK)

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object of the cluster as it is now."""
        if resource is MODELPLACEMENTS:
            self._see_mirror(manifest, gone=gone)
            return
        name = manifest["metadata"]["name"]
        did_accept = name in self.stores.accepting
        self.member.see(resource, manifest, gone=gone)
        if resource is NAMESPACES and did_accept != (name in self.stores.accepting):
            for key in self.mirrors.known_in(name):
                self.mirror(key)
            self.lead()

    async def listed(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Drop what a whole list did not have; a mirror only where another look has it neither.

        Raises:
            ApiError: The other look failed.
        """
        if resource is not MODELPLACEMENTS:
            self.stores.forget_missing(resource, there, version)
            return
        for placement in list(self.stores.placements.by_model.values()):
            metadata = placement.metadata
            if (metadata.namespace, metadata.name) in there:
                continue
            if await self.api.get(resource.ref(metadata.name, metadata.namespace)) is None:
                last = placement_manifest(placement)
                last["metadata"]["uid"] = metadata.uid
                self._see_mirror(last, gone=True)

    def _gateway(self, gateways: Gateways, all_of: Installation, hub: Hub) -> GatewayLoop:
        return GatewayLoop(
            api=self.api,
            hub=hub.stores,
            stores=self.stores,
            namespace=all_of.namespace,
            settings=gateways.settings,
            allow_from=gateways.allow_from,
            # An agent leads to what it mirrors, whether or not the hub can be asked.
            all_pools_read=lambda: self.is_read and (self._by_agent or hub.is_read()),
            name=self.name,
            of_placements=self._by_agent,
        )

    async def _lead(self, key: str) -> float | None:
        return await self.gateway.work(key) if self.gateway is not None else None

    def _see_mirror(self, manifest: Manifest, *, gone: bool) -> None:
        key = self.stores.see_placement(manifest, gone=gone)
        if key is not None:
            if self._by_agent and (gone or manifest["metadata"].get("deletionTimestamp")):
                # An agent sees no SmallModels.
                self.note_deleted(key)
            self.member.namespace_queue.add(key[0])
            self.mirror(key)
            self.lead()
            return
        # One of another installation may be in the way of a mirror now, or not any more.
        name = manifest["metadata"]["name"]
        for decided, placement in self._decided.by_model.items():
            if placement.metadata.name == name:
                self.mirror(decided)
                return

    def _orphans(self) -> list[str] | None:
        if not self.is_read:
            return None
        return sorted("/".join(key) for key in self.mirrors.orphans)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_SECONDS)
            self.work_on_all()

    def _places(self) -> tuple[Place, ...]:
        mirrors = Place(resource=MODELPLACEMENTS, namespace=self._namespace)
        return (*(Place(resource=resource) for resource in SERVED), mirrors)

    def _fields(self, key: ObjectKey) -> Mapping[str, str]:
        return {"cluster": self.name, "namespace": key[0], "model": key[1]}
