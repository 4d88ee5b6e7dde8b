"""What the operator decides of a snapshot, and what it would if something in it were different.

The same snapshot gives the same decisions to the byte, wherever and whenever that is asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api import where as api
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec, Residency
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.placement.among import Placed
from smallmodel_operator.placement.assumed import Taken, assume
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.choice.money import Cost
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import USUAL, Policy
from smallmodel_operator.placement.cluster import ClusterPlacement, ClusterView
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.placement.whatif import Change, Fate, dearer, in_the_end
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.reconcile.model import decide_place
from smallmodel_operator.reconcile.model_values import ModelSight
from smallmodel_operator.status.decision import summarise_decision

_LAW: Final = "added-law"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the decisions of an installation read."""

    at: str
    """When it was taken, as RFC 3339."""
    hub_id: str
    clusters: tuple[ModelCluster, ...]
    sources: tuple[DataSource, ...]
    models: tuple[SmallModel, ...]
    placements: tuple[ModelPlacement, ...]
    catalog: Catalog
    views: Mapping[str, ClusterView]
    """What was seen of clusters; of some nothing was."""
    settings: PoolSettings
    policy: Policy = USUAL
    tables: Tables = SHIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What is decided of one model."""

    namespace: str
    name: str
    there: tuple[str, ...]
    """Clusters where it has copies."""
    decision: Decision | None
    """None: it did not come to that."""
    why_not: str = ""
    """Why it did not."""

    def told(self, currency: str) -> api.Decision | None:
        """Return the decision as a status has it."""
        return summarise_decision(self.decision, currency) if self.decision else None

    @property
    def clusters(self) -> tuple[str, ...]:
        """Where it is to be; where it did not come to a decision it stays."""
        return self.there if self.decision is None else tuple(sorted(self.decision.clusters))

    def cost_at(self, clusters: Sequence[str]) -> Cost | None:
        """Return what copies cost together; None: none of them was priced."""
        chosen = self.decision.chosen if self.decision else ()
        costs = [one.cost for one in chosen if one.cost is not None and one.cluster in clusters]
        return _together(costs) if costs else None


def replay(snapshot: Snapshot, change: Change | None = None) -> tuple[Replayed, ...]:
    """Return what is decided of each model, by namespace and name.

    What one of them would take of a cluster is taken before the next one is asked for.

    Args:
        snapshot: What is read.
        change: What is different, and asked is what comes of it in the end; None: nothing is.
    """
    return tuple(_Replay(snapshot, change or Change()).run())


def fates_of(snapshot: Snapshot, change: Change) -> tuple[Fate, ...]:
    """Return what would become of the models that have a place or would have one.

    Args:
        snapshot: What there is.
        change: What would be different.
    """
    ends = replace(snapshot, policy=in_the_end(snapshot.policy))
    pairs = zip(replay(snapshot), replay(ends, change), strict=True)
    return tuple(
        _fate(before, after, change) for before, after in pairs if before.there or after.clusters
    )


class _Replay:
    """One after another, each after what those before it took."""

    def __init__(self, snapshot: Snapshot, change: Change) -> None:
        self._snapshot = snapshot
        self._change = change
        self._clusters = [one for one in snapshot.clusters if one.metadata.name not in change.lost]
        self._taken: dict[str, list[Taken]] = {name: [] for name in snapshot.views}
        self._views = {
            name: self._assumed(name) for name in snapshot.views if name not in change.lost
        }

    def run(self) -> Iterator[Replayed]:
        models = (one for one in self._snapshot.models if not one.metadata.deletion_timestamp)
        for model in sorted(models, key=lambda one: (one.metadata.namespace, one.metadata.name)):
            yield self._decide(model)

    def _decide(self, model: SmallModel) -> Replayed:
        metadata = model.metadata
        copies = [one for one in self._snapshot.placements if _is_of(one, model)]
        living = [one for one in copies if not one.metadata.deletion_timestamp]
        around = self._around(metadata.namespace)
        sight = ModelSight(
            model=model,
            placements=tuple(one for one in copies if one.spec.cluster not in self._change.lost),
            catalog=self._snapshot.catalog,
            views=self._views,
            around=around,
            secrets=self._secrets(model),
            url="",
            hub_id=self._snapshot.hub_id,
        )
        found = decide_place(sight, around, self._snapshot.settings, self._snapshot.at)
        there = tuple(sorted(one.spec.cluster for one in living))
        if isinstance(found, Placed) and found.decision is not None:
            self._take(model, found, there)
        return Replayed(
            namespace=metadata.namespace,
            name=metadata.name,
            there=there,
            decision=found.decision if isinstance(found, Placed) else None,
            why_not=_why_not(found),
        )

    def _around(self, namespace: str) -> Around:
        snapshot, change = self._snapshot, self._change
        laws = (
            _law(namespace, allowed) for where, allowed in change.laws if where in (None, namespace)
        )
        there = (one for one in snapshot.sources if one.metadata.namespace == namespace)
        sources = (*there, *laws)
        facts = (facts_of(one, sources, snapshot.at) for one in self._clusters)
        return Around(
            clusters=tuple(
                dearer(
                    one,
                    change.factors.get(one.name, 1.0),
                    self._products(one.name),
                    snapshot.tables,
                )
                for one in facts
            ),
            sources=sources,
            policy=snapshot.policy,
            tables=snapshot.tables,
        )

    def _products(self, cluster: str) -> list[str]:
        view = self._snapshot.views.get(cluster)
        return [stock.product for stock in view.stocks] if view else []

    def _secrets(self, model: SmallModel) -> frozenset[str]:
        """Return the Secrets that it may need, which are no part of a snapshot: as if all were."""
        card = next(
            (one for one in self._snapshot.catalog.cards if one.metadata.name == model.spec.model),
            None,
        )
        source = model.spec.source
        names = [gate_secret(card)] if card is not None else []
        if source is not None and source.secret_ref is not None:
            names.append(source.secret_ref.name)
        return frozenset(names)

    def _take(self, model: SmallModel, placed: Placed, there: Sequence[str]) -> None:
        for found in placed.made:
            name = found.placement.machine
            if name not in there:
                self._taken[name].append(_taken(model, found))
                self._views[name] = self._assumed(name)

    def _assumed(self, cluster: str) -> ClusterView:
        placed = (one for one in self._snapshot.placements if one.spec.cluster == cluster)
        return assume(self._snapshot.views[cluster], placed, self._taken[cluster])


def _is_of(placement: ModelPlacement, model: SmallModel) -> bool:
    of = placement.spec.model
    return (of.namespace, of.name) == (model.metadata.namespace, model.metadata.name)


def _law(namespace: str, allowed: frozenset[str]) -> DataSource:
    """Return an added law as data that binds its namespace."""
    return DataSource(
        metadata=ObjectMeta(name=_LAW, namespace=namespace),
        spec=DataSourceSpec(residency=Residency(jurisdictions=tuple(sorted(allowed)))),
    )


def _taken(model: SmallModel, found: ClusterPlacement) -> Taken:
    return Taken(
        namespace=model.metadata.namespace,
        name=model.metadata.name,
        worker=found.worker,
        isolation=model.spec.isolation,
        replicas=model.spec.scaling.min_replicas,
    )


def _why_not(found: object) -> str:
    match found:
        case Placed(decision=None, lacking=lacking) if lacking is not None:
            return lacking.message
        case ResolveError(message=message):
            return message
        case Placed():
            return ""
        case _:
            return "Its weights have to be fetched before it can be told what it needs."


def _fate(before: Replayed, after: Replayed, change: Change) -> Fate:
    then = tuple(name for name in after.clusters if name not in change.lost)
    return Fate(
        namespace=before.namespace,
        name=before.name,
        now=", ".join(before.there) or None,
        then=", ".join(then) or None,
        cost_now=before.cost_at(before.there),
        cost_then=after.cost_at(then),
        why=_why(before, after, then, change),
    )


def _why(before: Replayed, after: Replayed, then: Sequence[str], change: Change) -> str:
    """Return what is said of where it is no more, of where it would be, or of all others."""
    verdicts = after.decision.verdicts if after.decision else ()
    said = {one.cluster: f"{one.code}: {one.message}" for one in verdicts}
    left = [name for name in before.there if name not in then]
    new = [name for name in then if name not in before.there]
    parts = [f"{name} is lost" if name in change.lost else said.get(name, "") for name in left]
    parts += [f"then {said.get(name, name)}" for name in new]
    if left and not new:
        codes = [f"{one.cluster} ({one.code})" for one in verdicts if one.cluster not in left]
        parts += [f"nor {', '.join(codes)}"] if codes else []
    if not left and not new:
        parts = [said.get(name, "") for name in then]
    listed = "; ".join(part.rstrip(".") for part in parts if part)
    return listed or after.why_not


def _together(costs: Sequence[Cost]) -> Cost:
    return Cost(
        compute=sum(one.compute for one in costs),
        data=sum(one.data for one in costs),
        answers=sum(one.answers for one in costs),
        carbon=sum(one.carbon for one in costs),
        one_time=sum(one.one_time for one in costs),
        grams=sum(one.grams for one in costs),
    )
