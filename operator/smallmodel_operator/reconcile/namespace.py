"""One pass over a namespace: its placements, pools and Jobs become orders.

The steps, each a function below: weights, assignment, facts, pools, and what is to go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    PlacedProbe,
    Problem,
)
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.assign import assign, model_id
from smallmodel_operator.plan.pools.fetchjob import build_fetch_job, job_name
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.moves import moves
from smallmodel_operator.plan.pools.template import refusal, template_hash
from smallmodel_operator.plan.pools.values import (
    LivePool,
    Manifest,
    PoolSettings,
    VolumeKind,
)
from smallmodel_operator.reconcile.case import Case, Stuck, case_of
from smallmodel_operator.reconcile.compaction import with_wishes
from smallmodel_operator.reconcile.facts import Facts, is_steady, learn, seen_in, stays
from smallmodel_operator.reconcile.leaving import doomed, released
from smallmodel_operator.reconcile.memory import Memory
from smallmodel_operator.reconcile.orders import NamespaceOrders, ProbeOrder
from smallmodel_operator.reconcile.pools import problems, wanted_pools
from smallmodel_operator.reconcile.recreate import without_outdated
from smallmodel_operator.reconcile.residency import refused_status, residency_problem
from smallmodel_operator.reconcile.sight import NamespaceSight, PoolSight
from smallmodel_operator.reconcile.weights import FetchStep, placement_fetch
from smallmodel_operator.status.placed import summarise_placement

_RELEASE_SECONDS = 2.0
"""Until the next look at what a deleted model has left in Serve."""


def decide_namespace(
    sight: NamespaceSight, settings: PoolSettings, now: str, memory: Memory | None = None
) -> NamespaceOrders:
    """Return what is to be written, in full.

    Args:
        sight: Everything that is known of the namespace.
        settings: The installation's choices.
        now: RFC 3339 time.
        memory: That of the passes before; it changes no result.
    """
    memory = memory or Memory()
    memory.begin()
    there = sorted(
        (p for p in sight.placements if not p.metadata.deletion_timestamp),
        key=lambda placement: placement.metadata.name,
    )
    refused = tuple(
        Stuck(placement=p, problem=problem)
        for p in there
        if (problem := residency_problem(p, sight.jurisdiction)) is not None
    )
    # To everything that follows they are not there, so they leave their pools at once.
    out = {each.placement.metadata.name for each in refused}
    staying = [p for p in there if p.metadata.name not in out]
    stuck = tuple(each for p in staying if (each := _stuck(p, sight, settings, memory)) is not None)
    whole = _with_wishes(sight, staying, settings, now)
    sight = without_outdated(whole, stuck, settings)
    held_up = {each.placement.metadata.name for each in stuck}
    cases = _cases(
        [p for p in staying if p.metadata.name not in held_up], sight, settings, now, memory
    )
    facts = _facts(cases, sight, now, memory)
    known = {name: fact.status for name, fact in facts.items()}
    wanted = wanted_pools(cases, stuck, known, sight, now, memory)
    may_write = not sight.ending and sight.missing_api is None
    gone = released(whole)
    asked = () if sight.ending else _one_for_each_pool(facts.values(), sight.probing)
    return NamespaceOrders(
        pools=tuple(
            pool for pool in wanted.pools if may_write and refusal(pool.key, settings) is None
        ),
        jobs=_jobs(sight.namespace, cases, settings) if may_write else (),
        wants_claim=bool(staying or sight.needed_jobs) and may_write,
        delete=doomed(whole, cases, wanted.names),
        statuses=_changed(cases, known)
        | _changed_stuck(stuck, now)
        | _changed_refused(refused, now),
        release=gone,
        probes=asked,
        again=_next_look(sight, cases, facts.values(), gone),
    )


def _stuck(
    placement: ModelPlacement, sight: NamespaceSight, settings: PoolSettings, memory: Memory
) -> Stuck | None:
    """Return why nothing can be done for a placement; None where something can."""
    pool = placement.status.pool
    if pool in sight.foreign and placement.status.deployment is not None:
        problem = Problem(
            reason=Reason.NAME_CONFLICT,
            message=f"The RayService {sight.namespace}/{pool} served the model and is not ours any "
            f"more. Give it back with `kubectl -n {sight.namespace} label rayservice {pool} "
            f"{LABEL_HUB}={settings.hub_id}`, or delete it: the model then gets another pool.",
        )
        return Stuck(placement=placement, problem=problem)
    refused = memory.recall(
        "refusal",
        placement.metadata.name,
        (placement.spec, settings),
        lambda: refusal(pool_key(placement), settings),
    )
    if refused is not None:
        problem = Problem(reason=Reason.ENGINE_NOT_INSTALLED, message=refused[:1024])
        return Stuck(placement=placement, problem=problem)
    return None


def _cases(
    staying: list[ModelPlacement],
    sight: NamespaceSight,
    settings: PoolSettings,
    now: str,
    memory: Memory,
) -> tuple[Case, ...]:
    live = {pool.live.name: pool.live for pool in sight.pools}
    fit = tuple(pool for pool in live.values() if refusal(pool.key, settings) is None)
    reserved = frozenset((sight.namespace, name) for name in sight.foreign | sight.nobodys)
    pools = dict(assign(staying, fit, settings, reserved=reserved))
    seated = [_seated(placement, pools[model_id(placement)]) for placement in staying]
    moving = moves(seated, fit, settings, reserved=reserved)
    pools |= {move.model: move.target for move in moving.now}
    waiting = frozenset(moving.waiting)
    cases = []
    for placement in staying:
        model = model_id(placement)
        inputs = (
            placement,
            _fetch(placement, sight, settings, now, memory),
            pools[model],
            _template_hash(live.get(pools[model]), placement, settings),
            _fetches(live.get(pools[model]), settings),
            model in waiting,
        )
        name = placement.metadata.name
        cases.append(memory.recall("case", name, inputs, partial(case_of, *inputs)))
    return tuple(cases)


def _fetch(
    placement: ModelPlacement,
    sight: NamespaceSight,
    settings: PoolSettings,
    now: str,
    memory: Memory,
) -> FetchStep:
    job = sight.jobs.get(job_name(placement.spec.weights)) if sight.jobs else None
    decide = partial(placement_fetch, placement, job, settings, now)
    if job is not None:
        return decide()
    # Without a Job, the time is of no account.
    return memory.recall("fetch", placement.metadata.name, (placement, settings), decide)


def _with_wishes(
    sight: NamespaceSight, staying: list[ModelPlacement], settings: PoolSettings, now: str
) -> NamespaceSight:
    fit = tuple(pool for pool in sight.pools if refusal(pool.live.key, settings) is None)
    wished = with_wishes(fit, staying, sight.answers, settings, now)
    marked = {pool.live.name: pool for pool in wished}
    pools = tuple(marked.get(pool.live.name, pool) for pool in sight.pools)
    return sight if pools == sight.pools else replace(sight, pools=pools)


def _seated(placement: ModelPlacement, pool: str) -> ModelPlacement:
    """Return the placement as it will be after this pass, so that its seat is not given twice."""
    status = placement.status
    if pool in (status.pool, status.moving_to):
        return placement
    told = {"moving_to" if status.pool else "pool": pool}
    return placement.model_copy(update={"status": status.model_copy(update=told)})


def _template_hash(pool: LivePool | None, placement: ModelPlacement, settings: PoolSettings) -> str:
    return pool.template_hash if pool else template_hash(pool_key(placement), settings)


def _fetches(pool: LivePool | None, settings: PoolSettings) -> bool:
    return pool.fetches if pool else settings.weights.kind is VolumeKind.POOL


def _jobs(namespace: str, cases: Iterable[Case], settings: PoolSettings) -> tuple[Manifest, ...]:
    """Return the fetch Jobs that are to be made: one for all models with the same weights."""
    missing = {case.fetch.job: case.fetch.pinned for case in cases if case.fetch.create}
    return tuple(build_fetch_job(namespace, missing[job], settings) for job in sorted(missing))


def _facts(
    cases: tuple[Case, ...], sight: NamespaceSight, now: str, memory: Memory
) -> dict[str, Facts]:
    """Return what is known of each case now, with its conditions, by the placement's name."""
    there = {pool.live.name: pool for pool in sight.pools}
    found = problems(cases, sight)
    facts = {}
    for case in cases:
        name = case.placement.metadata.name
        problem, answer = found.get(name), sight.answers.get(case.name)
        make = partial(_learned, case, there, answer, problem, now)
        if answer is None and is_steady(case):
            inputs = (case, problem, *seen_in(case, there.get(case.pool)))
            keep = partial(stays, case.status)
            facts[name] = memory.recall("facts", name, inputs, make, keep)
        else:
            facts[name] = make()
    return facts


def _learned(
    case: Case,
    there: Mapping[str, PoolSight],
    answer: PlacedProbe | None,
    problem: Problem | None,
    now: str,
) -> Facts:
    found = learn(case, there, answer, problem, now)
    status = _with_conditions(case.placement, found.status, now)
    # The same one where nothing changed, which is then seen at once.
    return replace(found, status=case.status if status == case.status else status)


def _changed(
    cases: Iterable[Case], known: Mapping[str, ModelPlacementStatus]
) -> dict[str, ModelPlacementStatus]:
    """Return the statuses that are to be written."""
    by_name = ((case.placement.metadata.name, case.status) for case in cases)
    return {name: known[name] for name, before in by_name if known[name] is not before}


def _changed_stuck(stuck: Iterable[Stuck], now: str) -> dict[str, ModelPlacementStatus]:
    changed = {}
    for each in stuck:
        placement = each.placement
        generation = placement.metadata.generation
        told = {"problem": each.problem, "observed_generation": generation}
        status = _with_conditions(placement, placement.status.model_copy(update=told), now)
        if status != placement.status:
            changed[placement.metadata.name] = status
    return changed


def _changed_refused(refused: Iterable[Stuck], now: str) -> dict[str, ModelPlacementStatus]:
    told = {
        each.placement.metadata.name: _with_conditions(
            each.placement, refused_status(each.placement, each.problem), now
        )
        for each in refused
    }
    before = {each.placement.metadata.name: each.placement.status for each in refused}
    return {name: status for name, status in told.items() if status != before[name]}


def _with_conditions(
    placement: ModelPlacement, status: ModelPlacementStatus, now: str
) -> ModelPlacementStatus:
    known = placement.model_copy(update={"status": status})
    made = summarise_placement(known, placement.status.conditions, now)
    return status.model_copy(update={"conditions": made})


def _one_for_each_pool(facts: Iterable[Facts], probing: frozenset[str]) -> tuple[ProbeOrder, ...]:
    """Return one order a pool, since two that load at once would each measure the other.

    Who waits longest is asked first, so that models that never answer keep nobody waiting.
    """
    first: dict[str, ProbeOrder] = {}
    orders = (fact.probe for fact in facts if fact.probe is not None)
    for order in sorted(orders, key=lambda order: (order.last_asked, order.model)):
        if order.pool not in probing:
            first.setdefault(order.pool, order)
    return tuple(first[pool] for pool in sorted(first))


def _next_look(
    sight: NamespaceSight,
    cases: Iterable[Case],
    facts: Iterable[Facts],
    gone: tuple[str, ...],
) -> float | None:
    pauses = [fact.again for fact in facts]
    pauses += [case.fetch.again for case in cases]
    leaving = (p.metadata.name for p in sight.placements if p.metadata.deletion_timestamp)
    if any(name not in gone for name in leaving):
        pauses.append(_RELEASE_SECONDS)
    return min((pause for pause in pauses if pause is not None), default=None)
