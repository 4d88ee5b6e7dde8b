"""What is known of the cluster's objects: filled by lists and events, read by the loops.

Objects are parsed once, when they come in. All of this lives in one event loop.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    JOBS,
    PODS,
    RAYSERVICES,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.handlers.pods import PodSight, read_pod
from smallmodel_operator.handlers.sources import Scales, UnreadSource, around_of, read_source
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.plan.pools.live import read_pool
from smallmodel_operator.plan.pools.values import LivePool, Manifest, PoolError
from smallmodel_operator.reconcile.sight import JobSight, UnpulledImage
from smallmodel_operator.reconcile.source import needs_source_job, source_job

_LOG: Final = logging.getLogger(__name__)

ObjectKey: TypeAlias = tuple[str, str]
"""Namespace and name."""

_MANAGED: Final = "managedFields"
_BURIED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A SmallModel that the API server took and that breaks a rule only this program knows."""

    metadata: ObjectMeta
    status: SmallModelStatus
    """What was said of it before; empty where that cannot be read either."""
    message: str
    """Which field, and what is wrong with it."""


@dataclass(slots=True)
class Stores:
    """Every object that the loops decide on."""

    hub_id: str
    scales: Scales = field(default_factory=Scales)
    models: dict[ObjectKey, SmallModel | Unreadable] = field(default_factory=dict)
    cards: dict[str, ModelCard] = field(default_factory=dict)
    clusters: dict[str, ModelCluster] = field(default_factory=dict)
    """As they were read last."""
    sources: dict[ObjectKey, DataSource | UnreadSource] = field(default_factory=dict)
    placements: dict[ObjectKey, ModelPlacement] = field(default_factory=dict)
    """By namespace and name of their SmallModels."""
    assigned: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    """How many placements say that a pool serves them, by namespace and name of the pool."""
    unread_placements: set[ObjectKey] = field(default_factory=set)
    """The same of those that cannot be read."""
    pools: dict[ObjectKey, Manifest] = field(default_factory=dict)
    """RayServices of ours."""
    foreign_pools: set[ObjectKey] = field(default_factory=set)
    """RayServices of others."""
    jobs: dict[ObjectKey, Manifest] = field(default_factory=dict)
    """Fetch Jobs of ours."""
    pods: dict[ObjectKey, PodSight] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    """Namespaces that are being deleted."""
    _live: dict[ObjectKey, LivePool] = field(default_factory=dict)
    """What was read of pools; those that cannot be read are not in it."""
    _pods_of_jobs: dict[ObjectKey, set[ObjectKey]] = field(default_factory=dict)
    """By namespace and name of the Job."""
    _held_up: set[ObjectKey] = field(default_factory=set)
    """Pods that wait for an image or for a node."""
    _models_of_jobs: dict[ObjectKey, set[ObjectKey]] = field(default_factory=dict)
    """SmallModels whose card is made of what a Job fetches, by namespace and name of the Job."""
    _buried: dict[str, None] = field(default_factory=dict)
    """The identities of objects that were seen to be gone, the oldest first."""

    def see_model(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a SmallModel, and return its key; None where this was known."""
        key = key_of(manifest)
        known = self.models.get(key)
        if not self._is_news(manifest, _version(known.metadata) if known else None, gone=gone):
            return None
        self._drop_model(key)
        if gone:
            return key
        try:
            model = self.models[key] = SmallModel.model_validate(manifest)
        except ValidationError as error:
            self.models[key] = _unreadable(manifest, error)
            return key
        job = source_job(model)
        if job is not None:
            self._models_of_jobs.setdefault((key[0], job), set()).add(key)
        return key

    def see_card(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a ModelCard, and return its name; None where it is not readable."""
        name: str = manifest["metadata"]["name"]
        if gone:
            self.cards.pop(name, None)
            return name
        try:
            self.cards[name] = ModelCard.model_validate(manifest)
        except ValidationError:
            self.cards.pop(name, None)
            return None
        return name

    def see_source(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a DataSource, and return its namespace; None where this was known."""
        key = key_of(manifest)
        known = self.sources.get(key)
        if not self._is_news(manifest, _version(known.metadata) if known else None, gone=gone):
            return None
        self.sources.pop(key, None)
        if not gone:
            self.sources[key] = read_source(manifest)
        return key[0]

    def see_placement(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a ModelPlacement of ours, and return the key of its SmallModel.

        None: it is not ours, or this was known.
        """
        if owner(manifest) != self.hub_id:
            return None
        model = manifest["spec"]["model"]
        key: ObjectKey = (model["namespace"], model["name"])
        known = self.placements.get(key)
        if not self._is_news(manifest, _version(known.metadata) if known else None, gone=gone):
            return None
        self.unread_placements.discard(key)
        if gone:
            self._keep_placement(key, None)
            return key
        try:
            self._keep_placement(key, ModelPlacement.model_validate(manifest))
        except ValidationError as error:
            # Another version of this program wrote it, so what it says has to go on.
            _LOG.warning(
                "ModelPlacement %s cannot be read: %s", manifest["metadata"]["name"], error
            )
            self._keep_placement(key, None)
            self.unread_placements.add(key)
        return key

    def see_pool(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a RayService, and return its namespace; None where this was known."""
        key = key_of(manifest)
        known = self.pools.get(key)
        if not self._is_news(manifest, known["metadata"] if known else None, gone=gone):
            return None
        self.pools.pop(key, None)
        self._live.pop(key, None)
        self.foreign_pools.discard(key)
        if not gone:
            if owner(manifest) == self.hub_id:
                self.pools[key] = _without_managed_fields(manifest)
                # Edited by hand, it may be unreadable; the serve loop says so.
                with contextlib.suppress(PoolError):
                    self._live[key] = read_pool(manifest)
            else:
                self.foreign_pools.add(key)
        return key[0]

    def see_job(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a fetch Job, and return its namespace; None: it is not ours, or this was known."""
        if owner(manifest) != self.hub_id:
            return None
        key = key_of(manifest)
        known = self.jobs.get(key)
        if not self._is_news(manifest, known["metadata"] if known else None, gone=gone):
            return None
        if gone:
            self.jobs.pop(key, None)
        else:
            self.jobs[key] = _without_managed_fields(manifest)
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
        return name

    def catalog(self) -> Catalog:
        """Return all cards."""
        return Catalog(cards=tuple(self.cards[name] for name in sorted(self.cards)))

    def around(self, namespace: str, cluster: str) -> Around | None:
        """Return what models of a namespace are placed among; None: the cluster is not read yet."""
        declared = self.clusters.get(cluster)
        if declared is None:
            return None
        there = (self.sources[key] for key in sorted(self.sources) if key[0] == namespace)
        return around_of(declared, there, self.scales)

    def placements_in(self, namespace: str) -> tuple[ModelPlacement, ...]:
        """Return the placements of a namespace's models, by name."""
        keys = sorted(key for key in self.placements if key[0] == namespace)
        return tuple(self.placements[key] for key in keys)

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

    def models_of_job(self, namespace: str, name: str) -> tuple[ObjectKey, ...]:
        """Return the SmallModels whose card is made of what a Job fetches, by name."""
        return tuple(sorted(self._models_of_jobs.get((namespace, name), ())))

    def needed_jobs(self, namespace: str) -> frozenset[str]:
        """Return the Jobs of models whose card is still to be made of what these fetch."""
        return frozenset(
            job
            for key, model in self.models.items()
            if key[0] == namespace and isinstance(model, SmallModel)
            if (job := source_job(model)) is not None
            and needs_source_job(model, self.placements.get(key))
        )

    def pods_of_job(self, namespace: str, job: str) -> tuple[PodSight, ...]:
        """Return the pods of a Job, by name."""
        keys = sorted(self._pods_of_jobs.get((namespace, job), ()))
        return tuple(self.pods[key] for key in keys if key in self.pods)

    def forget_missing(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Drop what a whole list did not have: its deletion was missed.

        Args:
            resource: The kind.
            there: What the list had.
            version: That of the list: what is known at a later one was made after it.
        """
        known: dict[Resource, dict[ObjectKey, Any]] = {
            SMALLMODELS: self.models,
            DATASOURCES: self.sources,
            RAYSERVICES: self.pools,
            JOBS: self.jobs,
            PODS: self.pods,
        }
        kept = known.get(resource, {})
        for key in kept.keys() - there:
            if _is_later(kept[key], version):
                continue
            if resource is SMALLMODELS:
                self._drop_model(key)
            else:
                del kept[key]

    def _is_news(self, manifest: Manifest, known: Manifest | None, *, gone: bool) -> bool:
        """Return whether an object, or that it is gone, is not known yet.

        Events come in their order, but what this program wrote is known before its event, and lists
        may be older than both.
        """
        metadata = manifest["metadata"]
        uid = metadata.get("uid")
        another = known is not None and known.get("uid") not in {None, uid}
        if gone:
            self._bury(uid)
            return not another
        if uid in self._buried:
            return False
        if uid is None or known is None or another:
            return True
        # https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions: versions
        # of one object are numbers that grow.
        return int(metadata["resourceVersion"]) > int(known["resourceVersion"])

    def _bury(self, uid: str | None) -> None:
        if uid is not None:
            self._buried[uid] = None
        while len(self._buried) > _BURIED_MAX:
            del self._buried[next(iter(self._buried))]

    def _keep_placement(self, key: ObjectKey, placement: ModelPlacement | None) -> None:
        before = self.placements.pop(key, None)
        if before is not None:
            self.assigned[key[0], before.status.pool] -= 1
        if placement is not None:
            self.placements[key] = placement
            self.assigned[key[0], placement.status.pool] += 1

    def _drop_model(self, key: ObjectKey) -> None:
        known = self.models.pop(key, None)
        job = source_job(known) if isinstance(known, SmallModel) else None
        if job is not None:
            waiting = self._models_of_jobs[key[0], job]
            waiting.discard(key)
            if not waiting:
                del self._models_of_jobs[key[0], job]

    def _drop_from_job(self, job: ObjectKey, pod: ObjectKey) -> None:
        pods = self._pods_of_jobs[job]
        pods.discard(pod)
        if not pods:
            del self._pods_of_jobs[job]

    def addresses(self, namespaces: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses of the running pods of these namespaces."""
        wanted = set(namespaces)
        found = {p.address for p in self.pods.values() if p.address and p.namespace in wanted}
        return tuple(sorted(found))


def _unreadable(manifest: Manifest, error: ValidationError) -> Unreadable:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    try:
        status = SmallModelStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        status = SmallModelStatus()
    return Unreadable(
        # The API server checked it by rules that are at least as strict.
        metadata=ObjectMeta.model_validate(manifest["metadata"]),
        status=status,
        message=f"{where}: {first['msg']}",
    )


def _version(metadata: ObjectMeta) -> Manifest:
    return {"uid": metadata.uid, "resourceVersion": metadata.resource_version}


def _is_later(known: Any, version: str) -> bool:
    """Return whether an object is known at a later version than that; of pods, none is known."""
    if isinstance(known, PodSight):
        return False
    metadata = known["metadata"] if isinstance(known, dict) else _version(known.metadata)
    return int(metadata.get("resourceVersion") or 0) > int(version or 0)


def _without_managed_fields(manifest: Manifest) -> Manifest:
    """Return the manifest without who wrote which field, which is half of it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != _MANAGED}
    return {**manifest, "metadata": metadata}


def key_of(manifest: Manifest) -> ObjectKey:
    """Return the namespace and name of an object; no namespace is an empty one."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def owner(manifest: Manifest) -> str | None:
    """Return the id of the installation that owns an object."""
    labels: dict[str, Any] = manifest["metadata"].get("labels") or {}
    return labels.get(LABEL_HUB)
