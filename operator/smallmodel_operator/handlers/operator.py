"""The operator: stores, queues and loops, wired together."""

import asyncio
import datetime
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    JOBS,
    MODELCARDS,
    MODELPLACEMENTS,
    NAMESPACES,
    PODS,
    RAYSERVICES,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.handlers.cluster import ClusterLoop
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.gateway import GatewayLoop
from smallmodel_operator.handlers.http_routes import HttpRouteLoop
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.namespaces import NamespaceLoop
from smallmodel_operator.handlers.objects import ObjectKey, key_of
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.sources import Scales
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.settings import Settings

_LOG: Final = logging.getLogger(__name__)

WATCHED: Final = (
    NAMESPACES,
    MODELCARDS,
    DATASOURCES,
    SMALLMODELS,
    MODELPLACEMENTS,
    RAYSERVICES,
    JOBS,
    PODS,
)
"""In the order in which they are listed: what is decided on comes before what is decided."""

_RESYNC_SECONDS: Final = 300.0
_GATEWAY: Final = "gateway"
_MODEL_WORKERS: Final = 16
_MANY_MODELS: Final = 20
"""Waiting models above which events are written slowly."""
_NAMESPACE_WORKERS: Final = 8
# One pass takes all that changed before it, so that in a burst fewer passes do the same work.
_NAMESPACE_REST: Final = 0.1
_GATEWAY_REST: Final = 0.5


class Operator:
    """Everything that runs while this process is the leader."""

    def __init__(self, *, api: Api, settings: Settings, hub_id: str, token_key: str) -> None:
        self._api = api
        self._settings = settings
        self._synced = False
        scales = Scales(
            policy=settings.placement.policy(), tables=settings.placement.price_tables()
        )
        self.stores = HubStores(hub_id=hub_id, scales=scales)
        self.local = ClusterStores(placements=self.stores.placements_on(LOCAL_CLUSTER))
        self.conflicts: Counter[str] = Counter()
        """Writes over something that was newer, by queue."""
        pools = settings.pools(hub_id)
        events = Events(api, settings.pod_name)
        self.cluster = ClusterLoop(
            api=api,
            settings=pools,
            workers_max=settings.workers_max,
            hub=self.stores,
            stores=self.local,
            name=LOCAL_CLUSTER,
            now=now,
            gateway_problem=lambda: self.gateway.problem,
            changed=self._cluster_changed,
            declared=self._cluster_declared,
        )
        self.events = EventWriter(events, lambda: self.model_queue.depth > _MANY_MODELS)
        self.models = ModelLoop(
            api=api,
            stores=self.stores,
            fetching=self.local,
            events=self.events,
            settings=pools,
            url=settings.model_url,
            now=now,
            views=self._views,
            placed=self._placed,
            told=lambda _: self.gateway_queue.add(_GATEWAY),
        )
        self.namespaces = NamespaceLoop(
            api=api,
            stores=self.local,
            settings=pools,
            token_key=token_key,
            cluster=LOCAL_CLUSTER,
            now=now,
            missing_api=self.cluster.missing_api,
            needed_jobs=self.stores.needed_jobs,
            wake=self._namespace_again,
            told=self._told,
            more=lambda namespace: self.namespace_queue.is_wanted(namespace),
            jurisdiction=lambda: settings.cluster_jurisdiction,
        )
        self.gateway = self._gateway(events)
        self.model_queue = WorkQueue[ObjectKey](
            "model",
            named(self.models.work, _model_fields),
            workers=_MODEL_WORKERS,
            failed=log_failure("model", _model_fields, self.conflicts),
        )
        self.namespace_queue = WorkQueue[str](
            "namespace",
            named(self.namespaces.work, _namespace_fields),
            workers=_NAMESPACE_WORKERS,
            rest=_NAMESPACE_REST,
            failed=log_failure("namespace", _namespace_fields, self.conflicts),
        )
        self.gateway_queue = WorkQueue[str](
            "gateway",
            self.gateway.work,
            workers=1,
            rest=_GATEWAY_REST,
            failed=log_failure("gateway", lambda _: {}, self.conflicts),
        )

    def _gateway(self, events: Events) -> GatewayLoop | HttpRouteLoop:
        """Return what leads requests to models: our own gateway, or routes of somebody's."""
        settings = self._settings
        if settings.http_route is not None:
            return HttpRouteLoop(
                api=self._api,
                hub=self.stores,
                stores=self.local,
                parent=settings.http_route.parent(),
                watched=settings.watch_namespaces,
                all_pools_read=lambda: self._synced,
            )
        return GatewayLoop(
            api=self._api,
            hub=self.stores,
            stores=self.local,
            events=events,
            namespace=settings.namespace,
            settings=settings.gateway(),
            allow_from=settings.gateway_allow_from,
            all_pools_read=lambda: self._synced,
        )

    @property
    def queues(self) -> tuple[WorkQueue[Any], ...]:
        """All queues, for metrics."""
        return self.model_queue, self.namespace_queue, self.gateway_queue

    @property
    def is_synced(self) -> bool:
        """Whether everything was read once since this process started."""
        return self._synced

    async def run(self) -> None:
        """Read everything, then work until cancelled.

        Raises:
            ApiError: What has to be there before anything else could not be read or made.
        """
        await self.cluster.prepare()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.cluster.run(), name="cluster")
                await self.cluster.seen()
                await self._read_everything()
                self._synced = True
                for queue in self.queues:
                    group.create_task(queue.run(), name=queue.name)
                group.create_task(self.events.run(), name="events")
                group.create_task(self._resync(), name="resync")
        finally:
            await self.namespaces.close()

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object as it is now, and have worked on what depends on it."""
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
            self.stores.forget_missing(resource, there, version)
            self.local.forget_missing(resource, there, version)
        for key in self.stores.models.keys() | self.stores.placed():
            self.model_queue.add(key, later=True)
            self.namespace_queue.add(key[0])
        self.gateway_queue.add(_GATEWAY)

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
            # It may have a fetch Job and no placement yet.
            self.namespace_queue.add(key[0])
        self.model_queue.add(key)
        self.gateway_queue.add(_GATEWAY)

    def _see_card(self, manifest: Manifest, gone: bool) -> None:
        name = self.stores.see_card(manifest, gone=gone)
        for key, model in self.stores.models.items():
            if isinstance(model, SmallModel) and model.spec.model == name:
                self.model_queue.add(key)

    def _see_source(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.stores.see_source(manifest, gone=gone)
        if namespace is not None:
            # It may bind every model of the namespace, named or not.
            for key in self.stores.models:
                if key[0] == namespace:
                    self.model_queue.add(key)

    def _see_placement(self, manifest: Manifest, gone: bool) -> None:
        key = self.stores.see_placement(manifest, gone=gone)
        if key is None:
            return
        self.model_queue.add(key, later=not gone)
        self.namespace_queue.add(key[0])
        self.gateway_queue.add(_GATEWAY)

    def _see_pool(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.local.see_pool(manifest, gone=gone)
        if namespace is not None:
            self.namespace_queue.add(namespace)

    def _see_job(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.local.see_job(manifest, gone=gone)
        if namespace is not None:
            self.namespace_queue.add(namespace)
            self._see_fetch(namespace, manifest["metadata"]["name"])

    def _see_fetch(self, namespace: str, job: str) -> None:
        """Have the models worked on whose card is made of what a Job fetches."""
        for key in self.stores.models_of_job(namespace, job):
            self.model_queue.add(key)

    def _see_pod(self, manifest: Manifest, gone: bool) -> None:
        before, after = self.local.see_pod(manifest, gone=gone)
        pod = after or before
        if pod is None or before == after:
            return
        if pod.job is not None:
            self.namespace_queue.add(pod.namespace)
            self._see_fetch(pod.namespace, pod.job)
        elif (before and before.held_up) != (after and after.held_up):
            self.namespace_queue.add(pod.namespace)
        self.gateway_queue.add(_GATEWAY)

    def _see_namespace(self, manifest: Manifest, gone: bool) -> None:
        was_ending = manifest["metadata"]["name"] in self.local.ending
        name = self.local.see_namespace(manifest, gone=gone)
        if was_ending != (name in self.local.ending):
            self.namespace_queue.add(name)

    def _cluster_changed(self) -> None:
        """Have everything worked on that waits for the cluster."""
        for key, model in self.stores.models.items():
            if isinstance(model, SmallModel) and not self.stores.placements_of(key):
                self.model_queue.add(key)
        for namespace in {key[0] for key in self.local.placements.by_model}:
            self.namespace_queue.add(namespace)

    def _cluster_declared(self) -> None:
        """Have everything worked on that may not run there any more, or may now."""
        for key in self.stores.models:
            self.model_queue.add(key)

    def _views(self) -> Mapping[str, ClusterView]:
        """Return each cluster as it was seen last, but for those not seen yet."""
        view = self.cluster.view()
        return {view.name: view} if view is not None else {}

    def _placed(self, key: ObjectKey) -> None:
        """Have served what the decide loop placed, and then said that it is placed."""
        self.namespace_queue.add(key[0])
        self.model_queue.add(key, later=True)

    def _told(self, key: ObjectKey) -> None:
        """Have said of a SmallModel what the serve loop said of its placement."""
        self.model_queue.add(key, later=True)
        self.gateway_queue.add(_GATEWAY)

    def _namespace_again(self, namespace: str) -> None:
        self.namespace_queue.add(namespace)


_SEEN_BY: Final[dict[Resource, Callable[[Operator, Manifest, bool], None]]] = {
    SMALLMODELS: Operator._see_model,
    MODELCARDS: Operator._see_card,
    DATASOURCES: Operator._see_source,
    MODELPLACEMENTS: Operator._see_placement,
    RAYSERVICES: Operator._see_pool,
    JOBS: Operator._see_job,
    PODS: Operator._see_pod,
    NAMESPACES: Operator._see_namespace,
}


def namespaces_of(resource: Resource, watched: tuple[str, ...]) -> tuple[str, ...]:
    """Return where objects of a kind are looked for; nothing: everywhere.

    Args:
        resource: The kind.
        watched: The namespaces with models, in which alone the operator may read, or none.
    """
    if not watched or not resource.namespaced:
        return ()
    return (placement_namespace(LOCAL_CLUSTER),) if resource is MODELPLACEMENTS else watched


def now() -> str:
    """Return the time as RFC 3339 in whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _model_fields(key: ObjectKey) -> Mapping[str, str]:
    return {"namespace": key[0], "model": key[1]}


def _namespace_fields(key: str) -> Mapping[str, str]:
    return {"namespace": key}


def log_failure(
    name: str, fields: Callable[[Any], Mapping[str, str]], conflicts: Counter[str]
) -> Callable[[Any, Exception], None]:
    """Return what is told of failures of a queue: what passes by itself is counted, and no more."""

    def failed(key: Any, error: Exception) -> None:
        text = key if isinstance(key, str) else "/".join(key)
        extra = fields(key)
        if isinstance(error, errors.Conflict):
            # Somebody else wrote a moment earlier, which is decided on at the next try.
            conflicts[name] += 1
            _LOG.debug("%s %s is tried again: %s", name, text, error, extra=extra)
        elif isinstance(error, errors.ApiError):
            _LOG.warning("%s %s is tried again: %s", name, text, error, extra=extra)
        else:
            message = "%s %s failed by a defect of this program"
            _LOG.error(message, name, text, exc_info=error, extra=extra)

    return failed
