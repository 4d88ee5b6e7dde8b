"""Placing among clusters: which of them serves a resolved model and how, or why none can."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import ModelPlacementSpec
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.api.where import WhenUnreachable
from smallmodel_operator.catalog.options import Option, ResolvedModel
from smallmodel_operator.placement.choice.case import Case, Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.decision import Decision, Verdict
from smallmodel_operator.placement.choice.facts import Facts, Link
from smallmodel_operator.placement.choice.law import allowed_by, grace_of, residency_allows
from smallmodel_operator.placement.choice.money import Fit
from smallmodel_operator.placement.choice.wish import Demand, Failure, Incumbent, Streak, Wish
from smallmodel_operator.placement.cluster import ClusterPlacement, Spot, find_spot, placed_at
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY, memory_of
from smallmodel_operator.placement.declared import (
    Around,
    bounds_of,
    clients_of,
    laws_of,
    missing_source,
    reads_of,
    unknown_clients,
)
from smallmodel_operator.placement.placement import Unplaced

_NO_MORE: Final = "There is no other cluster. Join one, or lower spec.placement.copies."
_NO_CLUSTER: Final = "No ModelCluster is known yet; this goes on by itself."
_REASONS: Final[dict[Code, Reason]] = {
    Code.RESIDENCY_FORBIDDEN: Reason.RESIDENCY_FORBIDDEN,
    Code.TERMINATING: Reason.TERMINATING,
    Code.CREDENTIAL_ERROR: Reason.CREDENTIAL_ERROR,
    Code.UNREACHABLE: Reason.UNREACHABLE,
    Code.NOT_DECLARED: Reason.NOT_DECLARED,
    Code.API_MISSING: Reason.API_MISSING,
    Code.NOT_SELECTED: Reason.NOT_SELECTED,
    Code.TAINTED: Reason.TAINTED,
    Code.AIR_GAP: Reason.AIR_GAP,
    Code.UPLINK_CAPACITY: Reason.UPLINK_CAPACITY,
    Code.NOT_REACHABLE: Reason.NOT_REACHABLE,
    Code.LATENCY_BOUND: Reason.LATENCY_BOUND,
    Code.CARBON_CAP: Reason.CARBON_CAP,
    Code.LEAVING: Reason.LEAVING,
    Code.FAILED_HERE: Reason.FAILED_HERE,
    Code.STALE_FACTS: Reason.STALE_FACTS,
    Code.COST_CAP: Reason.COST_CAP,
}
"""What can speak against a cluster beside room."""

_KNOWN_FITS_MAX: Final = 2048
_BESIDE_VARIANT: Final = tuple(one.name for one in fields(Option) if one.name != "variant")
_NAMED_MAX: Final = 3
"""Clusters that each say why they cannot serve a model; of more, the nearest miss does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A copy that runs, or that is on its way."""

    pinned: ModelPlacementSpec
    seconds: float = 0.0
    """How long it has been there."""
    stands_in_for: str | None = None
    """The cluster of another copy that could not be reached when this one was begun."""
    settled: bool = False
    """It was decided of the present spec, so nothing is decided anew of how it runs."""
    renewed: bool = False
    """It is to be chosen anew, whatever runs now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the decisions before left."""

    leaving: frozenset[str] = frozenset()
    """Clusters where a copy is being taken down."""
    failures: tuple[Failure, ...] = ()
    streak: Streak | None = None
    counts: bool = True
    """False: the decision before was a moment ago, and this one does not make a streak longer."""


NO_PAST: Final = Past()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What came of placing, and what was said of each cluster."""

    made: tuple[ClusterPlacement, ...] = ()
    """How the chosen copies run of which that was decided now."""
    lacking: Unplaced | None = None
    """Why there are fewer copies than the spec asks for, or why one is still as an earlier spec
    had it; None: nothing lacks."""
    decision: Decision | None = None
    """None: it did not come to that."""


def place_among(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    around: Around,
    views: Mapping[str, ClusterView],
    *,
    namespace: str,
    key: str,
    running: Sequence[Running] = (),
    past: Past = NO_PAST,
    pause: str | None = None,
) -> Placed:
    """Return which clusters serve a resolved model and how, or why none can.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        around: The clusters, and the data.
        views: What was seen of the nodes and pools of clusters; of some nothing was yet.
        namespace: The model's: a pool of it that has a seat needs no further head.
        key: The model's identity, which breaks ties.
        running: Its copies. What runs for an earlier spec is kept where the changed spec allows it.
        past: What the decisions before left.
        pause: Why nothing of the installation moves now, the law aside; None: it may.
    """
    missing = missing_source(spec, around)
    if missing is not None:
        return Placed(lacking=Unplaced(reason=Reason.DATA_SOURCE_MISSING, message=missing))
    unknown = unknown_clients(spec.placement, around)
    if unknown is not None:
        return Placed(lacking=Unplaced(reason=Reason.CLIENTS_UNKNOWN, message=unknown))
    there = {one.pinned.cluster: one for one in running}
    around = around.with_clusters(there)
    without_room: dict[str, Unplaced] = {}
    asked = _asked(resolved, spec, namespace)

    def fitter(place: Facts) -> Fit | Rejection:
        runs = there.get(place.name)
        if runs is not None and runs.settled:
            return pinned_fit(runs.pinned)
        view = views.get(place.name)
        if view is None:
            return unseen(place)
        incumbent = runs.pinned if runs is not None and not runs.renewed else None
        known = view.known_fits if incumbent is None else {}
        fit: Fit | Unplaced | None = known.get(asked)
        if fit is None:
            found = find_spot(resolved, spec, view, namespace=namespace, incumbent=incumbent)
            fit = fit_of(found) if isinstance(found, Spot) else found
            if len(known) >= _KNOWN_FITS_MAX:
                known.clear()
            known[asked] = fit
        if isinstance(fit, Fit):
            return fit
        without_room[place.name] = fit
        return Rejection(code=Code(fit.reason), message=fit.message, waits=fit.waits)

    wish = wish_of(spec, around, key, running, past)
    decision = decide(wish, around.market, fitter, around.policy, pause=pause)
    chosen = decision.chosen
    return Placed(
        made=tuple(placed_at(one.fit.spot) for one in chosen if one.fit and one.fit.spot),
        lacking=_lacking(decision, there, without_room, wish.copies),
        decision=decision,
    )


def weigh_running(
    running: Sequence[Running], spec: SmallModelSpec, around: Around, *, key: str
) -> Decision:
    """Return what is to be said now of where a model runs: what it costs, and whether it may.

    Args:
        running: Its copies.
        spec: What the user asks for.
        around: The clusters with these copies, and the data.
        key: The model's identity.
    """
    fits = {one.pinned.cluster: pinned_fit(one.pinned) for one in running}
    wish = wish_of(spec, around, key, running)
    return decide(wish, around.market, lambda place: fits[place.name], around.policy)


def outlawed(
    spec: SmallModelSpec, around: Around, clusters: Iterable[str]
) -> dict[str, tuple[Rejection, float]]:
    """Return which of these clusters the law of the data forbids, and the seconds of grace there.

    A cluster of which nothing is declared is not among them: not to know is no proof.
    """
    names = frozenset(clusters)
    wish = Wish(key="", laws=laws_of(spec, around.sources))
    case = Case(wish=wish, market=around.market, policy=around.policy, allowed=allowed_by(wish))
    found: dict[str, tuple[Rejection, float]] = {}
    for place in around.clusters:
        against = residency_allows(case, place) if place.name in names else None
        if against is not None and place.link is not Link.UNDECLARED:
            found[place.name] = (against, grace_of(wish, place))
    return found


def pinned_fit(pinned: ModelPlacementSpec) -> Fit:
    """Return what a pinned placement takes of its cluster."""
    worker, devices = pinned.worker, pinned.worker.accelerator
    return Fit(
        cpu=amount(worker.cpu),
        memory_bytes=memory_of(worker),
        devices=_devices(pinned.device_percent, devices.count if devices else 0),
        product=devices.class_ if devices else None,
        weights_bytes=pinned.weights.bytes or 0,
        digest=pinned.weights.sha256,
    )


def fit_of(found: Spot) -> Fit:
    """Return what a model takes of its cluster."""
    candidate, worker = found.question.candidate, found.worker
    return Fit(
        cpu=amount(worker.cpu),
        memory_bytes=memory_of(worker),
        devices=_devices(found.device_percent, candidate.devices if candidate.stock else 0),
        product=candidate.stock.product if candidate.stock else None,
        head_cpu=HEAD_CPU if found.new_pool else 0.0,
        head_memory_bytes=HEAD_MEMORY if found.new_pool else 0,
        weights_bytes=candidate.option.size.weights,
        spot=found,
    )


def _devices(percent: int | None, count: int) -> float:
    return percent / 100 if percent is not None else float(count)


def wish_of(
    spec: SmallModelSpec,
    around: Around,
    key: str,
    running: Sequence[Running] = (),
    past: Past = NO_PAST,
) -> Wish:
    """Return what a model asks of the clusters.

    Args:
        spec: What the user asks for.
        around: The clusters, and the data.
        key: The model's identity.
        running: Its copies.
        past: What the decisions before left.
    """
    scaling, bounds = spec.scaling, spec.placement
    return Wish(
        key=key,
        copies=bounds.copies,
        demand=Demand(least=scaling.min_replicas, most=scaling.max_replicas),
        laws=laws_of(spec, around.sources),
        reads=reads_of(spec, around.sources),
        clients=clients_of(bounds, around),
        bounds=bounds_of(bounds),
        incumbents=tuple(
            Incumbent(
                cluster=one.pinned.cluster,
                seconds=one.seconds,
                stands_in_for=one.stands_in_for,
            )
            for one in running
        ),
        leaving=past.leaving,
        failures=past.failures,
        substitutes=bounds.when_unreachable is WhenUnreachable.SUBSTITUTE,
        streak=past.streak,
        counts=past.counts,
    )


def _asked(resolved: ResolvedModel, spec: SmallModelSpec, namespace: str) -> str:
    """Return all that decides how a model fits into a cluster, beside the cluster."""
    parts = spec.model_dump_json(include={"resources", "isolation", "engine", "scaling"})
    card = resolved.card.metadata
    options = " ".join(map(_said_of, resolved.options))
    return f"{namespace} {parts} {card.name} {card.resource_version} {options}"


def _said_of(option: Option) -> str:
    """Return all of an option; its own `repr` takes several times as long."""
    rest = [getattr(option, name) for name in _BESIDE_VARIANT]
    return f"{option.variant.model_dump_json()} {rest}"


def unseen(place: Facts) -> Rejection:
    """Return what speaks against a cluster whose nodes nobody has seen yet."""
    return Rejection(
        code=Code.STALE_FACTS,
        message=f"The nodes of {place.name} have not been read yet; this goes on by itself.",
        holds=True,
        waits=True,
    )


def _lacking(
    decision: Decision,
    there: Mapping[str, Running],
    without_room: Mapping[str, Unplaced],
    copies: int,
) -> Unplaced | None:
    """Return why the spec is not carried out everywhere that it should be."""
    behind = frozenset(
        one.cluster
        for one in decision.chosen
        if one.fit is None and one.cluster in there and not there[one.cluster].settled
    )
    if not decision.missing and not behind:
        return None
    whys = [
        without_room.get(verdict.cluster) or _unplaced(verdict, verdict.against)
        for verdict in decision.verdicts
        if verdict.against is not None
        and (verdict.cluster in behind if verdict.selected else decision.missing)
    ]
    if decision.chosen and decision.missing:
        placed = f"{len(decision.chosen)} of {copies} copies are placed, each on its own cluster"
        nearest = _nearest(whys) if whys else None
        return Unplaced(
            reason=Reason.COPIES_LACKING,
            message=f"{placed}. {nearest.message if nearest else _NO_MORE}",
            waits=True,
        )
    if not whys:
        return Unplaced(reason=Reason.CLUSTER_NOT_OBSERVED, message=_NO_CLUSTER)
    return _together(whys, decision.summary)


def _unplaced(verdict: Verdict, against: Code) -> Unplaced:
    return Unplaced(reason=_REASONS[against], message=verdict.message, waits=verdict.waits)


def _nearest(found: Sequence[Unplaced]) -> Unplaced:
    return next((one for one in found if one.waits), found[0])


def _together(found: Sequence[Unplaced], summary: str) -> Unplaced:
    """Return why no cluster can serve a model: of one in its words, of several the nearest miss."""
    nearest = _nearest(found)
    if len(found) == 1:
        return nearest
    if len(found) <= _NAMED_MAX:
        return replace(nearest, message=" ".join(one.message for one in found))
    return replace(nearest, message=f"{summary}. The nearest: {nearest.message}")
