"""What the hub decides on: filled by lists and events, read by the decide loop.

Objects are parsed once, when they come in. All of this lives in one event loop.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LOCAL_CLUSTER, cluster_of_namespace
from smallmodel_operator.api.smallmodel import Scaling, SmallModel, SmallModelStatus
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.clusters.ref import DATASOURCES, SMALLMODELS, Resource
from smallmodel_operator.handlers.cluster_news import ClusterNews, news_of
from smallmodel_operator.handlers.objects import (
    Ends,
    ObjectKey,
    is_later,
    key_of,
    version_of,
)
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.sources import Scales, UnreadSource, around_of, read_source
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.plan.gateway.told import Told
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.source import needs_source_job, source_job
from smallmodel_operator.status.link import DECIDED_FOR

_TENS_OF_SECONDS: Final = len("2026-11-24T12:00:0")
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A SmallModel that the API server took and that breaks a rule only this program knows."""

    metadata: ObjectMeta
    status: SmallModelStatus
    """What was said of it before; empty where that cannot be read either."""
    message: str
    """Which field, and what is wrong with it."""
    scaling: Scaling | None = None
    """What is asked for, where that is known nevertheless."""


@dataclass(slots=True)
class HubStores:
    """Every object that the decide loop decides on, and what it decided for all clusters."""

    hub_id: str
    of_agent: bool = False
    """They are an agent's, whose hub may be newer."""
    told: Told | None = None
    """What the hub told an agent of models elsewhere; None: nothing yet, or this is the hub."""
    scales: Scales = field(default_factory=Scales)
    models: dict[ObjectKey, SmallModel | Unreadable] = field(default_factory=dict)
    cards: dict[str, ModelCard] = field(default_factory=dict)
    clusters: dict[str, ModelCluster] = field(default_factory=dict)
    """As they were read last."""
    sources: dict[ObjectKey, DataSource | UnreadSource] = field(default_factory=dict)
    _placements: dict[str, Placements] = field(default_factory=dict)
    """By cluster."""
    _models_of_jobs: dict[ObjectKey, set[ObjectKey]] = field(default_factory=dict)
    """SmallModels whose card is made of what a Job fetches, by namespace and name of the Job."""
    _ends: Ends = field(default_factory=Ends)
    _around: dict[str, tuple[tuple[object, ...], Around, tuple[object, ...]]] = field(
        default_factory=dict
    )
    """By namespace: what it was made of, and what that made."""

    def see_model(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a SmallModel, and return its key; None where this was known."""
        key = key_of(manifest)
        known = self.models.get(key)
        version = version_of(known.metadata) if known else None
        if not self._ends.is_news(manifest, version, gone=gone):
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

    def see_cluster(
        self, manifest: Manifest, *, gone: bool
    ) -> tuple[ModelCluster | None, ClusterNews]:
        """Take a ModelCluster.

        Returns:
            It, or None where it cannot be read or is gone; and what is new of it.
        """
        name: str = manifest["metadata"]["name"]
        if gone:
            # What was said of the hub's own is said again when it is made anew.
            known = self.clusters.pop(name, None) if name != LOCAL_CLUSTER else None
            return None, ClusterNews(name=name, declared=known is not None)
        try:
            cluster = ModelCluster.model_validate(manifest)
        except ValidationError as error:
            _LOG.warning("ModelCluster %s cannot be read, and stays as it was: %s", name, error)
            return None, ClusterNews(name=name)
        return cluster, self.take_cluster(cluster)

    def take_cluster(self, cluster: ModelCluster) -> ClusterNews:
        """Keep a ModelCluster, and return what is new of it."""
        before = self.clusters.get(cluster.metadata.name)
        self.clusters[cluster.metadata.name] = cluster
        return news_of(before, cluster)

    def connected(self) -> frozenset[str]:
        """Return the other clusters that could be decided for when somebody looked last."""
        return frozenset(
            name
            for name, cluster in self.clusters.items()
            if cluster.status.link is not None and cluster.status.link.state in DECIDED_FOR
        )

    def see_source(self, manifest: Manifest, *, gone: bool) -> str | None:
        """Take a DataSource, and return its namespace; None where this was known."""
        key = key_of(manifest)
        known = self.sources.get(key)
        version = version_of(known.metadata) if known else None
        if not self._ends.is_news(manifest, version, gone=gone):
            return None
        self.sources.pop(key, None)
        if not gone:
            self.sources[key] = read_source(manifest)
        return key[0]

    def see_placement(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a ModelPlacement of ours, and return the key of its SmallModel.

        None: it is not ours, lies in no cluster's namespace, or this was known.
        """
        cluster = cluster_of_namespace(key_of(manifest)[0])
        return self.placements_on(cluster).see(manifest, gone=gone) if cluster else None

    def placements_on(self, cluster: str) -> Placements:
        """Return what was decided for a cluster: the same object each time."""
        empty = Placements(hub_id=self.hub_id, lenient=self.of_agent)
        return self._placements.setdefault(cluster, empty)

    def all_placements(self) -> Iterator[ModelPlacement]:
        """Return what was decided for clusters that are declared."""
        for name in self.clusters:
            yield from self.placements_on(name).by_model.values()

    def placement(self, key: ObjectKey, cluster: str) -> ModelPlacement | None:
        """Return the placement of a SmallModel on a cluster, where there is one."""
        there = self._placements.get(cluster)
        return there.by_model.get(key) if there is not None else None

    def placements_of(self, key: ObjectKey) -> tuple[ModelPlacement, ...]:
        """Return the placements of a SmallModel on all clusters, by their names."""
        there = (self._placements[name].by_model.get(key) for name in sorted(self._placements))
        return tuple(placement for placement in there if placement is not None)

    def placed(self) -> set[ObjectKey]:
        """Return the keys of all SmallModels that have a placement."""
        return {key for there in self._placements.values() for key in there.by_model}

    @property
    def copies(self) -> int:
        """How many placements there are."""
        return sum(len(there.by_model) for there in self._placements.values())

    def catalog(self) -> Catalog:
        """Return all cards."""
        return Catalog(cards=tuple(self.cards[name] for name in sorted(self.cards)))

    def around(self, namespace: str, now: str) -> Around | None:
        """Return what models of a namespace are placed among; None: nothing is read yet.

        It is the same object for as long as it is made of the same ones, and ten seconds at most.
        """
        if LOCAL_CLUSTER not in self.clusters:
            return None
        declared = [self.clusters[name] for name in sorted(self.clusters)]
        there = [self.sources[key] for key in sorted(self.sources) if key[0] == namespace]
        made_of = (*map(id, declared), *map(id, there), now[:_TENS_OF_SECONDS])
        known = self._around.get(namespace)
        if known is not None and known[0] == made_of:
            return known[1]
        around = around_of(declared, there, self.scales, now)
        # What it is made of is kept with it, so that nothing else gets one of these identities.
        self._around[namespace] = made_of, around, (*declared, *there)
        return around

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
            and all(
                needs_source_job(model, placement)
                for placement in self.placements_of(key) or (None,)
            )
        )

    def missing(
        self, resource: Resource, there: set[ObjectKey], version: str
    ) -> tuple[ObjectKey, ...]:
        """Return what is known and a whole list did not have.

        Args:
            resource: The kind.
            there: What the list had.
            version: That of the list: what is known at a later one was made after it.
        """
        known: dict[Resource, dict[ObjectKey, Any]] = {
            SMALLMODELS: self.models,
            DATASOURCES: self.sources,
        }
        kept = known.get(resource, {})
        gone = [
            key
            for key in kept.keys() - there
            if not is_later(version_of(kept[key].metadata), version)
        ]
        return tuple(sorted(gone))

    def forget_missing(self, resource: Resource, there: set[ObjectKey], version: str) -> None:
        """Drop what a whole list did not have: its deletion was missed.

        Args:
            resource: The kind.
            there: What the list had, and what is there though the list did not have it.
            version: That of the list.
        """
        for key in self.missing(resource, there, version):
            if resource is SMALLMODELS:
                self._drop_model(key)
            else:
                del self.sources[key]

    def _drop_model(self, key: ObjectKey) -> None:
        known = self.models.pop(key, None)
        job = source_job(known) if isinstance(known, SmallModel) else None
        if job is not None:
            waiting = self._models_of_jobs[key[0], job]
            waiting.discard(key)
            if not waiting:
                del self._models_of_jobs[key[0], job]


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
