"""The operator: stores, queues and loops, wired together."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from smallmodel_operator.api.names import LOCAL_CLUSTER, cluster_of_namespace
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    MODELCARDS,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.handlers import link
from smallmodel_operator.handlers.agents import Agents
from smallmodel_operator.handlers.canary import HubName
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.claims import Claims, reached
from smallmodel_operator.handlers.cluster_news import ClusterNews
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.gateway import LOOK, GatewayLoop
from smallmodel_operator.handlers.http_routes import HttpRouteLoop
from smallmodel_operator.handlers.link import Peers
from smallmodel_operator.handlers.linked import Gateways, LinkedMember
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.member import SERVED, Installation, Listeners, Member, now
from smallmodel_operator.handlers.members import Members, until_seen
from smallmodel_operator.handlers.mirrors import Hub
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.neighbours import Neighbours
from smallmodel_operator.handlers.objects import ObjectKey, key_of, namespaces_of
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.routes import Led
from smallmodel_operator.handlers.sources import Scales
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.watched import WATCHED
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.settings import Settings

_LOG: Final = logging.getLogger(__name__)

_RESYNC_SECONDS: Final = 300.0
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
        self._synced = False
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
                changed=self._cluster_changed,
                news=self._act_on,
                told=self._told,
                job=self._see_fetch,
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
                heard=self._heard,
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
            placed=self._placed,
            told=self._lead_to,
        )
        self.gateway = self._gateway(events)
        self._led = Led(self.stores)
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

    def _linked(self, name: str, api: Api) -> LinkedMember:
        return LinkedMember(
            name=name,
            api=api,
            all_of=self._all_of,
            hub=Hub(api=self._api, stores=self.stores, is_read=lambda: self._synced),
            listeners=Listeners(
                changed=self._cluster_changed,
                news=self._act_on,
                told=self._told,
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
                all_pools_read=lambda: self._synced,
            )
        return GatewayLoop(
            api=self._api,
            hub=self.stores,
            stores=self.local.stores,
            namespace=settings.namespace,
            settings=settings.gateway(),
            allow_from=settings.gateway_allow_from,
            all_pools_read=lambda: self._synced,
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
        return self._synced

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
                await self._read_everything()
                self._synced = True
                for queue in self._own_queues:
                    group.create_task(queue.run(), name=queue.name)
                group.create_task(self._decide(), name=self.model_queue.name)
                group.create_task(self.members.run(), name="members")
                group.create_task(self.links.run(), name="links")
                group.create_task(self.events.run(), name="events")
                group.create_task(self._resync(), name="resync")
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

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object as it is now, and have worked on what depends on it."""
        if resource in SERVED:
            self.local.see(resource, manifest, gone=gone)
        else:
            _SEEN_BY[resource](self, manifest, gone)

    async def _read_everything(self) -> None:
        """Fill the stores by lists, and have everything worked on once."""
        for resource in WATCHED:
            try:
                there, version = await self._see_all(resource)
            except errors.ListExpired:
                there, version = await self._see_all(resource)
            except errors.ApiMissing:
                # KubeRay's: models wait for it, and the cluster's status says so.
                continue
            await self._ask_for_missing(resource, there, version)
            self.stores.forget_missing(resource, there, version)
            self.local.stores.forget_missing(resource, there, version)
        for key in self.stores.models.keys() | self.stores.placed():
            self.model_queue.add(key, later=True)
            self.local.namespace_queue.add(key[0])
        for member in self.members:
            member.work_on_all()
        for key in self.stores.sources:
            self.claims.queue.add(key, later=True)
        self.gateway_queue.add(LOOK)

    async def _ask_for_missing(
        self, resource: Resource, there: set[ObjectKey], version: str
    ) -> None:
        """Take what a list lacked though it is there: one look does not make anything absent.

        The absence of a SmallModel ends its copies, and that of a DataSource its law.

        Raises:
            ApiError: The API server does not say, so nothing counts as gone.
        """
        for namespace, name in self.stores.missing(resource, there, version):
            # A list of one name takes no other right than the list of all.
            found, _ = await self._api.list(resource, namespace, fields=f"metadata.name={name}")
            for item in found:
                _LOG.warning("a list of %s lacked %s/%s", resource.full_name, namespace, name)
                self.see(resource, item, gone=False)
                there.add(key_of(item))

    async def _see_all(self, resource: Resource) -> tuple[set[ObjectKey], str]:
        """Take all objects, or those of the watched namespaces.

        Page by page, so that not all of them are in memory twice.

        Returns:
            What there is, and a version at which that was so.
        """
        there, versions = set[ObjectKey](), list[str]()
        for name in namespaces_of(resource, self._settings.watch_namespaces) or (None,):
            version = ""
            async for page in self._api.pages(resource, name):
                version = page.resource_version
                for item in page.items:
                    self.see(resource, item, gone=False)
                    there.add(key_of(item))
            versions.append(version)
        return there, min(versions, key=lambda version: int(version or 0))

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_SECONDS)
            try:
                await self._read_everything()
            except errors.ApiError as error:
                _LOG.warning("resync failed, and is tried again later: %s", error)

    def _see_model(self, manifest: Manifest, gone: bool) -> None:
        key = self.stores.see_model(manifest, gone=gone)
        if key is None:
            return
        if gone or manifest["metadata"].get("deletionTimestamp"):
            self.gateway.note_deleted(key)
            self.members.note_deleted(key)
            # It may have a fetch Job and no placement yet.
            self.local.namespace_queue.add(key[0])
        self.model_queue.add(key)
        self._lead_to(key)

    def _see_card(self, manifest: Manifest, gone: bool) -> None:
        name = self.stores.see_card(manifest, gone=gone)
        for key, model in self.stores.models.items():
            if isinstance(model, SmallModel) and model.spec.model == name:
                self.model_queue.add(key)

    def _see_cluster(self, manifest: Manifest, gone: bool) -> None:
        name = manifest["metadata"]["name"]
        cluster, news = self.stores.see_cluster(manifest, gone=gone)
        if gone:
            self.links.forget(name)
        elif cluster is not None and not self._settings.watch_namespaces:
            # With chosen namespaces alone, what is decided for other clusters cannot be read.
            self.links.see(cluster)
        self._act_on(news)

    def _see_source(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.stores.see_source(manifest, gone=gone)
        if namespace is not None:
            self.claims.see(key_of(manifest))
            # It may bind every model of the namespace, named or not.
            for key in self.stores.models:
                if key[0] == namespace:
                    self.model_queue.add(key)

    def _see_placement(self, manifest: Manifest, gone: bool) -> None:
        key = self.stores.see_placement(manifest, gone=gone)
        if key is None:
            return
        self.model_queue.add(key, later=not gone)
        self._decided(cluster_of_namespace(key_of(manifest)[0]), key)

    def _see_fetch(self, namespace: str, job: str) -> None:
        """Have the models worked on whose card is made of what a Job fetches."""
        for key in self.stores.models_of_job(namespace, job):
            self.model_queue.add(key)

    def _cluster_changed(self) -> None:
        """Have every model worked on that waits for a cluster."""
        for key, model in self.stores.models.items():
            if isinstance(model, SmallModel) and not self.stores.placements_of(key):
                self.model_queue.add(key)

    def _heard(self) -> None:
        """Have an agent that calls again told, and decided for."""
        self._cluster_changed()
        self.neighbours.lead()

    def _act_on(self, news: ClusterNews) -> None:
        """Have everything worked on that what is new of a cluster concerns."""
        if news.declared:
            for key in self.stores.models:
                self.model_queue.add(key)
            self._lead()
        elif news.room:
            self._cluster_changed()
        if news.link:
            for key in self.stores.placements_on(news.name).by_model:
                self.model_queue.add(key)

    def _views(self) -> Mapping[str, ClusterView]:
        """Return each cluster that is connected as it was seen last, but for those not seen yet."""
        own = self.local.view()
        others = {**self.members.views(), **self.agents.views()}
        return {**others, **({own.name: own} if own is not None else {})}

    def _decided(self, cluster: str | None, key: ObjectKey) -> None:
        """Have served what was decided for a cluster."""
        if cluster == LOCAL_CLUSTER:
            self.local.namespace_queue.add(key[0])
        elif cluster is not None:
            self.members.decided(cluster, key)
            self.agents.see(cluster, key)
        self._lead_to(key)

    def _placed(self, key: ObjectKey) -> None:
        """Have served what the decide loop placed, and then said that it is placed."""
        for placement in self.stores.placements_of(key):
            self._decided(placement.spec.cluster, key)
        self.model_queue.add(key, later=True)

    def _told(self, key: ObjectKey) -> None:
        """Have said of a SmallModel what the serve loop said of its placement."""
        self.model_queue.add(key, later=True)
        self._lead_to(key)

    def _lead_to(self, key: ObjectKey) -> None:
        """Have gateways learn where requests for a model go now, where that may be new to them."""
        self.gateway_queue.add(LOOK)
        if self._led.changed(key):
            self._lead()

    def _lead(self) -> None:
        """Have the gateways of all clusters learn where requests go now."""
        self.gateway_queue.add(LOOK)
        self.members.lead()
        self.neighbours.lead()


_SEEN_BY: Final[dict[Resource, Callable[[Operator, Manifest, bool], None]]] = {
    SMALLMODELS: Operator._see_model,
    MODELCARDS: Operator._see_card,
    MODELCLUSTERS: Operator._see_cluster,
    DATASOURCES: Operator._see_source,
    MODELPLACEMENTS: Operator._see_placement,
}


def _model_fields(key: ObjectKey) -> Mapping[str, str]:
    return {"namespace": key[0], "model": key[1]}
