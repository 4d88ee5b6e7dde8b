"""The cluster loop: what a cluster has, and its ModelCluster on the hub."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

from smallmodel_operator.api.capacity import ClusterCapacity
from smallmodel_operator.api.modelcluster import (
    ModelCluster,
    ModelClusterSpec,
    ModelClusterStatus,
)
from smallmodel_operator.api.names import (
    API_VERSION,
    LABEL_HUB,
    LABEL_MANAGED_BY,
    LOCAL_CLUSTER,
    MANAGER,
    placement_namespace,
)
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.guard import apply_owned
from smallmodel_operator.clusters.observe import ClusterObserver
from smallmodel_operator.clusters.ref import MODELCLUSTERS
from smallmodel_operator.clusters.view import sight_of
from smallmodel_operator.handlers.cluster_news import ClusterNews
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.cluster import ClusterView, PoolSeats
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.status.capacity import capacity_of
from smallmodel_operator.status.cluster import (
    ClusterSight,
    kuberay_problem,
    summarise_cluster,
    summarise_conflict,
)

_LOG: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 10.0


class ClusterLoop:
    """Looks at the cluster again and again."""

    def __init__(
        self,
        *,
        api: Api,
        hub_api: Api,
        settings: PoolSettings,
        workers_max: int,
        hub: HubStores,
        stores: ClusterStores,
        name: str,
        now: Callable[[], str],
        gateway_problem: Callable[[], str | None],
        changed: Callable[[], None],
        news: Callable[[ClusterNews], None],
        orphans: Callable[[], Sequence[str] | None] = lambda: None,
        by_agent: bool = False,
    ) -> None:
        """Make it.

        Args:
            api: The cluster's.
            hub_api: The hub's, where its ModelCluster is.
            settings: The installation's choices.
            workers_max: The most workers of one pool.
            hub: What is known of the ModelClusters.
            stores: What is known of the cluster's objects.
            name: The ModelCluster.
            now: Tells the time as RFC 3339.
            gateway_problem: Tells what is to be done before requests can be led to models.
            changed: Called when something is there, or free, that was not before.
            news: Called with what is new of its ModelCluster, where the watch did not say it yet.
            orphans: Tells the models of which it has placements and the hub has not.
            by_agent: This is the cluster's agent, which tells the hub what to decide by, and may
                make nothing there.
        """
        self._api = api
        self._hub_api = hub_api
        self._settings = settings
        self._workers_max = workers_max
        self._hub = hub
        self._stores = stores
        self._name = name
        self._now = now
        self._gateway_problem = gateway_problem
        self._changed = changed
        self._news = news
        self._orphans = orphans
        self._by_agent = by_agent
        self._observer = ClusterObserver(api, settings.hub_id)
        self._sight: ClusterSight | None = None
        self._first = asyncio.Event()
        self._unwritten: str | None = None

    async def prepare(self) -> None:
        """Have the namespace of the cluster's placements there, and the hub's own ModelCluster.

        Raises:
            NameConflict: One of them is another installation's.
            ApiError: One of them could not be read or made.
        """
        if self._by_agent:
            return
        labels = {LABEL_HUB: self._settings.hub_id, LABEL_MANAGED_BY: MANAGER}
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": placement_namespace(self._name), "labels": labels},
        }
        try:
            await apply_owned(self._hub_api, namespace, self._settings.hub_id)
        except errors.NameConflict as error:
            message = str(error)
            await self._tell(lambda cluster: summarise_conflict(cluster, message, self._now()))
            raise
        if self._name != LOCAL_CLUSTER:
            # Which an administrator makes and deletes.
            return
        if await self._hub_api.get(MODELCLUSTERS.ref(self._name)) is None:
            known = self._hub.clusters.get(self._name)
            # What an administrator said before somebody deleted it: without a jurisdiction, copies
            # would end that a law binds.
            spec = known.spec if known is not None else ModelClusterSpec()
            await self._hub_api.apply(
                {
                    "apiVersion": API_VERSION,
                    "kind": "ModelCluster",
                    "metadata": {"name": self._name, "labels": labels},
                    "spec": {"connection": {"mode": "Local"}}
                    | spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
                }
            )

    async def seen(self) -> None:
        """Return once the cluster was looked at, whatever came of it."""
        await self._first.wait()

    async def run(self) -> None:
        """Look until cancelled."""
        # Clusters are connected together, and would all be looked at in one moment for ever.
        period = _PERIOD_SECONDS * random.random()  # noqa: S311 - no secret
        while True:
            try:
                await self._look()
            except Exception:
                # Nothing that a node says may end the operator.
                _LOG.exception("looking at the cluster failed by a defect of this program")
            self._first.set()
            await asyncio.sleep(period)
            period = _PERIOD_SECONDS

    def view(self) -> ClusterView | None:
        """Return the cluster as it was seen last, or None before the first look."""
        if self._sight is None:
            return None
        engines = {Engine.LLAMA_CPP} | ({Engine.VLLM} if self._settings.gpu_image else set())
        return ClusterView(
            name=self._name,
            nodes=self._sight.nodes,
            engines=frozenset(engines),
            pools=self._seats(),
            models_per_pool=self._settings.models_per_pool,
            max_workers=self._workers_max,
            request_timeout_seconds=self._settings.request_timeout_seconds,
        )

    def missing_api(self) -> str | None:
        """Return what is to be done about KubeRay, or None where nothing is."""
        return kuberay_problem(self._sight.kube_ray) if self._sight else None

    async def _look(self) -> None:
        before = self._sight
        try:
            seen = sight_of(await self._observer.observe(), self._settings)
            sight: ClusterSight | None = replace(seen, gateway_problem=self._gateway_problem())
        except errors.ApiError as error:
            _LOG.warning("cluster %s could not be observed: %s", self._name, error)
            sight = None
        if sight is not None:
            self._sight = sight
        # Whether the hub can be told is nobody's business who serves.
        self._first.set()
        try:
            await self._report(sight)
            self._unwritten = None
        except errors.Conflict:
            # Somebody else said something of it in this moment; the next look says ours.
            _LOG.debug("the status of cluster %s was written by another", self._name)
        except errors.ApiError as error:
            if str(error) != self._unwritten:
                _LOG.warning("the status of cluster %s could not be written: %s", self._name, error)
            self._unwritten = str(error)
        if sight is not None and sight != before:
            self._changed()

    async def _report(self, sight: ClusterSight | None) -> None:
        told = await self._tell(
            lambda cluster: summarise_cluster(
                cluster, sight, self._now(), orphans=self._orphans(), capacity=self._capacity()
            )
        )
        if not told:
            await self.prepare()

    async def _tell(self, summarise: Callable[[ModelCluster], ModelClusterStatus]) -> bool:
        """Write what is said of the cluster, where it is new; False: there is no ModelCluster."""
        manifest = await self._hub_api.get(MODELCLUSTERS.ref(self._name))
        if manifest is None:
            return False
        # A hub may be newer than an agent.
        unknown: Literal["ignore"] | None = "ignore" if self._by_agent else None
        cluster = ModelCluster.model_validate(manifest, extra=unknown)
        self._take(cluster)
        status = summarise(cluster)
        if status != cluster.status:
            values = status.model_dump(mode="json", exclude_none=True, by_alias=True)
            await self._hub_api.patch_status(
                MODELCLUSTERS.ref(self._name),
                values,
                resource_version=cluster.metadata.resource_version,
            )
        return True

    def _take(self, cluster: ModelCluster) -> None:
        """Keep what is said of the cluster, and have acted on what is new of it."""
        self._news(self._hub.take_cluster(cluster))

    def _capacity(self) -> ClusterCapacity | None:
        view = self.view() if self._by_agent else None
        return capacity_of(view) if view is not None else None

    def _seats(self) -> tuple[PoolSeats, ...]:
        assigned = self._stores.placements.assigned
        return tuple(
            PoolSeats(
                namespace=pool.key.namespace,
                worker_class=pool.key.worker.name,
                models=max(len(pool.models), assigned[pool.key.namespace, pool.name]),
                dedicated=pool.key.dedicated_to is not None,
            )
            for pool in self._stores.live_pools()
        )
