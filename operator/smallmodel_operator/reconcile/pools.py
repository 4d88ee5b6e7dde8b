"""Every pool that is to be, with all of its models, and what keeps a pool from being."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.pools.live import pool_key
from smallmodel_operator.plan.pools.rayservice import applications_in
from smallmodel_operator.plan.pools.values import ClusterPool, KeptApplication, PoolKey
from smallmodel_operator.reconcile.case import Case, Stuck, is_quarantined, once_verified
from smallmodel_operator.reconcile.images import pull_failure
from smallmodel_operator.reconcile.memory import Memory
from smallmodel_operator.reconcile.sight import SHARED, NamespaceSight, PoolSight

_WORDS_MAX: Final = 600
"""Characters of the scheduler's words, which name every taint that some node has."""


@dataclass(slots=True)
class _Members:
    """Who is in a pool, or on the way into it or out of it."""

    assigned: list[Case] = field(default_factory=list)
    served: list[Case] = field(default_factory=list)
    """Those that it serves until they moved away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPools:
    """What is to be written, and what is to be left as it is."""

    pools: tuple[ClusterPool, ...]
    names: frozenset[str]
    """Of all pools that somebody needs, also of those that are not to be written now."""


def wanted_pools(
    cases: Iterable[Case],
    stuck: Iterable[Stuck],
    statuses: Mapping[str, ModelPlacementStatus],
    sight: NamespaceSight,
    now: str,
    memory: Memory,
) -> WantedPools:
    """Return every pool that is to be.

    Args:
        cases: Placements that stay.
        stuck: Placements whose pools are left as they are.
        statuses: What is known of the cases now, by the placement's name.
        sight: Everything that is known of the namespace.
        now: RFC 3339 time.
        memory: That of the passes before.
    """
    there = {pool.live.name: pool for pool in sight.pools}
    members: dict[str, _Members] = defaultdict(_Members)
    for case in cases:
        members[case.pool].assigned.append(case)
        status = statuses[case.placement.metadata.name]
        for name in {status.pool, status.leaving} - {None, case.pool}:
            members[str(name)].served.append(case)
    for name, pool in there.items():
        if pool.live.models & sight.unread:
            # Named, so that it stays; what it is to have of them is what it has.
            members.setdefault(name, _Members())
    untouched = {name for each in stuck for name in each.pools}
    built = [
        _pool(name, members[name], there.get(name), statuses, sight.unread, now, memory)
        for name in sorted(members.keys() - untouched)
    ]
    return WantedPools(
        pools=tuple(pool for pool in built if pool is not None),
        names=frozenset(members) | untouched,
    )


def _pool(
    name: str,
    members: _Members,
    there: PoolSight | None,
    statuses: Mapping[str, ModelPlacementStatus],
    unread: frozenset[str],
    now: str,
    memory: Memory,
) -> ClusterPool | None:
    if there is None:
        # One broken application in the first config, and KubeRay never makes the Services.
        return ClusterPool(key=_key(members, None), name=name, models=())
    if there.live.deleting:
        return None
    if not there.established:
        return ClusterPool(
            key=_key(members, there),
            name=name,
            models=(),
            contract=there.live.contract,
            declined=there.live.wish is not None,
        )
    fetching = [case for case in members.assigned if case.planned is None]
    as_they_run = {case.name for case in (*members.served, *fetching)} | unread
    if there.foreign_config and as_they_run:
        # How those run that are to go on is not known, so nothing is written in their place.
        return None
    models = tuple(
        model
        for case in members.assigned
        if (model := _model(case, statuses[case.placement.metadata.name], now, memory))
    )

    def made() -> ClusterPool:
        return ClusterPool(
            key=_key(members, there),
            name=name,
            models=models,
            kept=_kept(there, as_they_run),
            contract=there.live.contract,
            declined=there.live.wish is not None and not there.live.emptying,
        )

    if as_they_run:
        return made()
    return memory.recall("pool", name, (there.live, tuple(members.assigned), models), made)


def _key(members: _Members, there: PoolSight | None) -> PoolKey:
    """Return the pool's key, with as many workers as its models were promised."""
    live = [there.live.key] if there is not None else []
    asked = [pool_key(case.placement) for case in members.assigned]
    key = [*live, *asked][0]
    most = max(each.worker.max_workers for each in asked or live)
    return replace(key, worker=key.worker.model_copy(update={"max_workers": most}))


def _model(
    case: Case, status: ModelPlacementStatus, now: str, memory: Memory
) -> PlannedModel | None:
    """Return the model as its pool is to have it, or None where the pool is not to have it."""
    if case.planned is None or is_quarantined(status, case.wanted_hash, now):
        return None
    planned, verified = case.planned, once_verified(status, case.wanted_hash)
    return memory.recall(
        "planned", case.name, (planned, verified), lambda: replace(planned, verified=verified)
    )


def _kept(there: PoolSight, names: set[str]) -> tuple[KeptApplication, ...]:
    """Return what goes on exactly as it runs."""
    if not names:
        return ()
    return tuple(each for each in applications_in(there.manifest) if each.name in names)


def problems(cases: Iterable[Case], sight: NamespaceSight) -> dict[str, Problem]:
    """Return, by the placement's name, what keeps a model from being served as it is wanted."""
    cases = tuple(cases)
    there = {pool.live.name: pool for pool in sight.pools}
    pools = {name: _problem(name, there.get(name), sight) for name in {c.pool for c in cases}}
    found = {}
    for case in cases:
        problem = _refused_job(case, sight) or pools[case.pool]
        if problem is None and case.waits_to_move:
            problem = _waits_to_move(case)
        if problem is not None:
            found[case.placement.metadata.name] = problem
    return found


def _refused_job(case: Case, sight: NamespaceSight) -> Problem | None:
    """Return what is said against the Job that is to fetch the model's weights."""
    return sight.refused.get(case.fetch.job) if case.fetch.create else None


def _problem(name: str, pool: PoolSight | None, sight: NamespaceSight) -> Problem | None:
    if sight.ending:
        return Problem(
            reason=Reason.NAMESPACE_ENDING,
            message=f"The namespace {sight.namespace} is being deleted.",
        )
    if sight.missing_api is not None:
        return Problem(reason=Reason.API_MISSING, message=sight.missing_api)
    for refused in (SHARED, name):
        if refused in sight.refused:
            return sight.refused[refused]
    if pool is not None and pool.unpulled is not None and not pool.live.deleting:
        return Problem(
            reason=Reason.IMAGE_PULL_FAILED,
            message=pull_failure(pool.unpulled, f"the pool {name}"),
        )
    if pool is None or not pool.established:
        return Problem(reason=Reason.POOL_STARTING, message=_starting(name, pool))
    if pool.live.deleting:
        return Problem(
            reason=Reason.POOL_STARTING,
            message=f"The pool {name} is being deleted, and is made anew once it is gone.",
        )
    if pool.barred is not None:
        return Problem(
            reason=Reason.FORBIDDEN,
            message=f"Nothing is known of the models in the pool {name}: {pool.barred}"[:1024],
        )
    return None


def _starting(name: str, pool: PoolSight | None) -> str:
    if pool is None or pool.unscheduled is None:
        return f"The pool {name} is starting."
    words = pool.unscheduled[:_WORDS_MAX].rstrip(". ")
    return (
        f"The pool {name} waits for a node that has room for its pods; the scheduler says: "
        f"{words}. Add a node or make room, and this goes on by itself."
    )


def _waits_to_move(case: Case) -> Problem:
    """Return what a model says that goes on in a pool with an outdated template."""
    return Problem(
        reason=Reason.UPGRADE_WAITING,
        message=f"The pool {case.pool} was made from an earlier template, and goes on to serve the "
        "model until it moves to a new one: models move one at a time, and when there is room.",
    )
