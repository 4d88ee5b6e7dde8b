"""The operator: stores, queues and loops, wired together."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.handlers import link
from smallmodel_operator.handlers.agents import Agents
from smallmodel_operator.handlers.buckets import Buckets
from smallmodel_operator.handlers.canary import HubName
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.claims import Claims, reached
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.gateway import LOOK, GatewayLoop
from smallmodel_operator.handlers.http_routes import HttpRouteLoop
from smallmodel_operator.handlers.link import Peers
from smallmodel_operator.handlers.linked import Gateways, LinkedMember
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.member import Installation, Listeners, Member, now
from smallmodel_operator.handlers.members import Members, until_seen
from smallmodel_operator.handlers.mirrors import Hub
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.neighbours import Neighbours
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.resync import Resync
from smallmodel_operator.handlers.sources import Scales
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.triggers import Triggers
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.settings import Settings

_MODEL_WORKERS: Final = 16
_MANY_MODELS: Final = 20
"""Waiting models above which events are written slowly."""
_GATEWAY_REST: Final = 0.5
_OTHERS_SECONDS: Final = 15.0
"""A canary's five, and as much again for reading what is there over a slow line."""


class Operator:
    """Everything that runs while this process is the leader: the hub, and all clusters."""

    def __init__(self, *, api: Api, settings: Settings, hub_id: str, token_key: str) -> None:
        self._api = api
        self._settings = settings
        scales = Scales(
            policy=settings.placement.policy(), tables=settings.placement.price_tables()
        )
        self.stores = HubStores(hub_id=hub_id, scales=scales)
        self.conflicts: Counter[str] = Counter()
        """Writes over something that was newer, by queue."""
        pools = settings.pools(hub_id)
        events = Events(api, settings.pod_name)
        self._all_of = Installation(
            api=api,
            stores=self.stores,
            settings=pools,
            workers_max=settings.workers_max,
            namespace=settings.namespace,
            token_key=token_key,
            identity=settings.pod_name,
            conflicts=self.conflicts,
        )
        self.local = Member(
            name=LOCAL_CLUSTER,
            api=api,
            all_of=self._all_of,
            stores=ClusterStores(placements=self.stores.placements_on(LOCAL_CLUSTER)),
            listeners=Listeners(
                changed=lambda: self.triggers.cluster_changed(),
                news=lambda news: self.triggers.act_on(news),
                told=lambda key: self.triggers.told(key),
                job=lambda namespace, job: self.triggers.fetched(namespace, job),
                pod=lambda: self.gateway_queue.add(LOOK),
            ),
            gateway_problem=lambda: self.gateway.problem,
            jurisdiction=lambda: settings.cluster_jurisdiction,
        )
        self.members = Members(self._linked)
        called = HubName(hub_id=hub_id, namespace=settings.namespace, identity=settings.pod_name)
        self.links = Links(
            link.Hub(api=api, name=called, now=now, providers=settings.credential_providers),
            Peers(
                connected=self.members.connected,
                disconnected=self.members.disconnected,
                heard=lambda: self.triggers.heard(),
                asked=lambda name: self.neighbours.queue.add(name),
            ),
        )
        self.agents = Agents(
            api=api, stores=self.stores, hears=self.links.hears, conflicts=self.conflicts
        )
        self.claims = Claims(
            api=api,
            stores=self.stores,
            members=lambda: reached(self.members),
            buckets=Buckets(settings.s3_endpoint),
            now=now,
            conflicts=self.conflicts,
        )
        self.certificates = Certificates(api, settings.namespace, hub_id)
        self.neighbours = Neighbours(
            api=api,
            stores=self.stores,
            certificates=self.certificates,
            links=self.links,
            conflicts=self.conflicts,
        )
        # To somebody's own Gateway the operator has no certificate to give.
        self._gateways = (
            Gateways(
                settings=settings.gateway(),
                allow_from=settings.gateway_allow_from,
                certificates=self.certificates,
            )
            if settings.http_route is None
            else None
        )
        self.events = EventWriter(events, lambda: self.model_queue.depth > _MANY_MODELS)
        self.models = ModelLoop(
            api=api,
            stores=self.stores,
            fetching=self.local.stores,
            events=self.events,
            settings=pools,
            url=settings.model_url,
            now=now,
            views=self._views,
            placed=lambda key: self.triggers.placed(key),
            told=lambda key: self.triggers.lead_to(key),
        )
        self.gateway = self._gateway(events)
        self.model_queue = WorkQueue[ObjectKey](
            "model",
            named(self.models.work, _model_fields),
            workers=_MODEL_WORKERS,
            failed=log_failure("model", _model_fields, self.conflicts),
        )
        self.gateway_queue = WorkQueue[str](
            "gateway",
            self.gateway.work,
            workers=1,
            rest=_GATEWAY_REST,
            failed=log_failure("gateway", lambda _: {}, self.conflicts),
        )
        self.triggers = Triggers(
            stores=self.stores,
            # With chosen namespaces alone, what is decided for other clusters cannot be read.
            links_clusters=not settings.watch_namespaces,
            local=self.local,
            members=self.members,
            links=self.links,
            agents=self.agents,
            claims=self.claims,
            neighbours=self.neighbours,
            gateway=self.gateway,
            model_queue=self.model_queue,
            gateway_queue=self.gateway_queue,
        )
        self.resync = Resync(
            api=api,
            stores=self.stores,
            local=self.local.stores,
            watched=settings.watch_namespaces,
            triggers=self.triggers,
        )

    def _linked(self, name: str, api: Api) -> LinkedMember:
        return LinkedMember(
            name=name,
            api=api,
            all_of=self._all_of,
            hub=Hub(api=self._api, stores=self.stores, is_read=lambda: self.resync.is_synced),
            listeners=Listeners(
                changed=self.triggers.cluster_changed,
                news=self.triggers.act_on,
                told=self.triggers.told,
            ),
            jurisdiction=lambda: self.links.jurisdiction(name),
            gateway=self._gateways,
        )

    def _gateway(self, events: Events) -> GatewayLoop | HttpRouteLoop:
        """Return what leads requests to models: our own gateway, or routes of somebody's."""
        settings = self._settings
        if settings.http_route is not None:
            return HttpRouteLoop(
                api=self._api,
                hub=self.stores,
                stores=self.local.stores,
                parent=settings.http_route.parent(),
                watched=settings.watch_namespaces,
                all_pools_read=lambda: self.resync.is_synced,
            )
        return GatewayLoop(
            api=self._api,
            hub=self.stores,
            stores=self.local.stores,
            namespace=settings.namespace,
            settings=settings.gateway(),
            allow_from=settings.gateway_allow_from,
            all_pools_read=lambda: self.resync.is_synced,
            events=events,
        )

    @property
    def queues(self) -> tuple[WorkQueue[Any], ...]:
        """All queues, for metrics."""
        others = (queue for member in self.members for queue in member.queues)
        return self.model_queue, self.claims.queue, *self._own_queues, *others

    @property
    def _own_queues(self) -> tuple[WorkQueue[Any], ...]:
        own = (self.local.namespace_queue, self.gateway_queue, self.agents.queue)
        return (*own, *([self.neighbours.queue] if self._gateways is not None else ()))

    @property
    def is_synced(self) -> bool:
        """Whether everything was read once since this process started."""
        return self.resync.is_synced

    async def run(self) -> None:
        """Read everything, then work until cancelled.

        Raises:
            ApiError: What has to be there before anything else could not be read or made.
        """
        await self.local.cluster.prepare()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.local.cluster.run(), name="cluster")
                await self.local.cluster.seen()
                await self.resync.read_everything()
                for queue in self._own_queues:
                    group.create_task(queue.run(), name=queue.name)
                group.create_task(self._decide(), name=self.model_queue.name)
                group.create_task(self.members.run(), name="members")
                group.create_task(self.links.run(), name="links")
                group.create_task(self.events.run(), name="events")
                group.create_task(self.resync.run(), name="resync")
                if self._gateways is not None:
                    own = self.certificates.run(LOCAL_CLUSTER, self._api)
                    group.create_task(own, name="certificate")
        finally:
            await self.local.close()

    async def _decide(self) -> None:
        """Decide, once the clusters that were connected before this process have been read.

        One that was not would be passed over, and what is placed elsewhere then stays there; and of
        data it would be said that nobody looked for it there.
        """
        await until_seen(self.stores.connected(), self._views, within=_OTHERS_SECONDS)
        async with asyncio.TaskGroup() as group:
            for queue in (self.model_queue, self.claims.queue):
                group.create_task(queue.run(), name=queue.name)

    def _views(self) -> Mapping[str, ClusterView]:
        """Return each cluster that is connected as it was seen last, but for those not seen yet."""
        own = self.local.view()
        others = {**self.members.views(), **self.agents.views()}
        return {**others, **({own.name: own} if own is not None else {})}


def _model_fields(key: ObjectKey) -> Mapping[str, str]:
    return {"namespace": key[0], "model": key[1]}
