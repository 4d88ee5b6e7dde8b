"""What nobody needs any more, and which placements nothing is left of.

Unknown is not absent: a Serve that is silent may still have what its config lacks.
"""

from collections.abc import Iterable

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.reconcile.case import Case
from smallmodel_operator.reconcile.orders import Doomed
from smallmodel_operator.reconcile.sight import NamespaceSight, PoolSight


def doomed(
    sight: NamespaceSight, cases: Iterable[Case], wanted: frozenset[str]
) -> tuple[Doomed, ...]:
    """Return what is to go: pools without a model, Jobs that did their work, an unused claim.

    Args:
        sight: Everything that is known of the namespace.
        cases: Placements that stay.
        wanted: Names of the pools that somebody needs.
    """
    pools = _doomed_pools(sight, wanted)
    found = [
        *(Doomed(kind="RayService", name=name) for name in pools),
        *(Doomed(kind="Job", name=name) for name in _doomed_jobs(sight, cases)),
    ]
    if _is_left(sight):
        found.append(Doomed(kind="PersistentVolumeClaim", name=""))
    return tuple(found)


def released(sight: NamespaceSight) -> tuple[str, ...]:
    """Return the placements that are being deleted and of which nothing is left.

    The last ones are held until the namespace has no pool any more: with them goes what all had.
    """
    if _is_done(sight) and (sight.pools or sight.nobodys):
        return ()
    return tuple(
        placement.metadata.name
        for placement in sorted(sight.placements, key=lambda each: each.metadata.name)
        if placement.metadata.deletion_timestamp
        and FINALIZER in placement.metadata.finalizers
        and not any(_still_has(pool, placement) for pool in sight.pools)
    )


def _still_has(pool: PoolSight, placement: ModelPlacement) -> bool:
    name, status = placement.spec.model.name, placement.status
    if name in pool.live.models:
        return True
    if pool.applications is not None:
        return name in pool.applications
    was_there = pool.live.name in (status.pool, status.moving_to, status.leaving)
    return was_there and status.deployment is not None


def _doomed_pools(sight: NamespaceSight, wanted: frozenset[str]) -> list[str]:
    there = {pool.live.name for pool in sight.pools}
    going = {pool.live.name for pool in sight.pools if pool.live.deleting}
    # A pool whose RayService somebody deleted by hand left its Secret and its fence.
    named = {
        name
        for placement in sight.placements
        if placement.metadata.deletion_timestamp
        for name in (placement.status.pool, placement.status.moving_to, placement.status.leaving)
        if name is not None
    }
    nobodys = frozenset() if sight.unread else sight.nobodys
    return sorted((there | named | nobodys | sight.ended) - wanted - going - sight.foreign)


def _doomed_jobs(sight: NamespaceSight, cases: Iterable[Case]) -> list[str]:
    if not sight.jobs:
        return []
    steps = [case.fetch for case in cases]
    going = {
        name
        for name, job in sight.jobs.items()
        if job.manifest["metadata"].get("deletionTimestamp")
    }
    again = {step.job for step in steps if step.retry}
    needed = sight.needed_jobs | {step.job for step in steps if not step.done}
    # A placement that cannot be read may need any of them.
    unneeded = set() if sight.unread else sight.jobs.keys() - needed
    return sorted((unneeded | (again & sight.jobs.keys())) - going)


def _is_left(sight: NamespaceSight) -> bool:
    """Return whether the namespace has nothing to do with models any more, and had until now."""
    if sight.pools or sight.nobodys or not (sight.placements or sight.jobs):
        return False
    return _is_done(sight)


def _is_done(sight: NamespaceSight) -> bool:
    """Return whether no model is to be served or fetched in the namespace."""
    staying = any(not placement.metadata.deletion_timestamp for placement in sight.placements)
    return not (staying or sight.unread or sight.needed_jobs)
