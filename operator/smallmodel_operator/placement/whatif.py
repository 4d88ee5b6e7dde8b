"""What would become of running models if a cluster were lost, a price rose or a law came."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from smallmodel_operator.api.base import amount, human_bytes
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcluster import ModelCluster, ModelClusterStatus
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.placement.among import Running, pinned_fit, wish_of
from smallmodel_operator.placement.choice.case import Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.choice.facts import Facts, Prices
from smallmodel_operator.placement.choice.judge import Fitter
from smallmodel_operator.placement.choice.money import Cost, Fit, market_of
from smallmodel_operator.placement.choice.rates import rates_of
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import USUAL, Law, Policy
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY
from smallmodel_operator.placement.declared import Around, facts_of

_THE_LAW: Final = "the added law"


def in_the_end(policy: Policy) -> Policy:
    """Return a policy by which nobody waits for the third decision in a row."""
    return replace(policy, evaluations=1, dwell_seconds=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that was recorded."""

    clusters: tuple[ModelCluster, ...]
    sources: tuple[DataSource, ...]
    models: tuple[SmallModel, ...]
    placements: tuple[ModelPlacement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is different in the world that is asked about."""

    lost: frozenset[str] = frozenset()
    """Clusters that are gone."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """By cluster: what its prices of machines and electricity are multiplied with."""
    laws: tuple[tuple[str | None, frozenset[str]], ...] = ()
    """Namespace and allowed countries; no namespace is all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One running model, now and then."""

    namespace: str
    name: str
    now: str | None
    """The clusters that serve it; None: none does."""
    then: str | None
    """The clusters that would; None: none could."""
    cost_now: Cost | None
    """None: something speaks against it, so it was not priced."""
    cost_then: Cost | None
    why: str

    @property
    def moves(self) -> bool:
        """Whether it would be elsewhere, or nowhere."""
        return self.then != self.now


def what_if(world: World, change: Change) -> tuple[Fate, ...]:
    """Return what would become of each running model, by namespace and name.

    Whether a cluster has room is asked of its recorded totals, for the workers that the model has
    now and the head of a pool: it may turn out that no single node has it.

    Args:
        world: What was recorded.
        change: What would be different.
    """
    placed = {
        (one.spec.model.namespace, one.spec.model.name): one
        for one in world.placements
        if one.metadata.deletion_timestamp is None
    }
    models = sorted(world.models, key=lambda one: (one.metadata.namespace, one.metadata.name))
    return tuple(
        _fate(world, change, model, placed[key])
        for model in models
        if (key := (model.metadata.namespace, model.metadata.name)) in placed
    )


def _fate(world: World, change: Change, model: SmallModel, placed: ModelPlacement) -> Fate:
    namespace, there = model.metadata.namespace, placed.spec.cluster
    sources = tuple(one for one in world.sources if one.metadata.namespace == namespace)
    clusters = tuple(facts_of(cluster, sources) for cluster in world.clusters)
    around = Around(clusters=clusters, sources=sources)
    wish = wish_of(model.spec, around, placed.metadata.name, (Running(pinned=placed.spec),))
    fit = pinned_fit(placed.spec)
    fitter = _fitter(world, fit, there)
    before = decide(wish, market_of(clusters), fitter, USUAL)
    products = [fit.product] if fit.product is not None else []
    changed = tuple(
        dearer(facts, change.factors.get(facts.name, 1.0), products, SHIPPED)
        for facts in clusters
        if facts.name not in change.lost
    )
    after = decide(
        replace(wish, laws=(*wish.laws, *_laws(change, namespace))),
        market_of(changed),
        fitter,
        in_the_end(USUAL),
    )
    then = next(iter(after.clusters), None)
    return Fate(
        namespace=namespace,
        name=model.metadata.name,
        now=there,
        then=then,
        cost_now=_cost_at(before, there),
        cost_then=_cost_at(after, then),
        why=_why(after, there, then, change),
    )


def _fitter(world: World, fit: Fit, there: str) -> Fitter:
    status = {cluster.metadata.name: cluster.status for cluster in world.clusters}

    def fitter(place: Facts) -> Fit | Rejection:
        if place.name == there:
            return fit
        new = replace(fit, head_cpu=HEAD_CPU, head_memory_bytes=HEAD_MEMORY)
        lacks = _lacks(new, status[place.name])
        if lacks is None:
            return new
        code, what = lacks
        return Rejection(code=code, message=f"{place.name} has {what}.")

    return fitter


def _lacks(fit: Fit, status: ModelClusterStatus) -> tuple[Code, str] | None:
    """Return what a cluster has too little of in all."""
    if status.cpu is None or status.memory is None:
        return Code.STALE_FACTS, "no recorded capacity"
    devices = sum(one.allocatable for one in status.accelerators if one.product == fit.product)
    if fit.devices > devices:
        return Code.ACCELERATOR_MISSING, f"{devices} x {fit.product}, and {fit.devices:g} is needed"
    memory, cpu = fit.memory_bytes + fit.head_memory_bytes, fit.cpu + fit.head_cpu
    if memory > amount(status.memory):
        have = human_bytes(amount(status.memory))
        return Code.MEMORY_FIT, f"{have} in all, and {human_bytes(memory)} is needed"
    if cpu > amount(status.cpu):
        return Code.CPU_FIT, f"{amount(status.cpu):g} CPU in all, and {cpu:g} is needed"
    return None


def dearer(facts: Facts, factor: float, products: Iterable[str], tables: Tables) -> Facts:
    """Return a cluster whose hours cost so many times as much, also where that is assumed.

    Args:
        facts: The cluster.
        factor: How many times as much.
        products: Devices whose price is not declared.
        tables: For what is not declared.
    """
    if factor == 1.0:
        return facts
    rates, prices = rates_of(facts, tables), facts.prices
    assumed = {product: rates.accelerator_hour(product).value for product in products}
    listed = {**assumed, **prices.accelerator_hour}
    return replace(
        facts,
        prices=Prices(
            cpu_hour=rates.cpu_hour.value * factor,
            memory_gb_hour=rates.memory_gb_hour.value * factor,
            accelerator_hour={product: hour * factor for product, hour in listed.items()},
            paid_kwh=prices.paid_kwh * factor if prices.paid_kwh is not None else None,
        ),
    )


def _laws(change: Change, namespace: str) -> Sequence[Law]:
    return [
        Law(source=_THE_LAW, jurisdictions=allowed)
        for where, allowed in change.laws
        if where in (None, namespace)
    ]


def _cost_at(decision: Decision, cluster: str | None) -> Cost | None:
    return next((one.cost for one in decision.chosen if one.cluster == cluster), None)


def _why(after: Decision, there: str, then: str | None, change: Change) -> str:
    codes = {one.cluster: one.code for one in after.verdicts}
    said = {one.cluster: f"{one.code}: {one.message}" for one in after.verdicts}
    if then == there:
        return said[there]
    left = f"{there} is lost" if there in change.lost else said[there].rstrip(".")
    if then is not None:
        return f"{left}; then {said[then]}"
    others = [f"{name} ({code})" for name, code in codes.items() if name != there]
    return f"{left}; nor {', '.join(others)}" if others else left
