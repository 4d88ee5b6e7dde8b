"""Placing among clusters: which of them serves a resolved model and how, or why none can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import ModelPlacementSpec, WorkerClass
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, SmallModelSpec
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.choice.facts import Facts
from smallmodel_operator.placement.choice.filters import Rejection
from smallmodel_operator.placement.choice.money import Fit, Market, market_of
from smallmodel_operator.placement.choice.wish import Demand, Incumbent, Wish
from smallmodel_operator.placement.cluster import ClusterPlacement, place_in_cluster
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY, memory_of
from smallmodel_operator.placement.declared import (
    Around,
    bounds_of,
    laws_of,
    missing_source,
    reads_of,
)
from smallmodel_operator.placement.placement import Unplaced

_REASONS: Final[dict[Code, Reason]] = {
    Code.RESIDENCY_FORBIDDEN: Reason.RESIDENCY_FORBIDDEN,
    Code.NOT_SELECTED: Reason.NOT_SELECTED,
    Code.TAINTED: Reason.TAINTED,
    Code.UPLINK_CAPACITY: Reason.UPLINK_CAPACITY,
    Code.CARBON_CAP: Reason.CARBON_CAP,
    Code.COST_CAP: Reason.COST_CAP,
}
"""What can speak against a cluster beside room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What came of placing, and what was said of each cluster."""

    outcome: ClusterPlacement | Unplaced
    decision: Decision | None
    """None: it did not come to that."""


def place_among(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    around: Around,
    views: Mapping[str, ClusterView],
    *,
    namespace: str,
    key: str,
    incumbent: ModelPlacementSpec | None = None,
) -> Placed:
    """Return which cluster serves a resolved model and how, or why none can.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        around: The clusters, and the data.
        views: What was seen of the nodes and pools of each of these clusters.
        namespace: The model's: a pool of it that has a seat needs no further head.
        key: The model's identity, which breaks ties.
        incumbent: What runs now, for an earlier spec. It is kept where the changed spec allows it.
    """
    missing = missing_source(spec, around)
    if missing is not None:
        unplaced = Unplaced(reason=Reason.DATA_SOURCE_MISSING, message=missing)
        return Placed(outcome=unplaced, decision=None)
    without_room: dict[str, Unplaced] = {}

    def fitter(place: Facts) -> Fit | Rejection:
        runs = incumbent is not None and incumbent.cluster == place.name
        found = place_in_cluster(
            resolved,
            spec,
            views[place.name],
            namespace=namespace,
            incumbent=incumbent if runs else None,
        )
        if isinstance(found, ClusterPlacement):
            return fit_of(found)
        without_room[place.name] = found
        return Rejection(code=Code(found.reason), message=found.message, waits=found.waits)

    wish = wish_of(spec, around, key, incumbent)
    decision = decide(wish, _market(around), fitter, around.policy)
    for chosen in decision.chosen:
        if chosen.fit is not None and chosen.fit.placement is not None:
            return Placed(outcome=chosen.fit.placement, decision=decision)
    whys = [
        without_room.get(verdict.cluster)
        or Unplaced(reason=_REASONS[verdict.against], message=verdict.message, waits=verdict.waits)
        for verdict in decision.verdicts
        if verdict.against is not None
    ]
    return Placed(outcome=_together(whys), decision=decision)


def weigh_running(
    pinned: ModelPlacementSpec, spec: SmallModelSpec, around: Around, *, key: str
) -> Decision:
    """Return what is to be said now of where a model runs: what it costs, and whether it may.

    Args:
        pinned: What runs.
        spec: What the user asks for.
        around: The clusters, and the data.
        key: The model's identity.
    """
    fit = pinned_fit(pinned)
    wish = wish_of(spec, around, key, pinned)
    return decide(wish, _market(around), lambda place: fit, around.policy)


def pinned_fit(pinned: ModelPlacementSpec) -> Fit:
    """Return what a pinned placement takes of its cluster."""
    return replace(
        _taken(pinned.worker, pinned.worker.accelerator, pinned.device_percent),
        weights_bytes=pinned.weights.bytes or 0,
        digest=pinned.weights.sha256,
    )


def fit_of(found: ClusterPlacement) -> Fit:
    """Return what a placement takes of its cluster."""
    placement = found.placement
    return replace(
        _taken(found.worker, placement.accelerator, placement.device_percent),
        head_cpu=HEAD_CPU if found.new_pool else 0.0,
        head_memory_bytes=HEAD_MEMORY if found.new_pool else 0,
        weights_bytes=placement.option.size.weights,
        placement=found,
    )


def _market(around: Around) -> Market:
    return market_of(around.clusters, around.tables)


def _taken(worker: WorkerClass, devices: Accelerator | None, percent: int | None) -> Fit:
    return Fit(
        cpu=amount(worker.cpu),
        memory_bytes=memory_of(worker),
        devices=percent / 100 if percent is not None else float(devices.count if devices else 0),
        product=devices.class_ if devices else None,
    )


def wish_of(
    spec: SmallModelSpec, around: Around, key: str, incumbent: ModelPlacementSpec | None
) -> Wish:
    """Return what a model asks of the clusters.

    Args:
        spec: What the user asks for.
        around: The clusters, and the data.
        key: The model's identity.
        incumbent: What runs now.
    """
    scaling = spec.scaling
    return Wish(
        key=key,
        demand=Demand(least=scaling.min_replicas, most=scaling.max_replicas),
        laws=laws_of(spec, around.sources),
        reads=reads_of(spec, around.sources),
        bounds=bounds_of(spec.placement),
        # For how long it is there nobody counts yet; a move for money waits until somebody does.
        incumbents=(Incumbent(cluster=incumbent.cluster, seconds=0.0),) if incumbent else (),
    )


def _together(found: Sequence[Unplaced]) -> Unplaced:
    """Return why no cluster can serve a model: of one in its words, of several the nearest miss."""
    nearest = next((one for one in found if one.waits), found[0])
    if len(found) == 1:
        return nearest
    return replace(nearest, message=" ".join(one.message for one in found))
