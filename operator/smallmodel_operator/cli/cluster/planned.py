"""What a cluster's operator would decide of manifests, by the operator's own code."""

from collections.abc import Sequence
from dataclasses import dataclass

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.modelplacement import ModelPlacement, WorkerClass
from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_name
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.cli.cluster.observed import Observed
from smallmodel_operator.local.manifests import Manifest
from smallmodel_operator.plan.pools.assign import assign
from smallmodel_operator.reconcile.model import decide_model
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight
from smallmodel_operator.status.state import find
from smallmodel_operator.status.verdicts import needs_a_person


class PoolReport(ApiModel):
    """The RayService that would serve a model."""

    name: str
    is_new: bool


class ClusterModelPlan(ApiModel):
    """What would become of one SmallModel."""

    namespace: str
    name: str
    file: str
    change: str
    """What applying it would do."""
    reason: Reason
    message: str
    engine: Engine | None = None
    variant: str | None = None
    memory_bytes: int | None = None
    worker: WorkerClass | None = None
    max_replicas: int | None = None
    pool: PoolReport | None = None


class ClusterPlanReport(ApiModel):
    """What applying manifests would come to."""

    cluster: str
    nodes: int
    """Of those, that take pods."""
    operator_settings: str
    models: tuple[ClusterModelPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A manifest's SmallModel, as it would be on the API server, and what is there of it."""

    manifest: Manifest
    model: SmallModel
    """With the generation that it would have."""
    live: SmallModel | None
    secrets: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the operator would do with one SmallModel."""

    asked: Asked
    orders: ModelOrders
    placement: ModelPlacement | None
    """The new one, or the one that goes on."""
    reason: Reason
    message: str

    @property
    def refused(self) -> bool:
        """Whether it would not run until somebody changes something."""
        return self.placement is None and needs_a_person(self.reason)


def as_applied(model: SmallModel, live: SmallModel | None, namespace: str) -> SmallModel:
    """Return a manifest's SmallModel as the API server would have it."""
    generation = 1
    known = model.metadata
    if live is not None:
        generation = live.metadata.generation + (live.spec != model.spec)
        known = live.metadata.model_copy(
            update={
                "annotations": live.metadata.annotations | model.metadata.annotations,
                # One that is being deleted is followed by what the manifest asks for.
                "deletion_timestamp": None,
            }
        )
    metadata = known.model_copy(update={"namespace": namespace, "generation": generation})
    update: dict[str, object] = {"metadata": metadata}
    if live is not None:
        update["status"] = live.status
    return model.model_copy(update=update)


def decide(asked: Asked, observed: Observed, now: str) -> Decided:
    """Return what the operator would decide of a SmallModel.

    Args:
        asked: The SmallModel.
        observed: The cluster.
        now: RFC 3339 time.
    """
    metadata = asked.model.metadata
    name = placement_name(metadata.namespace, metadata.name)
    pinned = next((one for one in observed.placements if one.metadata.name == name), None)
    sight = ModelSight(
        model=asked.model,
        placements=(pinned,) if pinned else (),
        catalog=observed.catalog,
        views={LOCAL_CLUSTER: observed.view()},
        around=observed.around(metadata.namespace),
        secrets=asked.secrets,
        url=observed.settings.model_url(metadata.namespace, metadata.name),
        hub_id=observed.hub_id,
    )
    orders = decide_model(sight, observed.pool_settings, now)
    reason, message = _told(orders, asked)
    refused = reason not in (Reason.PLACED, Reason.WAITING)
    return Decided(
        asked=asked,
        orders=orders,
        placement=next(iter(orders.placements), None if refused else pinned),
        reason=reason,
        message=message,
    )


def report(decided: Sequence[Decided], observed: Observed) -> ClusterPlanReport:
    """Return the plan as it is printed."""
    pools = _pools(decided, observed)
    there = {(pool.key.namespace, pool.name) for pool in observed.pools}
    assumed = "the chart's defaults, since no operator's were found"
    return ClusterPlanReport(
        cluster=LOCAL_CLUSTER,
        nodes=sum(node.takes_pods for node in observed.view().nodes),
        operator_settings=assumed if observed.assumed else "those of its Deployment",
        models=tuple(_planned(one, pools, there) for one in decided),
    )


def _told(orders: ModelOrders, asked: Asked) -> tuple[Reason, str]:
    """Return what explains the decision: the placement, or what keeps it from being made."""
    status = orders.status or asked.model.status
    for kind in (ConditionType.RESOLVED, ConditionType.PLACED):
        condition = find(status, kind)
        if condition is not None and (condition.status != "True" or kind is ConditionType.PLACED):
            return Reason(condition.reason), condition.message
    return Reason.WAITING, "Nothing was decided"


def _pools(decided: Sequence[Decided], observed: Observed) -> dict[tuple[str, str], str]:
    """Return the pool of each model, the planned ones included."""
    made = {one.placement.metadata.name: one.placement for one in decided if one.placement}
    kept = (one for one in observed.placements if one.metadata.name not in made)
    assigned = assign([*kept, *made.values()], observed.pools, observed.pool_settings)
    return dict(assigned)


def _planned(
    one: Decided, pools: dict[tuple[str, str], str], there: set[tuple[str, str]]
) -> ClusterModelPlan:
    metadata, spec = one.asked.model.metadata, one.placement.spec if one.placement else None
    pool = pools.get((metadata.namespace, metadata.name)) if spec else None
    return ClusterModelPlan(
        namespace=metadata.namespace,
        name=metadata.name,
        file=one.asked.manifest.file,
        change=_change(one),
        reason=one.reason,
        message=one.message,
        engine=spec.engine if spec else None,
        variant=spec.variant if spec else None,
        memory_bytes=spec.args.memory_bytes if spec else None,
        worker=spec.worker if spec else None,
        max_replicas=spec.max_replicas if spec else None,
        pool=PoolReport(name=pool, is_new=(metadata.namespace, pool) not in there)
        if pool
        else None,
    )


def _change(one: Decided) -> str:
    if one.orders.fetch is not None:
        return "Weights are fetched first, and it is decided by what is in them"
    if one.placement is None:
        kept = ", and what runs goes on" if one.asked.live and one.asked.live.status.copies else ""
        return f"Nothing is served of it{kept}"
    if not one.orders.placements:
        return "None: this is decided already"
    return "Placed anew" if one.asked.live else "Placed"
