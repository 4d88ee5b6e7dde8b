"""One cluster that serves: what is known of its objects, its loops, and its queue.

The hub's own is told of by the operator's framework; another one by watches of its own
(`handlers/linked.py`).
"""

import datetime
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.clusters.reach import DIRECT, Reach
from smallmodel_operator.clusters.ref import JOBS, NAMESPACES, PODS, RAYSERVICES, Resource
from smallmodel_operator.handlers.cluster import ClusterLoop
from smallmodel_operator.handlers.cluster_news import ClusterNews
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.edits import Edits
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.namespaces import NamespaceLoop
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings

SERVED: Final = (NAMESPACES, RAYSERVICES, JOBS, PODS)
"""What a serve loop is told of, besides its placements, in the order in which it is listed."""

_NAMESPACE_WORKERS: Final = 8
# One pass takes all that changed before it, so that in a burst fewer passes do the same work.
_NAMESPACE_REST: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What all clusters of one installation have in common."""

    api: Api
    """The hub's."""
    stores: HubStores
    settings: PoolSettings
    workers_max: int
    """The most workers of one pool."""
    namespace: str
    """The operator's, in the hub as in every other cluster."""
    token_key: str
    """What tokens of pools are made from."""
    identity: str
    """Which program writes Events: a pod's name."""
    conflicts: Counter[str]
    """Writes over something that was newer, by queue."""
    by_agent: bool = False
    """This process is the agent of the one cluster that it serves; the hub is elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told of what was seen of a cluster."""

    changed: Callable[[], None]
    """Called when something is there, or free, that was not before."""
    news: Callable[[ClusterNews], None]
    """Called with what is new of its ModelCluster, where its writer was the first to read it."""
    told: Callable[[ObjectKey], None]
    """Called with a SmallModel's key when the status of its placement was written."""
    job: Callable[[str, str], None] = lambda _namespace, _job: None
    """Called with the namespace and name of a fetch Job of which there is news."""
    pod: Callable[[], None] = lambda: None
    """Called when another pod runs, or one less."""


class Member:
    """One cluster."""

    def __init__(
        self,
        *,
        name: str,
        api: Api,
        all_of: Installation,
        stores: ClusterStores,
        listeners: Listeners,
        gateway_problem: Callable[[], str | None] = lambda: None,
        jurisdiction: Callable[[], str | None] = lambda: None,
        orphans: Callable[[], Sequence[str] | None] = lambda: None,
        reach: Reach = DIRECT,
    ) -> None:
        """Make it; whoever made it runs its loops.

        Args:
            name: The ModelCluster.
            api: The cluster's.
            all_of: What all clusters have in common.
            stores: What is known of the cluster's objects.
            listeners: Who is told.
            gateway_problem: Tells what is to be done before requests can be led to models.
            jurisdiction: Tells the cluster's, by its own settings; None: they do not say.
            orphans: Tells the models of which it has placements and the hub has not.
            reach: How the cluster's pods are reached; it is closed with this.
        """
        self.name = name
        self.stores = stores
        self._listeners = listeners
        is_hub = name == LOCAL_CLUSTER
        self.cluster = ClusterLoop(
            api=api,
            hub_api=all_of.api,
            settings=all_of.settings,
            workers_max=all_of.workers_max,
            hub=all_of.stores,
            stores=stores,
            name=name,
            now=now,
            gateway_problem=gateway_problem,
            changed=self._changed,
            news=listeners.news,
            orphans=orphans,
            by_agent=all_of.by_agent,
        )
        self.edits = Edits(Events(api, all_of.identity), name)
        self.namespaces = NamespaceLoop(
            api=api,
            stores=stores,
            settings=all_of.settings,
            token_key=all_of.token_key if is_hub else key_for(all_of.token_key, name),
            placements_in=placement_namespace(name) if is_hub else all_of.namespace,
            now=now,
            missing_api=self.cluster.missing_api,
            # What cards are made of is fetched by the hub.
            needed_jobs=all_of.stores.needed_jobs if is_hub else lambda _: frozenset(),
            wake=self._namespace_again,
            told=listeners.told,
            more=lambda namespace: self.namespace_queue.is_wanted(namespace),
            jurisdiction=jurisdiction,
            reach=reach,
            overwriting=self.edits.tell,
        )
        queue = "namespace" if is_hub else f"{name}/namespace"
        self.namespace_queue = WorkQueue[str](
            queue,
            named(self.namespaces.work, _namespace_fields),
            workers=_NAMESPACE_WORKERS,
            rest=_NAMESPACE_REST,
            failed=log_failure(queue, _namespace_fields, all_of.conflicts),
        )

    def view(self) -> ClusterView | None:
        """Return the cluster as it was seen last, or None before the first look."""
        return self.cluster.view()

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object of the cluster as it is now, and have worked on what depends on it."""
        _SEEN_BY[resource](self, manifest, gone)

    def serve_all(self) -> None:
        """Have every namespace worked on that has a placement, or a pool of ours."""
        for namespace in self.stores.namespaces():
            self.namespace_queue.add(namespace)

    async def close(self) -> None:
        """End what the loops hold open."""
        await self.namespaces.close()

    def _see_pool(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.stores.see_pool(manifest, gone=gone)
        if namespace is not None:
            self.namespace_queue.add(namespace)

    def _see_job(self, manifest: Manifest, gone: bool) -> None:
        namespace = self.stores.see_job(manifest, gone=gone)
        if namespace is not None:
            self.namespace_queue.add(namespace)
            self._listeners.job(namespace, manifest["metadata"]["name"])

    def _see_pod(self, manifest: Manifest, gone: bool) -> None:
        before, after = self.stores.see_pod(manifest, gone=gone)
        pod = after or before
        if pod is None or before == after:
            return
        if pod.job is not None:
            self.namespace_queue.add(pod.namespace)
            self._listeners.job(pod.namespace, pod.job)
        elif (before and before.held_up) != (after and after.held_up):
            self.namespace_queue.add(pod.namespace)
        self._listeners.pod()

    def _see_namespace(self, manifest: Manifest, gone: bool) -> None:
        was_ending = manifest["metadata"]["name"] in self.stores.ending
        name = self.stores.see_namespace(manifest, gone=gone)
        if was_ending != (name in self.stores.ending):
            self.namespace_queue.add(name)

    def _changed(self) -> None:
        """Have everything worked on that waits for the cluster."""
        self._listeners.changed()
        for namespace in {key[0] for key in self.stores.placements.by_model}:
            self.namespace_queue.add(namespace)

    def _namespace_again(self, namespace: str) -> None:
        self.namespace_queue.add(namespace)


_SEEN_BY: Final[dict[Resource, Callable[[Member, Manifest, bool], None]]] = {
    RAYSERVICES: Member._see_pool,
    JOBS: Member._see_job,
    PODS: Member._see_pod,
    NAMESPACES: Member._see_namespace,
}


def key_for(token_key: str, cluster: str) -> str:
    """Return what tokens of another cluster's pools are made from: they open no other's pools."""
    return hmac.new(token_key.encode(), cluster.encode(), hashlib.sha256).hexdigest()


def now() -> str:
    """Return the time as RFC 3339 in whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _namespace_fields(key: str) -> Mapping[str, str]:
    return {"namespace": key}
