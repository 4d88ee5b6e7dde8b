"""What is worked on because of something that was seen, decided, written or heard.

Loops do the work, and know nothing of each other; who waits for what is said here alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from smallmodel_operator.api.names import LOCAL_CLUSTER, cluster_of_namespace
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    MODELCARDS,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.handlers.agents import Agents
from smallmodel_operator.handlers.claims import Claims
from smallmodel_operator.handlers.cluster_news import ClusterNews
from smallmodel_operator.handlers.gateway import LOOK, GatewayLoop
from smallmodel_operator.handlers.http_routes import HttpRouteLoop
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.handlers.member import SERVED, Member
from smallmodel_operator.handlers.members import Members
from smallmodel_operator.handlers.neighbours import Neighbours
from smallmodel_operator.handlers.objects import ObjectKey, key_of
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.routes import Led
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.pools.values import Manifest


@dataclass(slots=True, kw_only=True)
class Triggers:
    """Takes what happens on the hub, and adds to the queues of all whom it concerns.

    It waits for nothing, decides nothing and writes nothing: what is called here has returned
    before the next thing happens.
    """

    stores: HubStores
    """What was seen is kept there before anybody works on it."""
    links_clusters: bool
    """Clusters that are declared are linked."""
    local: Member
    """The hub's own cluster."""
    members: Members
    links: Links
    agents: Agents
    claims: Claims
    neighbours: Neighbours
    gateway: GatewayLoop | HttpRouteLoop
    """The hub's own."""
    model_queue: WorkQueue[ObjectKey]
    """Of the decide loop."""
    gateway_queue: WorkQueue[str]
    """Of the hub's own gateway."""
    _led: Led = field(init=False)

    def __post_init__(self) -> None:
        self._led = Led(self.stores)

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object as it is now, and have worked on what depends on it."""
        if resource in SERVED:
            self.local.see(resource, manifest, gone=gone)
        else:
            _SEEN_BY[resource](self, manifest, gone)

    def work_on_all(self) -> None:
        """Have everything worked on once."""
        for key in self.stores.models.keys() | self.stores.placed():
            self.model_queue.add(key, later=True)
            self.local.namespace_queue.add(key[0])
        for member in self.members:
            member.work_on_all()
        for key in self.stores.sources:
            self.claims.queue.add(key, later=True)
        self.gateway_queue.add(LOOK)

    def fetched(self, namespace: str, job: str) -> None:
        """Have the models worked on whose card is made of what a Job fetches."""
        for key in self.stores.models_of_job(namespace, job):
            self.model_queue.add(key)

    def cluster_changed(self) -> None:
        """Have every model worked on that waits for a cluster."""
        for key, model in self.stores.models.items():
            if isinstance(model, SmallModel) and not self.stores.placements_of(key):
                self.model_queue.add(key)

    def heard(self) -> None:
        """Have an agent that calls again told, and decided for."""
        self.cluster_changed()
        self.neighbours.lead()

    def act_on(self, news: ClusterNews) -> None:
        """Have everything worked on that what is new of a cluster concerns."""
        if news.declared:
            for key in self.stores.models:
                self.model_queue.add(key)
            self._lead()
        elif news.room:
            self.cluster_changed()
        if news.link:
            for key in self.stores.placements_on(news.name).by_model:
                self.model_queue.add(key)

    def placed(self, key: ObjectKey) -> None:
        """Have served what the decide loop placed, and then said that it is placed."""
        for placement in self.stores.placements_of(key):
            self._decided(placement.spec.cluster, key)
        self.model_queue.add(key, later=True)

    def told(self, key: ObjectKey) -> None:
        """Have said of a SmallModel what the serve loop said of its placement."""
        self.model_queue.add(key, later=True)
        self.lead_to(key)

    def lead_to(self, key: ObjectKey) -> None:
        """Have gateways learn where requests for a model go now, where that may be new to them."""
        self.gateway_queue.add(LOOK)
        if self._led.changed(key):
            self._lead()

    def _lead(self) -> None:
        """Have the gateways of all clusters learn where requests go now."""
        self.gateway_queue.add(LOOK)
        self.members.lead()
        self.neighbours.lead()

    def _decided(self, cluster: str | None, key: ObjectKey) -> None:
        """Have served what was decided for a cluster."""
        if cluster == LOCAL_CLUSTER:
            self.local.namespace_queue.add(key[0])
        elif cluster is not None:
            self.members.decided(cluster, key)
            self.agents.see(cluster, key)
        self.lead_to(key)

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
        self.lead_to(key)

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
        elif cluster is not None and self.links_clusters:
            self.links.see(cluster)
        self.act_on(news)

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


_SEEN_BY: Final[dict[Resource, Callable[[Triggers, Manifest, bool], None]]] = {
    SMALLMODELS: Triggers._see_model,
    MODELCARDS: Triggers._see_card,
    MODELCLUSTERS: Triggers._see_cluster,
    DATASOURCES: Triggers._see_source,
    MODELPLACEMENTS: Triggers._see_placement,
}
