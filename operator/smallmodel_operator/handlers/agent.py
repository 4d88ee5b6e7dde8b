"""The agent of a cluster behind a NAT: it calls the hub, mirrors what that decided, and serves.

The same loops as the hub's for a cluster that it calls, with the two clients swapped round. What
is mirrored is served on while the hub is away, and after a restart too.
"""

import asyncio
from collections import Counter
from typing import Any

from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.api.names import placement_namespace
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.reach import DIRECT
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, Manifest, Resource
from smallmodel_operator.clusters.watch import Place, Watch
from smallmodel_operator.clusters.wire import Around, send_on
from smallmodel_operator.handlers.hub_line import AgentName, Ends, HubLine
from smallmodel_operator.handlers.linked import Gateways, LinkedMember
from smallmodel_operator.handlers.member import Installation, Listeners, now
from smallmodel_operator.handlers.mirrors import Hub
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.told import Asker, Hearing
from smallmodel_operator.plan.gateway.told import Told
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.settings import Settings


class Agent:
    """Everything that runs in a cluster while its agent leads there.

    Attributes:
        stores: What the hub decided, as far as it was read.
        line: To the hub.
        hearing: Of gateways elsewhere.
        member: The cluster.
        conflicts: Writes over something that was newer, by queue.
    """

    def __init__(
        self,
        *,
        api: Api,
        settings: Settings,
        agent: AgentSettings,
        cluster_uid: str,
        token_key: str,
        around: Around = send_on,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make it; `run` does the work.

        Args:
            api: The cluster's own.
            settings: The installation's.
            agent: Which cluster it is, and of which hub.
            cluster_uid: Of the cluster's namespace kube-system.
            token_key: What tokens of pools are made from.
            around: Sees every call to the hub.
            clock: For heartbeats.
        """
        self._api = api
        self._cluster = agent.cluster_name
        self._namespace = placement_namespace(agent.cluster_name)
        self._group: asyncio.TaskGroup | None = None
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self.conflicts: Counter[str] = Counter()
        self.stores = HubStores(hub_id=agent.hub_id, of_agent=True)
        self.line = HubLine(
            agent.hub_kubeconfig,
            AgentName(
                cluster=agent.cluster_name,
                cluster_uid=cluster_uid,
                hub_id=agent.hub_id,
                identity=settings.pod_name,
            ),
            Ends(opened=self._listen, shut=self._deafen),
            now,
            around=around,
            clock=clock,
            request=lambda: self.hearing.request,
        )
        self.hearing = Hearing(
            api,
            self.line.api,
            Asker(cluster=agent.cluster_name, hub_id=agent.hub_id, namespace=settings.namespace),
            self._hear,
            clock=clock,
        )
        self.member = LinkedMember(
            name=agent.cluster_name,
            api=api,
            all_of=Installation(
                api=self.line.api,
                stores=self.stores,
                settings=settings.pools(agent.hub_id),
                workers_max=settings.workers_max,
                namespace=settings.namespace,
                token_key=token_key,
                identity=settings.pod_name,
                conflicts=self.conflicts,
                by_agent=True,
            ),
            hub=Hub(api=self.line.api, stores=self.stores, is_read=self.hub_is_read, lets_go=False),
            listeners=Listeners(changed=lambda: None, news=lambda _: None, told=lambda _: None),
            jurisdiction=lambda: settings.cluster_jurisdiction,
            reach=DIRECT,
            gateway=Gateways(settings=settings.gateway(), allow_from=settings.gateway_allow_from),
        )

    @property
    def queues(self) -> tuple[WorkQueue[Any], ...]:
        """All queues, for metrics."""
        return self.member.queues

    @property
    def is_synced(self) -> bool:
        """Whether everything of the cluster was read once; the hub is not waited for."""
        return self.member.is_read

    def hub_is_read(self) -> bool:
        """Whether all of the hub's placements were read since it was called last."""
        return self._watch is not None and self._watch.is_read

    async def run(self) -> None:
        """Mirror and serve until cancelled.

        Raises:
            ApiError: What the hub said last could not be read in the cluster.
        """
        await self.hearing.recall()
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self.member.run(), name="member")
            group.create_task(self.line.run(), name="line")
            group.create_task(self.hearing.run(), name="hearing")

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take a placement of the hub's as it is now."""
        del resource
        key = self.stores.see_placement(manifest, gone=gone)
        if key is not None:
            self.member.mirror(key)
            # It may say that the copy goes, which a mirror does not.
            self.member.lead()

    async def listed(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Drop what the hub's list did not have, and what the hub says by its name not to have.

        Raises:
            ApiError: The other look failed.
        """
        del resource, version
        for placement in list(self.stores.placements_on(self._cluster).by_model.values()):
            metadata = placement.metadata
            if (metadata.namespace, metadata.name) in there:
                continue
            ref = MODELPLACEMENTS.ref(metadata.name, metadata.namespace)
            if await self.line.api.get(ref) is None:
                last = placement_manifest(placement)
                last["metadata"]["uid"] = metadata.uid
                self.stores.see_placement(last, gone=True)
        for key in self.member.mirrors.known():
            self.member.mirror(key)

    def _hear(self, said: Told) -> None:
        """Take what the hub says of models elsewhere, all of them: others are deleted."""
        before, self.stores.told = self.stores.told, said
        for key in _keys(before) - _keys(said):
            self.member.note_deleted(key)
        self.member.lead()

    def _listen(self) -> None:
        """Read the hub's placements anew: what was known of them before is old."""
        assert self._group is not None  # noqa: S101 - the line runs in it
        place = Place(resource=MODELPLACEMENTS, namespace=self._namespace)
        self._watch = Watch(self.line.api, place, self)
        self._watching = self._group.create_task(self._watch.run(), name="watch the hub")

    def _deafen(self) -> None:
        """Take nothing for the hub's word any more before it is read again."""
        self._watch = None
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None


def _keys(told: Told | None) -> set[ObjectKey]:
    return {model.key for model in told.models} if told is not None else set()
