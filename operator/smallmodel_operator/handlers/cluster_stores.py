"""What is known of one cluster's objects: filled by lists and events, read by its serve loop."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, placement_name
from smallmodel_operator.clusters.ref import (
    JOBS,
    PODS,
    RAYSERVICES,
    Resource,
    without_managed_fields,
)
from smallmodel_operator.handlers.objects import Ends, ObjectKey, is_later, key_of, owner
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.pods import PodSight, read_pod
from smallmodel_operator.plan.pools.live import read_pool, uses_store
from smallmodel_operator.plan.pools.values import (
    COMPONENT_FETCH,
    LABEL_COMPONENT,
    LivePool,
    Manifest,
    PoolError,
)
from smallmodel_operator.reconcile.sight import JobSight, UnpulledImage


@dataclass(slots=True)
class ClusterStores:
    """Every object of one cluster that its serve loop decides on."""

    placements: Placements
    """What was decided for the cluster. Of the hub's own they are the hub's; another one has
    mirrors of these."""
    pools: dict[ObjectKey, Manifest] = field(default_factory=dict)
    """RayServices of ours."""
    foreign_pools: set[ObjectKey] = field(default_factory=set)
    """RayServices of others."""
    ended: set[ObjectKey] = field(default_factory=set)
    """RayServices that are gone and whose Secret and fence are not: KubeRay cleared their store."""
    jobs: dict[ObjectKey, Manifest] = field(default_factory=dict)
    """Fetch Jobs of ours."""
    pods: dict[ObjectKey, PodSight] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    """Namespaces that are being deleted."""
    accepting: set[str] = field(default_factory=set)
    """Namespaces that take models of this hub by their label."""
    foreign_placements: set[str] = field(default_factory=set)
    """Names, where our mirrors lie, of ModelPlacements that are none of ours."""
    _live: dict[ObjectKey, LivePool] = field(default_factory=dict)
    """What was read of pools; those that cannot be read are not in it."""
    _pods_of_jobs: dict[ObjectKey, set[ObjectKey]] = field(default_factory=dict)
    """By namespace and name of the Job."""
    _held_up: set[ObjectKey] = field(default_factory=set)
    """Pods that wait for an image or for a node."""
    _ends: Ends = field(default_factory=Ends)

    @property
    def hub_id(self) -> str:
        """The installation whose objects are ours."""
        return self.placements.hub_id

    def see_placement(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a mirror, and return the key of its SmallModel.

        None: it is not ours, or this was known.
        """
        name: str = manifest["metadata"]["name"]
        self.foreign_placements.discard(name)
        if self._is_ours(manifest):
            return self.placements.see(manifest, gone=gone)
        if not gone:
            self.foreign_placements.add(name)
            self.placements.disown(name)
        return None

    def see_pool(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a RayService, and return its namespace; None where this was known."""
        key = key_of(manifest)
        known = self.pools.get(key)
        if not self._ends.is_news(manifest, known["metadata"] if known else None, gone=gone):
            return None
        self._drop_pool(key)
        self.foreign_pools.discard(key)
        if not gone:
            self.ended.discard(key)
            if owner(manifest) == self.hub_id:
                self.pools[key] = without_managed_fields(manifest)
                # Edited by hand, it may be unreadable; the serve loop says so.
                with contextlib.suppress(PoolError):
                    self._live[key] = read_pool(manifest)
            else:
                self.foreign_pools.add(key)
        return key[0]

    def see_job(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a fetch Job, and return its namespace; None: it is not ours, or this was known."""
        labels = manifest["metadata"].get("labels") or {}
        if owner(manifest) != self.hub_id or labels.get(LABEL_COMPONENT) != COMPONENT_FETCH:
            # KubeRay gives its Jobs the labels of the pool that they clean up after.
            return None
        key = key_of(manifest)
        known = self.jobs.get(key)
        if not self._ends.is_news(manifest, known["metadata"] if known else None, gone=gone):
            return None
        if gone:
            self.jobs.pop(key, None)
        else:
            self.jobs[key] = without_managed_fields(manifest)
        return key[0]

    def see_pod(self, manifest: Manifest, *, gone: bool) -> tuple[PodSight | None, PodSight | None]:
        """Take a pod, and return what was and what is known of it."""
        key = key_of(manifest)
        before = self.pods.pop(key, None)
        self._held_up.discard(key)
        if before is not None and before.job is not None:
            self._drop_from_job((before.namespace, before.job), key)
        if gone:
            return before, None
        pod = self.pods[key] = read_pod(manifest)
        if pod.job is not None:
            self._pods_of_jobs.setdefault((pod.namespace, pod.job), set()).add(key)
        if any(pod.held_up):
            self._held_up.add(key)
        return before, pod

    def see_namespace(self, manifest: Manifest, *, gone: bool) -> str:
        """Take a namespace, and return its name."""
        name: str = manifest["metadata"]["name"]
        if manifest["metadata"].get("deletionTimestamp") and not gone:
            self.ending.add(name)
        else:
            self.ending.discard(name)
        labels = manifest["metadata"].get("labels") or {}
        if labels.get(LABEL_ACCEPT_FROM) == self.hub_id and not gone:
            self.accepting.add(name)
        else:
            self.accepting.discard(name)
        return name

    def namespaces(self) -> set[str]:
        """Return the namespaces with a placement or a pool of ours."""
        keys = (self.placements.by_model, self.placements.unread, self.pools)
        return {key[0] for known in keys for key in known}

    def pools_in(self, namespace: str) -> tuple[Manifest, ...]:
        """Return the RayServices of ours in a namespace, by name."""
        keys = sorted(key for key in self.pools if key[0] == namespace)
        return tuple(self.pools[key] for key in keys)

    def live_pool(self, namespace: str, name: str) -> LivePool | None:
        """Return what was read of a pool of ours; None where it cannot be read."""
        return self._live.get((namespace, name))

    def live_pools(self) -> tuple[LivePool, ...]:
        """Return the readable pools of ours, by namespace and name."""
        return tuple(self._live[key] for key in sorted(self._live) if key in self.pools)

    def jobs_in(self, namespace: str) -> dict[str, Manifest]:
        """Return the fetch Jobs in a namespace, by name."""
        return {key[1]: job for key, job in sorted(self.jobs.items()) if key[0] == namespace}

    def job_sight(self, namespace: str, name: str) -> JobSight | None:
        """Return a fetch Job and what its last pod said, where there is such a Job."""
        job = self.jobs.get((namespace, name))
        if job is None:
            return None
        pods = self.pods_of_job(namespace, name)
        said = [pod.last_words for pod in pods]
        return JobSight(
            manifest=job,
            last_words=next((words for words in reversed(said) if words), None),
            unpulled=next((pod.unpulled for pod in pods if pod.unpulled), None),
        )

    def unpulled_in(self, namespace: str, pool: str) -> UnpulledImage | None:
        """Return the image of one of a pool's pods that cannot be pulled, where there is one."""
        held_up = self._held_up_in(namespace, pool)
        return next((pod.unpulled for pod in held_up if pod.unpulled), None)

    def unscheduled_in(self, namespace: str, pool: str) -> str | None:
        """Return what is said of one of a pool's pods that no node has room for."""
        held_up = self._held_up_in(namespace, pool)
        return next((pod.unscheduled for pod in held_up if pod.unscheduled), None)

    def _held_up_in(self, namespace: str, pool: str) -> list[PodSight]:
        pods = (self.pods.get(key) for key in sorted(self._held_up) if key[0] == namespace)
        return [pod for pod in pods if pod is not None and pod.pool == pool]

    def pods_of_job(self, namespace: str, job: str) -> tuple[PodSight, ...]:
        """Return the pods of a Job, by name."""
        keys = sorted(self._pods_of_jobs.get((namespace, job), ()))
        return tuple(self.pods[key] for key in keys if key in self.pods)

    def addresses(self, namespaces: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses of the running pods of these namespaces."""
        wanted = set(namespaces)
        found = {p.address for p in self.pods.values() if p.address and p.namespace in wanted}
        return tuple(sorted(found))

    def forget_missing(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Drop what a whole list did not have: its deletion was missed.

        Args:
            resource: The kind.
            there: What the list had.
            version: That of the list: what is known at a later one was made after it.
        """
        known: dict[Resource, dict[ObjectKey, Any]] = {
            RAYSERVICES: self.pools,
            JOBS: self.jobs,
            PODS: self.pods,
        }
        kept = known.get(resource, {})
        for key in kept.keys() - there:
            # Of pods, no version is known.
            if resource is PODS or not is_later(kept[key]["metadata"], version):
                if resource is RAYSERVICES:
                    self._drop_pool(key)
                else:
                    del kept[key]

    def _drop_pool(self, key: ObjectKey) -> None:
        """Forget a RayService, and remember that something of it may be left."""
        known = self.pools.pop(key, None)
        self._live.pop(key, None)
        if known is not None and uses_store(known):
            self.ended.add(key)

    def _is_ours(self, manifest: Manifest) -> bool:
        """Return whether a mirror is one that we wrote; its name is made of what it speaks of."""
        if owner(manifest) != self.hub_id:
            return False
        model = manifest["spec"]["model"]
        named = placement_name(model["namespace"], model["name"])
        return bool(named == manifest["metadata"]["name"])

    def _drop_from_job(self, job: ObjectKey, pod: ObjectKey) -> None:
        pods = self._pods_of_jobs[job]
        pods.discard(pod)
        if not pods:
            del self._pods_of_jobs[job]
