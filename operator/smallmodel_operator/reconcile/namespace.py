"""One pass over a namespace: its placements, pools and Jobs become orders.

The steps, each a function below: weights, assignment, pools, facts, and what is to go.
"""

from collections.abc import Iterable, Mapping

from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.pools.assign import assign, model_id
from smallmodel_operator.plan.pools.fetchjob import job_name
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.moves import moves
from smallmodel_operator.plan.pools.names import template_hash
from smallmodel_operator.plan.pools.values import (
    ClusterPool,
    KeptApplication,
    LivePool,
    PoolKey,
    PoolSettings,
)
from smallmodel_operator.reconcile.case import Case, model_in
from smallmodel_operator.reconcile.facts import Facts, learn
from smallmodel_operator.reconcile.orders import Doomed, NamespaceOrders, ProbeOrder
from smallmodel_operator.reconcile.sight import NamespaceSight, PoolSight
from smallmodel_operator.reconcile.weights import fetch_step
from smallmodel_operator.status.placed import summarise_placement

_WATCHED_BY_POLLING = 2.0
"""Seconds between two looks at Serve while a model is on its way there."""


def decide_namespace(sight: NamespaceSight, settings: PoolSettings, now: str) -> NamespaceOrders:
    """Return what is to be written, in full.

    Args:
        sight: Everything that is known of the namespace.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    staying = tuple(p for p in sight.placements if not p.metadata.deletion_timestamp)
    pools = {pool.live.name: pool for pool in sight.pools}
    cases = _cases(staying, sight, settings, now)
    wanted = _wanted_pools(cases, pools, now)
    problems = _problems(cases, pools, sight)
    facts = {
        case.placement.metadata.name: learn(
            case, pools, sight.answers.get(case.name), problems.get(case.pool), now
        )
        for case in cases
    }
    may_write = not sight.ending and sight.missing_api is None
    return NamespaceOrders(
        pools=tuple(pool for pool in wanted if may_write and pool.name not in sight.foreign),
        jobs=tuple(case.fetch.create for case in cases if case.fetch.create and may_write),
        wants_claim=bool(staying) and may_write,
        delete=_doomed(sight, staying, cases, wanted),
        statuses=_changed(cases, facts, now),
        release=_released(sight, pools),
        probes=_one_for_each_pool((f.probe for f in facts.values() if f.probe), sight.probing),
        again=_next_look(sight, cases, facts),
    )


def _cases(
    staying: tuple[ModelPlacement, ...], sight: NamespaceSight, settings: PoolSettings, now: str
) -> tuple[Case, ...]:
    live = {pool.live.name: pool.live for pool in sight.pools}
    pools = dict(assign(staying, tuple(live.values()), settings))
    moving = moves(staying, tuple(live.values()), settings)
    pools |= {move.model: move.target for move in moving.now}
    return tuple(
        Case(
            placement=placement,
            fetch=fetch_step(placement, sight.jobs.get(job_name(placement)), settings, now),
            pool=pools[model_id(placement)],
            template_hash=_template_hash(live.get(pools[model_id(placement)]), placement, settings),
            waits_to_move=model_id(placement) in moving.waiting,
        )
        for placement in sorted(staying, key=lambda p: p.metadata.name)
    )


def _template_hash(pool: LivePool | None, placement: ModelPlacement, settings: PoolSettings) -> str:
    return pool.template_hash if pool else template_hash(pool_key(placement), settings)


def _wanted_pools(
    cases: tuple[Case, ...], pools: Mapping[str, PoolSight], now: str
) -> tuple[ClusterPool, ...]:
    """Return every pool that is to be, with all of its models."""
    keys = {case.pool: pool_key(case.placement) for case in cases}
    for case in cases:
        for name in filter(None, (case.status.pool, case.status.leaving)):
            if name in pools:
                keys[name] = pools[name].live.key
    return tuple(
        _wanted_pool(name, key, cases, pools.get(name), now)
        for name, key in sorted(keys.items(), key=lambda item: item[0])
    )


def _wanted_pool(
    name: str, key: PoolKey, cases: tuple[Case, ...], there: PoolSight | None, now: str
) -> ClusterPool:
    if there is None or not there.established:
        # One broken application in the first config, and KubeRay never makes the Services.
        return ClusterPool(key=key, name=name, models=())
    found = [model_in(case, there.live, there.manifest, now) for case in cases]
    return ClusterPool(
        key=key,
        name=name,
        models=tuple(model for model in found if isinstance(model, PlannedModel)),
        kept=tuple(model for model in found if isinstance(model, KeptApplication)),
        contract=there.live.contract,
    )


def _problems(
    cases: tuple[Case, ...], pools: Mapping[str, PoolSight], sight: NamespaceSight
) -> dict[str, Problem]:
    """Return, by pool, what keeps it from being made or from being ready."""
    found = {}
    for name in {case.pool for case in cases}:
        if sight.missing_api is not None:
            found[name] = Problem(reason=Reason.API_MISSING, message=sight.missing_api)
        elif sight.ending:
            found[name] = Problem(
                reason=Reason.NAMESPACE_ENDING,
                message=f"The namespace {sight.namespace} is being deleted.",
            )
        elif name in sight.refused:
            found[name] = sight.refused[name]
        elif name in sight.foreign:
            found[name] = Problem(
                reason=Reason.NAME_CONFLICT,
                message=f"A RayService {sight.namespace}/{name} exists that is not ours; rename or "
                "delete it.",
            )
        elif name not in pools or not pools[name].established or pools[name].live.deleting:
            found[name] = Problem(
                reason=Reason.POOL_STARTING, message=f"The pool {name} is starting."
            )
    return found


def _doomed(
    sight: NamespaceSight,
    staying: tuple[ModelPlacement, ...],
    cases: tuple[Case, ...],
    wanted: tuple[ClusterPool, ...],
) -> tuple[Doomed, ...]:
    """Return what nobody needs: pools without a model, and Jobs that have done their work."""
    names = {pool.name for pool in wanted}
    kept_jobs = {case.fetch.job for case in cases if not case.fetch.delete}
    doomed = [
        *(
            Doomed(kind="RayService", name=pool.live.name)
            for pool in sight.pools
            if pool.live.name not in names and not pool.live.deleting
        ),
        *(
            Doomed(kind="Job", name=name)
            for name, job in sorted(sight.jobs.items())
            if name not in kept_jobs and not job.manifest["metadata"].get("deletionTimestamp")
        ),
    ]
    if not staying and not sight.pools and sight.placements:
        doomed.append(Doomed(kind="PersistentVolumeClaim", name=""))
    return tuple(doomed)


def _released(sight: NamespaceSight, pools: Mapping[str, PoolSight]) -> tuple[str, ...]:
    """Return the placements that are being deleted and of which nothing is left."""
    return tuple(
        placement.metadata.name
        for placement in sight.placements
        if placement.metadata.deletion_timestamp
        and not any(_still_has(pool, placement.spec.model.name) for pool in pools.values())
    )


def _still_has(pool: PoolSight, model: str) -> bool:
    if model in pool.live.models:
        return True
    if pool.applications is None:
        # Serve is silent: whether the application is gone is not known, unless its pool goes too.
        return not pool.live.deleting and pool.established
    return model in pool.applications


def _changed(
    cases: tuple[Case, ...], facts: Mapping[str, Facts], now: str
) -> dict[str, ModelPlacementStatus]:
    changed = {}
    for case in cases:
        name = case.placement.metadata.name
        known = case.placement.model_copy(update={"status": facts[name].status})
        made = summarise_placement(known, case.status.conditions, now)
        status = known.status.model_copy(update={"conditions": made})
        if status != case.status:
            changed[name] = status
    return changed


def _one_for_each_pool(
    orders: Iterable[ProbeOrder], probing: frozenset[str]
) -> tuple[ProbeOrder, ...]:
    """Return one order a pool, since two that load at once would each measure the other."""
    first: dict[str, ProbeOrder] = {}
    for order in orders:
        if order.pool not in probing:
            first.setdefault(order.pool, order)
    return tuple(first.values())


def _next_look(
    sight: NamespaceSight, cases: tuple[Case, ...], facts: Mapping[str, Facts]
) -> float | None:
    pauses = [fact.again for fact in facts.values() if fact.again is not None]
    pauses += [case.fetch.again for case in cases if case.fetch.again is not None]
    on_the_way = [
        case
        for case in cases
        if (status := facts[case.placement.metadata.name].status).deployment is None
        or status.deployment.serving_hash != status.serving_hash
        or not status.deployment.healthy
        or status.moving_to
        or status.leaving
    ]
    leaving = any(p.metadata.deletion_timestamp for p in sight.placements)
    if on_the_way or leaving:
        pauses.append(_WATCHED_BY_POLLING)
    return min(pauses, default=None)
