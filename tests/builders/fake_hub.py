"""A hub with clusters and models, on which passes are carried out as the decide loop does it."""

from dataclasses import dataclass, field, replace
from typing import Any

from builders.cards import CardBuilder, catalog
from builders.clusters import declared, view
from builders.models import spec as spec_of
from builders.placements import answer, deployment, fetch_done
from builders.pool_values import pool_settings
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.api.smallmodel import CopyState, SmallModel
from smallmodel_operator.api.where import Candidate
from smallmodel_operator.placement.choice.facts import Facts, Link
from smallmodel_operator.placement.choice.wish import USUAL, Policy
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.reconcile.clock import after, seconds_between
from smallmodel_operator.reconcile.model import decide_model, evaluates
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight
from smallmodel_operator.reconcile.pace import Pace
from smallmodel_operator.status.state import find

START = "2026-11-24T12:00:00Z"
NAMESPACE = "team"
LOOK = 60.0
"""Seconds between two looks at a model that nothing happens to."""


def priced(name: str, core: str, jurisdiction: str | None = "DE", **spec: Any) -> ModelCluster:
    """A cluster where a core costs so much, and memory nothing."""
    values: dict[str, Any] = {"prices": {"cpuHour": core, "memoryGBHour": "0"}}
    if jurisdiction is not None:
        values["jurisdiction"] = jurisdiction
    return declared(name, **values | spec)


def law(*countries: str, name: str = "records", graceful: str = "0s", **spec: Any) -> DataSource:
    """Data that may be read in these countries only."""
    residency = {"jurisdictions": countries, "graceful": graceful}
    values = DataSourceSpec.model_validate({"residency": residency} | spec)
    return DataSource(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=values)


@dataclass(kw_only=True)
class FakeHub:
    """Everything that a pass looks at, and that it changes."""

    clusters: dict[str, ModelCluster] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    """Of those that are not connected."""
    cut_at: dict[str, str] = field(default_factory=dict)
    views: dict[str, ClusterView] = field(default_factory=dict)
    sources: tuple[DataSource, ...] = ()
    models: dict[str, SmallModel] = field(default_factory=dict)
    placements: dict[tuple[str, str], ModelPlacement] = field(default_factory=dict)
    """By model and cluster."""
    broken: set[str] = field(default_factory=set)
    """Clusters where copies do not come to answer."""
    policy: Policy = USUAL
    now: str = START
    pace: Pace = field(default_factory=Pace)
    made: list[tuple[str, str]] = field(default_factory=list)
    """Model and cluster of each copy that was begun."""
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def join(self, *clusters: ModelCluster) -> "FakeHub":
        """Have clusters, each with one roomy node."""
        for one in clusters:
            self.clusters[one.metadata.name] = one
            self.views.setdefault(one.metadata.name, view(name=one.metadata.name))
        return self

    def ask(self, name: str = "chat", **fields: Any) -> "FakeHub":
        """Have a model, or another spec of one."""
        before = self.models.get(name)
        generation = before.metadata.generation + 1 if before else 1
        metadata = ObjectMeta(
            name=name, namespace=NAMESPACE, generation=generation, finalizers=(FINALIZER,)
        )
        made = SmallModel(metadata=metadata, spec=spec_of(fields))
        if before:
            made = made.model_copy(update={"status": before.status})
        self.models[name] = made
        return self

    def cut(self, *names: str, link: Link = Link.UNREACHABLE) -> "FakeHub":
        """Cut clusters off."""
        for name in names:
            self.links[name] = link
            self.cut_at.setdefault(name, self.now)
        return self

    def carry(self, *names: str) -> "FakeHub":
        """Have files be all that goes between the hub and clusters, and none come for now."""
        self.links |= dict.fromkeys(names, Link.BUNDLED)
        return self

    def mend(self, *names: str) -> "FakeHub":
        """Have clusters answer again."""
        for name in names:
            self.links.pop(name, None)
            self.cut_at.pop(name, None)
        return self

    def around(self) -> Around:
        """What models are placed among."""
        return Around(
            clusters=tuple(self._facts(one) for one in self.clusters.values()),
            sources=self.sources,
            policy=self.policy,
        )

    def sight(self, name: str = "chat", **changes: Any) -> ModelSight:
        """What a pass over a model knows."""
        clock = seconds_between(START, self.now)
        values: dict[str, Any] = {
            "model": self.models[name],
            "placements": self.copies(name),
            "catalog": catalog(CardBuilder()),
            "around": self.around(),
            "views": self.views,
            "secrets": frozenset(),
            "url": f"http://gateway/{NAMESPACE}/v1",
            "hub_id": "hub",
            "pause": self.pace.pause(clock, self.policy.moves_per_minute),
        }
        return ModelSight(**values | changes)

    def look(self, name: str = "chat", **changes: Any) -> ModelOrders:
        """Do one pass over a model."""
        sight = self.sight(name, **changes)
        if not evaluates(sight):
            sight = replace(sight, views={})
        orders = decide_model(sight, pool_settings(), self.now)
        self._carry_out(name, orders)
        return orders

    def settle(self, *names: str, passes: int = 4) -> "FakeHub":
        """Look at models until what they wait for is there; no time passes."""
        for _ in range(passes):
            for name in names or tuple(self.models):
                self.look(name)
            self.serve()
        return self

    def wait(self, seconds: float, step: float = LOOK) -> "FakeHub":
        """Have time pass, with a look at each model now and then."""
        until = after(self.now, seconds)
        while seconds_between(self.now, until) > 0:
            self.now = after(self.now, min(step, seconds_between(self.now, until)))
            self.settle(passes=1)
        return self

    def drain(self) -> "FakeHub":
        """Have gateways turn from the copies in whose place others answer."""
        return self.wait(CLUSTER_DRAIN)

    def serve(self) -> None:
        """Have clusters that can be reached do what was decided for them."""
        for (model, cluster), one in list(self.placements.items()):
            if cluster in self.links:
                continue
            if one.metadata.deletion_timestamp:
                del self.placements[model, cluster]
            elif cluster not in self.broken:
                self.placements[model, cluster] = answering(one)

    def copies(self, name: str = "chat") -> tuple[ModelPlacement, ...]:
        """The placements of a model, by cluster."""
        there = sorted(key for key in self.placements if key[0] == name)
        return tuple(self.placements[key] for key in there)

    def where(self, name: str = "chat") -> list[str]:
        """The clusters with a copy that is not on its way out."""
        copies = self.copies(name)
        return [one.spec.cluster for one in copies if not one.metadata.deletion_timestamp]

    def said(self, kind: ConditionType, name: str = "chat") -> tuple[str, str, str]:
        """A condition of a model."""
        found = find(self.models[name].status, kind)
        assert found is not None
        return found.status, found.reason, found.message

    def candidate(self, cluster: str, name: str = "chat") -> Candidate:
        """What was said of a cluster."""
        decision = self.models[name].status.decision
        assert decision is not None
        return next(one for one in decision.candidates if one.cluster == cluster)

    def states(self, name: str = "chat") -> dict[str, CopyState | None]:
        """How each copy is said to be."""
        return {one.cluster: one.state for one in self.models[name].status.copies}

    def _facts(self, cluster: ModelCluster) -> Facts:
        name = cluster.metadata.name
        found = facts_of(cluster, self.sources)
        cut_at = self.cut_at.get(name)
        if cut_at is None:
            return replace(found, link=self.links.get(name, found.link))
        age = seconds_between(cut_at, self.now)
        return replace(found, link=self.links[name], capacity_age=age, seen_at=cut_at)

    def _carry_out(self, name: str, orders: ModelOrders) -> None:
        clock = seconds_between(START, self.now)
        self.pace = self.pace.moved(orders.moves, clock)
        for one in orders.drops:
            metadata = one.metadata.model_copy(update={"deletion_timestamp": self.now})
            key = (name, one.spec.cluster)
            self.placements[key] = one.model_copy(update={"metadata": metadata})
            self.dropped.append(key)
        for one in orders.placements:
            self._apply(name, one)
        if orders.status is not None and not orders.placements:
            model = self.models[name]
            self.models[name] = model.model_copy(update={"status": orders.status})

    def _apply(self, name: str, made: ModelPlacement) -> None:
        key = (name, made.spec.cluster)
        before = self.placements.get(key)
        if before is None:
            self.made.append(key)
        metadata = made.metadata.model_copy(
            update={
                "generation": before.metadata.generation + 1 if before else 1,
                "creation_timestamp": before.metadata.creation_timestamp if before else self.now,
            }
        )
        status = before.status if before else ModelPlacementStatus()
        self.placements[key] = made.model_copy(update={"metadata": metadata, "status": status})


def answering(placement: ModelPlacement) -> ModelPlacement:
    """The placement once a request to it was answered, as it is now."""
    serving_hash = placement.spec.spec_hash
    status = ModelPlacementStatus(
        observed_generation=placement.metadata.generation,
        pool="pool",
        fetch=fetch_done(),
        serving_hash=serving_hash,
        deployment=deployment(serving_hash=serving_hash),
        probe=answer(serving_hash=serving_hash),
        verified_hash=serving_hash,
    )
    return placement.model_copy(update={"status": status})


def served(*clusters: str, **fields: Any) -> FakeHub:
    """A model that answers on the cheapest of clusters, each dearer than the one before."""
    hub = FakeHub().join(*(priced(name, f"{1 + number}") for number, name in enumerate(clusters)))
    return hub.ask(**fields).settle()
