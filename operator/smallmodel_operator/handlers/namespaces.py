"""The serve loop: one pass over a namespace's placements, pools and fetch Jobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.guard import Overwriting, tell_nobody
from smallmodel_operator.clusters.reach import DIRECT, Reach
from smallmodel_operator.clusters.ref import MODELPLACEMENTS
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.dashboards import Dashboards
from smallmodel_operator.handlers.objects import ObjectKey, key_of
from smallmodel_operator.handlers.probes import Probes
from smallmodel_operator.handlers.refused import Refused
from smallmodel_operator.handlers.writer import Writer, set_finalizer
from smallmodel_operator.plan.pools.values import ClusterPool, Manifest, PoolError, PoolSettings
from smallmodel_operator.reconcile.memory import Memory
from smallmodel_operator.reconcile.namespace import decide_namespace
from smallmodel_operator.reconcile.orders import Doomed, NamespaceOrders
from smallmodel_operator.reconcile.reading import ReadPool, read_live
from smallmodel_operator.reconcile.sight import SHARED, Head, NamespaceSight, PoolSight
from smallmodel_operator.status.serve import ServedApplication

_STATUSES_AT_ONCE: Final = 100
"""In one pass, so that a change does not wait for a thousand of them."""
_SILENCE_SECONDS: Final = 1.0


class NamespaceLoop:
    """Gathers once, decides purely, writes once."""

    def __init__(
        self,
        *,
        api: Api,
        stores: ClusterStores,
        settings: PoolSettings,
        token_key: str,
        placements_in: str,
        now: Callable[[], str],
        missing_api: Callable[[], str | None],
        needed_jobs: Callable[[str], frozenset[str]],
        wake: Callable[[str], None],
        told: Callable[[ObjectKey], None],
        more: Callable[[str], bool],
        jurisdiction: Callable[[], str | None] = lambda: None,
        reach: Reach = DIRECT,
        overwriting: Overwriting = tell_nobody,
    ) -> None:
        """Make it.

        Args:
            api: The serving cluster's.
            stores: What is known of the objects.
            settings: The installation's choices.
            token_key: What tokens of pools are made from.
            placements_in: Where the placements lie that are served.
            now: Tells the time as RFC 3339.
            missing_api: Tells what is to be done about KubeRay where it is missing.
            needed_jobs: Tells the fetch Jobs of a namespace that cards are still to be made of.
            wake: Has a namespace worked on again.
            told: Called with a SmallModel's key when the status of its placement was written.
            more: Tells whether a namespace is to be worked on again anyway.
            jurisdiction: Tells the cluster's, by its own settings; None: they do not say.
            reach: How the cluster's pods are reached; it is closed with this.
            overwriting: Called before an object is written over.
        """
        self._api = api
        self._reach = reach
        self._stores = stores
        self._settings = settings
        self._placements = placements_in
        self._now = now
        self._missing_api = missing_api
        self._jurisdiction = jurisdiction
        self._needed_jobs = needed_jobs
        self._writer = Writer(api, settings, token_key, overwriting)
        self._dashboards = Dashboards(self._writer, reach)
        self._probes = Probes(now, wake, reach)
        self._refused = Refused()
        self._wake = wake
        self._told = told
        self._more = more
        self._memories: dict[str, Memory] = {}
        self._silent_since: dict[str, float] = {}
        """When the statuses of a namespace began to wait for its changes to end."""

    async def work(self, namespace: str) -> float | None:
        """Do one pass, and return after how many seconds the next one is due.

        Raises:
            ApiError: Something could not be written that will be tried again.
        """
        sight = await self._observe(namespace)
        if sight.placements:
            memory = self._memories.setdefault(namespace, Memory())
        else:
            memory = self._memories.pop(namespace, Memory())
        orders = decide_namespace(sight, self._settings, self._now(), memory)
        await self._carry_out(orders, sight)
        return orders.again

    async def close(self) -> None:
        """End verifying requests and close connections."""
        await self._probes.close()
        await self._dashboards.close()
        await self._reach.close()

    async def _observe(self, namespace: str) -> NamespaceSight:
        stores = self._stores
        manifests = stores.pools_in(namespace)
        placements = stores.placements.within(namespace)
        read = [(manifest, self._read(manifest, placements)) for manifest in manifests]
        seen = await asyncio.gather(
            *(self._see_pool(manifest, pool) for manifest, pool in read if pool is not None)
        )
        jobs = {name: stores.job_sight(namespace, name) for name in stores.jobs_in(namespace)}
        self._probes.keep(namespace, {placement.spec.model.name for placement in placements})
        return NamespaceSight(
            namespace=namespace,
            placements=placements,
            pools=tuple(seen),
            jobs={name: job for name, job in jobs.items() if job is not None},
            answers=self._probes.answers(namespace),
            probing=self._probes.under_way(namespace),
            foreign=frozenset(name for space, name in stores.foreign_pools if space == namespace),
            nobodys=frozenset(
                manifest["metadata"]["name"] for manifest, pool in read if pool is None
            ),
            ended=frozenset(name for space, name in stores.ended if space == namespace),
            unread=self._unread(namespace, placements),
            needed_jobs=self._needed_jobs(namespace),
            refused=self._refused.within(namespace),
            missing_api=self._missing_api(),
            ending=namespace in stores.ending,
            jurisdiction=self._jurisdiction(),
        )

    def _unread(self, namespace: str, placements: tuple[ModelPlacement, ...]) -> frozenset[str]:
        """Return the models whose placements cannot be read: what runs of them goes on.

        A mirror that is gone without its pools having been left first was not ended by the hub.
        """
        stores = self._stores
        unread = frozenset(name for space, name in stores.placements.unread if space == namespace)
        if not stores.placements.mirrored:
            return unread
        served = (pool.models for pool in stores.live_pools() if pool.key.namespace == namespace)
        known = {placement.spec.model.name for placement in placements}
        return unread | frozenset().union(*served) - known

    def _read(self, manifest: Manifest, placements: tuple[ModelPlacement, ...]) -> ReadPool | None:
        """Read a pool; one that is ours as we made it was read when it came in."""
        live = self._stores.live_pool(*key_of(manifest))
        return ReadPool(live=live) if live is not None else read_live(manifest, placements)

    async def _see_pool(self, manifest: Manifest, read: ReadPool) -> PoolSight:
        head = head_of(manifest)
        applications: Mapping[str, ServedApplication] | None = None
        barred: str | None = None
        if head is not None:
            namespace, name = key_of(manifest)
            applications = await self._dashboards.observe(namespace, name, head)
            barred = self._dashboards.barred(namespace, name)
        return PoolSight(
            live=read.live,
            foreign_config=read.foreign_config,
            manifest=manifest,
            ready=is_ready(manifest),
            head=head,
            applications=applications,
            barred=barred,
            unpulled=self._stores.unpulled_in(read.live.key.namespace, read.live.name),
            unscheduled=self._stores.unscheduled_in(read.live.key.namespace, read.live.name),
        )

    async def _carry_out(self, orders: NamespaceOrders, sight: NamespaceSight) -> None:
        namespace = sight.namespace
        troubles: list[errors.ApiError | PoolError] = []

        async def attempt(work: Awaitable[object]) -> bool:
            try:
                await work
            except (errors.ApiError, PoolError) as error:
                troubles.append(error)
                return False
            return True

        if orders.wants_claim:
            shared = self._writer.namespace(namespace)
            await attempt(self._refused.noted((namespace, SHARED), shared))
        # A pod would mount a claim of that name whoever it belongs to.
        held = (namespace, SHARED) in self._refused
        statuses = self._due(namespace, orders)
        live = {pool.live.name: pool.manifest for pool in sight.pools}
        deleted, told, _ = await asyncio.gather(
            asyncio.gather(*(attempt(self._delete(namespace, each)) for each in orders.delete)),
            asyncio.gather(*(attempt(self._report(name, orders, sight)) for name in statuses)),
            asyncio.gather(
                *(
                    attempt(self._write_pool(pool, live.get(pool.name)))
                    for pool in orders.pools
                    if not held
                ),
                *(attempt(self._create_job(job)) for job in orders.jobs if not held),
            ),
        )
        for probe in orders.probes:
            self._probes.start(namespace, probe)
        if all(told) and len(told) == len(orders.statuses):
            self._probes.taken(namespace, sight.answers)
        if all(deleted):
            # Once a placement is gone, nothing tells any more that something was left of it.
            await asyncio.gather(*(attempt(self._release(name, sight)) for name in orders.release))
        if troubles:
            raise troubles[0]
        if orders.statuses or orders.jobs:
            # What was written may be what something else waited for.
            self._wake(namespace)

    def _due(self, namespace: str, orders: NamespaceOrders) -> list[str]:
        """Return the placements whose statuses are written in this pass.

        While a namespace keeps changing, what serves its models goes first, and what is said of
        them waits for the end of it, though not for long. Each pass decides it anew, so nothing
        is lost.
        """
        if self._more(namespace) and orders.statuses:
            since = self._silent_since.setdefault(namespace, time.monotonic())
            if time.monotonic() - since < _SILENCE_SECONDS:
                return []
        self._silent_since.pop(namespace, None)
        return list(orders.statuses)[:_STATUSES_AT_ONCE]

    async def _write_pool(self, pool: ClusterPool, live: Manifest | None) -> None:
        written = await self._refused.noted(
            (pool.key.namespace, pool.name), self._writer.pool(pool, live)
        )
        if written is not None:
            self._stores.see_pool(written, gone=False)
            self._wake(pool.key.namespace)

    async def _create_job(self, job: Manifest) -> None:
        written = await self._refused.noted(key_of(job), self._writer.create_job(job))
        if written is not None:
            self._stores.see_job(written, gone=False)

    async def _delete(self, namespace: str, doomed: Doomed) -> None:
        if doomed.kind == "RayService":
            await self._writer.delete_pool(namespace, doomed.name)
            self._dashboards.forget(namespace, doomed.name)
            self._refused.forget((namespace, doomed.name))
            self._stores.ended.discard((namespace, doomed.name))
        elif doomed.kind == "Job":
            await self._writer.delete_job(namespace, doomed.name)
        else:
            await self._writer.leave_namespace(namespace)

    async def _report(self, name: str, orders: NamespaceOrders, sight: NamespaceSight) -> None:
        """Write a status over the one that it was computed from, and know it from now on.

        The next pass may come before the event does, and what Serve or a model said is not said
        twice.
        """
        status = orders.statuses[name].model_dump(mode="json", exclude_none=True, by_alias=True)
        written = await self._api.patch_status(
            MODELPLACEMENTS.ref(name, self._placements),
            status,
            resource_version=_metadata(name, sight).resource_version,
        )
        key = self._stores.placements.see(written, gone=False)
        if key is not None:
            self._told(key)

    async def _release(self, name: str, sight: NamespaceSight) -> None:
        metadata = _metadata(name, sight)
        await set_finalizer(self._api, MODELPLACEMENTS, metadata, present=False)


def _metadata(name: str, sight: NamespaceSight) -> ObjectMeta:
    """Return the metadata of a placement as it was seen."""
    return next(p.metadata for p in sight.placements if p.metadata.name == name)


def head_of(pool: Manifest) -> Head | None:
    """Return the head of a RayService, or None where KubeRay tells of none."""
    status = (pool.get("status") or {}).get("activeServiceStatus") or {}
    told = (status.get("rayClusterStatus") or {}).get("head") or {}
    address = told.get("podIP")
    return Head(pod=told.get("podName") or "", address=address) if address else None


def is_ready(pool: Manifest) -> bool:
    """Return whether KubeRay calls a RayService ready."""
    conditions = (pool.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
