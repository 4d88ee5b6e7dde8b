"""Placing among clusters: which of them serves a resolved model and how, or why none can."""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import ModelPlacementSpec
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.facts import Facts, Place
from smallmodel_operator.placement.choice.filters import Rejection
from smallmodel_operator.placement.choice.money import Fit, market_of
from smallmodel_operator.placement.choice.wish import Demand, Incumbent, Policy, Wish
from smallmodel_operator.placement.cluster import ClusterPlacement, place_in_cluster
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY, memory_of
from smallmodel_operator.placement.placement import Unplaced

_POLICY: Final = Policy()


def place_among(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    clusters: Sequence[ClusterView],
    *,
    namespace: str,
    key: str,
    incumbent: ModelPlacementSpec | None = None,
) -> ClusterPlacement | Unplaced:
    """Return which cluster serves a resolved model and how, or why none can.

    Nothing is declared of clusters beside what is seen of their nodes, so what they cost is
    assumed, and only room can speak against one.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        clusters: Those that were seen, at least one.
        namespace: The model's: a pool of it that has a seat needs no further head.
        key: The model's identity, which breaks ties.
        incumbent: What runs now, for an earlier spec. It is kept where the changed spec allows it.
    """
    unplaced: dict[str, Unplaced] = {}

    def fitter(place: Place) -> Fit | Rejection:
        runs = incumbent is not None and incumbent.cluster == place.name
        found = place_in_cluster(
            resolved,
            spec,
            place.view,
            namespace=namespace,
            incumbent=incumbent if runs else None,
        )
        if isinstance(found, ClusterPlacement):
            return fit_of(found)
        unplaced[place.name] = found
        return Rejection(code=Code(found.reason), message=found.message, waits=found.waits)

    places = tuple(Place(facts=Facts(name=view.name), view=view) for view in clusters)
    wish = _wish(spec, key, incumbent)
    decision = decide(wish, market_of(places), fitter, _POLICY)
    for chosen in decision.chosen:
        if chosen.fit is not None and chosen.fit.placement is not None:
            return chosen.fit.placement
    return _together([unplaced[verdict.cluster] for verdict in decision.verdicts])


def fit_of(found: ClusterPlacement) -> Fit:
    """Return what a placement takes of its cluster."""
    placement, worker = found.placement, found.worker
    devices = placement.accelerator
    part = placement.device_percent
    return Fit(
        cpu=amount(worker.cpu),
        memory_bytes=memory_of(worker),
        devices=part / 100 if part is not None else float(devices.count if devices else 0),
        product=devices.class_ if devices else None,
        head_cpu=HEAD_CPU if found.new_pool else 0.0,
        head_memory_bytes=HEAD_MEMORY if found.new_pool else 0,
        weights_bytes=placement.option.size.weights,
        placement=found,
    )


def _wish(spec: SmallModelSpec, key: str, incumbent: ModelPlacementSpec | None) -> Wish:
    scaling = spec.scaling
    return Wish(
        key=key,
        demand=Demand(least=scaling.min_replicas, most=scaling.max_replicas),
        # For how long it is there nobody counts yet; a move for money waits until somebody does.
        incumbents=(Incumbent(cluster=incumbent.cluster, seconds=0.0),) if incumbent else (),
    )


def _together(found: Sequence[Unplaced]) -> Unplaced:
    """Return why no cluster can serve a model: of one in its words, of several the nearest miss."""
    nearest = next((one for one in found if one.waits), found[0])
    if len(found) == 1:
        return nearest
    return Unplaced(
        reason=nearest.reason,
        message=" ".join(one.message for one in found),
        rejected=nearest.rejected,
        waits=nearest.waits,
    )
