"""What one pass learns of a placement: its new status, and whether a request is to verify it."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.modelplacement import (
    ModelPlacementStatus,
    PlacedDeployment,
    PlacedProbe,
    Problem,
    Quarantine,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.reconcile.case import (
    BROKEN,
    QUARANTINE_SECONDS,
    Case,
    hash_in,
    is_quarantined,
    is_verified,
)
from smallmodel_operator.reconcile.clock import after, seconds_between
from smallmodel_operator.reconcile.orders import ProbeOrder
from smallmodel_operator.reconcile.sight import PoolSight
from smallmodel_operator.status.serve import ServedApplication

PROBE_RETRY_SECONDS: Final = 15.0
"""Pause after a verifying request that failed for a reason that may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one placement after the pass."""

    status: ModelPlacementStatus
    """Without conditions: they are made of it."""
    probe: ProbeOrder | None = None
    again: float | None = None


def learn(
    case: Case,
    pools: dict[str, PoolSight],
    answer: PlacedProbe | None,
    problem: Problem | None,
    now: str,
) -> Facts:
    """Return what is known of a placement now.

    Args:
        case: The placement, its weights and its pool.
        pools: Those that are there, by name.
        answer: What a verifying request came to since the last pass.
        problem: What keeps its pool from being made.
        now: RFC 3339 time.
    """
    before = case.status
    wanted = case.wanted_hash
    target = pools.get(case.pool)
    there = _deployment(case, target, before)
    probe = answer if answer is not None and answer.serving_hash == wanted else before.probe
    quarantine = _quarantine(before.quarantine, wanted, there, probe, now)
    known = before.model_copy(
        update={
            "observed_generation": case.placement.metadata.generation,
            "fetch": case.fetch.event,
            "fetch_job": case.fetch.job,
            "serving_hash": wanted,
            "problem": problem,
            "probe": probe,
            "quarantine": quarantine,
        }
    )
    verified = wanted is not None and is_verified(known, wanted)
    known = _in_its_place(case, known, there, pools, verified=verified, now=now)
    if quarantine is not None and is_quarantined(known, wanted, now):
        return Facts(status=known, again=max(1.0, seconds_between(now, quarantine.until)))
    order, again = _probe_order(case, known, there, target, verified=verified, now=now)
    return Facts(status=known, probe=order, again=again)


def _deployment(
    case: Case, target: PoolSight | None, before: ModelPlacementStatus
) -> PlacedDeployment | None:
    """Return what the assigned pool has of the model; what was known where Serve is silent."""
    if target is None:
        return None
    if target.applications is None:
        return before.deployment if before.pool == case.pool else None
    served = target.applications.get(case.name)
    if served is None or served.args is None:
        return None
    return _read(served, served_hash(served, target), before.deployment)


def served_hash(served: ServedApplication, pool: PoolSight) -> str:
    """Return the serving hash of what Serve was given for an application."""
    if served.args is None:
        return ""
    return hash_in(served.args, pool.live.template_hash)


def _read(
    served: ServedApplication, running: str, before: PlacedDeployment | None
) -> PlacedDeployment:
    # Serve calls every application deploying while any of them changes. One that it had running
    # with these arguments runs on meanwhile.
    goes_on = before is not None and before.healthy and before.serving_hash == running
    return PlacedDeployment(
        serving_hash=running,
        healthy=served.healthy or (goes_on and not served.failed),
        failed=served.failed,
        replicas=served.replicas,
        message=served.message,
    )


def _quarantine(
    before: Quarantine | None,
    wanted: str | None,
    there: PlacedDeployment | None,
    probe: PlacedProbe | None,
    now: str,
) -> Quarantine | None:
    """Return whether a revision that never worked is to leave its pool, and until when."""
    if wanted is None:
        return None
    held = before if before is not None and before.serving_hash == wanted else None
    if held is not None and now < held.until:
        return held
    probe = probe if probe is not None and probe.serving_hash == wanted else None
    if probe is not None and probe.passed:
        return None
    failure = _failure(there, probe, wanted, held)
    if failure is None:
        return held
    reason, message = failure
    attempts = held.attempts + 1 if held else 1
    pause = QUARANTINE_SECONDS[min(attempts, len(QUARANTINE_SECONDS)) - 1]
    return Quarantine(
        serving_hash=wanted,
        attempts=attempts,
        until=after(now, pause),
        reason=reason,
        message=message,
    )


def _failure(
    there: PlacedDeployment | None,
    probe: PlacedProbe | None,
    wanted: str,
    held: Quarantine | None,
) -> tuple[Reason, str] | None:
    if there is not None and there.failed and there.serving_hash == wanted:
        return Reason.DEPLOY_FAILED, there.message
    # An answer from before the quarantine says nothing of the new try.
    is_new = probe is not None and (held is None or probe.at >= held.until)
    if probe is not None and is_new and probe.reason in BROKEN:
        return probe.reason, probe.message
    return None


def _in_its_place(
    case: Case,
    known: ModelPlacementStatus,
    there: PlacedDeployment | None,
    pools: dict[str, PoolSight],
    *,
    verified: bool,
    now: str,
) -> ModelPlacementStatus:
    """Return the status with its pools: one move is add there, verify, switch, drain, leave."""
    moves_from = case.moves_from if case.moves_from in pools else None
    if moves_from is None or (verified and there is not None):
        left = {"leaving": moves_from, "left_at": now} if moves_from else _still_leaving(known, now)
        return known.model_copy(
            update={"pool": case.pool, "moving_to": None, "deployment": there, **left}
        )
    old = pools[moves_from]
    served = (old.applications or {}).get(case.name)
    deployment = _read(served, served_hash(served, old), known.deployment) if served else None
    return known.model_copy(
        update={
            "pool": moves_from,
            "moving_to": case.pool,
            "deployment": deployment or known.deployment,
        }
    )


def _still_leaving(known: ModelPlacementStatus, now: str) -> dict[str, str | None]:
    drained = known.left_at is not None and seconds_between(known.left_at, now) >= CLUSTER_DRAIN
    return {"leaving": None, "left_at": None} if drained else {}


def _probe_order(
    case: Case,
    known: ModelPlacementStatus,
    there: PlacedDeployment | None,
    target: PoolSight | None,
    *,
    verified: bool,
    now: str,
) -> tuple[ProbeOrder | None, float | None]:
    """Return the verifying request that is due, or when to look again for it."""
    planned, wanted = case.planned, case.wanted_hash
    if planned is None or wanted is None or verified or target is None or target.head is None:
        return None, None
    if there is None or not there.healthy or there.serving_hash != wanted:
        return None, None
    failed = known.probe
    if failed is not None and failed.serving_hash == wanted:
        rested = seconds_between(failed.at, now)
        if rested < PROBE_RETRY_SECONDS:
            return None, PROBE_RETRY_SECONDS - rested
    scaling = case.placement.spec.scaling
    return (
        ProbeOrder(
            model=case.name,
            pool=case.pool,
            address=target.head,
            task=planned.args.task,
            serving_hash=wanted,
            timeout=seconds(scaling.request_timeout),
            patience=seconds(scaling.start_timeout),
        ),
        None,
    )
