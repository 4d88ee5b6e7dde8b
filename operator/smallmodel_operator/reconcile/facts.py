"""What one pass learns of a placement: its new status, and whether a request is to verify it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.modelplacement import (
    ModelPlacementStatus,
    PlacedDeployment,
    PlacedProbe,
    Problem,
    Quarantine,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.reconcile.case import (
    BROKEN,
    QUARANTINE_SECONDS,
    Case,
    hash_in,
    is_quarantined,
    is_verified,
    once_verified,
)
from smallmodel_operator.reconcile.clock import after, seconds_between
from smallmodel_operator.reconcile.orders import ProbeOrder
from smallmodel_operator.reconcile.sight import PoolSight
from smallmodel_operator.status.serve import ServedApplication

PROBE_RETRY_SECONDS: Final = 15.0
"""Pause after a verifying request that failed for a reason that may pass."""

POLL_SECONDS: Final = 2.0
"""Between two looks at Serve while a model is on its way: Serve tells nobody of changes."""

STEADY_SECONDS: Final = 10.0
"""Between two looks at Serve while nothing is to be done: replicas come, go and fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one placement after the pass."""

    status: ModelPlacementStatus
    """As `learn` returns it without conditions: they are made of it."""
    probe: ProbeOrder | None = None
    again: float | None = None


def learn(
    case: Case,
    pools: Mapping[str, PoolSight],
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
    before, wanted = case.status, case.wanted_hash
    target = pools.get(case.pool)
    there = _deployment(case, target)
    fresh = _fresh(case, answer)
    quarantine = _quarantine(before, wanted, there, fresh, now)
    learned: dict[str, Any] = {
        "observed_generation": case.placement.metadata.generation,
        "fetch": case.fetch.event,
        "fetch_job": case.fetch.job,
        "serving_hash": wanted,
        "problem": problem,
        "probe": fresh or before.probe,
        "quarantine": quarantine,
    }
    answered = fresh is not None and fresh.passed
    if answered or is_verified(before, wanted):
        learned["verified_hash"] = wanted
    verified = answered or is_verified(before, wanted, case.moves_to)
    learned |= _in_its_place(case, there, pools, now, verified=verified)
    if _lost_its_weights(case, there, fresh, quarantine):
        # They are fetched again. The request that said so speaks of what was there before, and what
        # answered has to answer once more.
        learned |= {"fetch": None, "fetch_job": None, "probe": None}
    known = before.model_copy(update=learned)
    if quarantine is not None and is_quarantined(known, wanted, now):
        return Facts(status=known, again=_next_look_in_quarantine(known, quarantine, now))
    order, rest = _probe_order(case, known, there, target, now)
    pauses = [pause for pause in (rest, _next_look(known)) if pause is not None]
    return Facts(status=known, probe=order, again=min(pauses, default=None))


def is_steady(case: Case) -> bool:
    """Return whether what is learned of a placement depends on its assigned pool alone."""
    before = case.status
    return case.moves_from is None and before.leaving is None and before.quarantine is None


def seen_in(case: Case, pool: PoolSight | None) -> tuple[object, ...]:
    """Return everything that is looked at of the assigned pool."""
    if pool is None or pool.applications is None:
        return pool is None, None, None, None
    return False, pool.head, pool.live.template_hash, pool.applications.get(case.name)


def stays(before: ModelPlacementStatus, found: Facts) -> bool:
    """Return whether the same will be learned at any time, until something else changes."""
    answered = before.probe is None or before.probe.passed
    return answered and found.probe is None and found.status is before


def _fresh(case: Case, answer: PlacedProbe | None) -> PlacedProbe | None:
    """Return the answer, where it tells something new of what is to run."""
    before, wanted = case.status, case.wanted_hash
    if answer is None or answer.serving_hash != wanted or answer == before.probe:
        return None
    return None if is_verified(before, wanted, case.moves_to) else answer


def _deployment(case: Case, target: PoolSight | None) -> PlacedDeployment | None:
    """Return what the assigned pool has of the model; what was known where Serve is silent."""
    before = case.status
    if target is None:
        return None
    if target.applications is None:
        return before.deployment if before.pool == case.pool else None
    known = None if case.moves_from else before.deployment
    served = target.applications.get(case.name)
    if served is None:
        return None
    if case.planned is not None and served.args == case.planned.args:
        return _read(served, case.wanted_hash or "", known)
    return _read(served, _served_hash(served, target), known)


def _served_hash(served: ServedApplication, pool: PoolSight) -> str:
    """Return the serving hash of what Serve was given; nothing where Serve does not say."""
    return hash_in(served.args, pool.live.template_hash) if served.args else ""


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
        **_engine(served, before if goes_on else None),
    )


def _engine(served: ServedApplication, before: PlacedDeployment | None) -> dict[str, Any]:
    """Return what is known of the engine; what was known where nobody says."""
    told = served.engine
    if served.replicas == 0:
        return {}
    if told is not None:
        return {
            "engine": EngineState(told.state),
            "engine_reason": told.reason,
            "engine_message": told.message[:1024],
        }
    if before is None or before.replicas == 0:
        return {}
    return {
        "engine": before.engine,
        "engine_reason": before.engine_reason,
        "engine_message": before.engine_message,
    }


def _quarantine(
    before: ModelPlacementStatus,
    wanted: str | None,
    there: PlacedDeployment | None,
    fresh: PlacedProbe | None,
    now: str,
) -> Quarantine | None:
    """Return whether a revision that never worked is to leave its pool, and until when."""
    if wanted is None:
        # Its weights are on their way; how often it was tried stays known.
        return before.quarantine
    held = before.quarantine
    if held is not None and held.serving_hash != wanted:
        held = None
    if held is not None and now < held.until:
        return held
    if once_verified(before, wanted) or (fresh is not None and fresh.passed):
        return None
    failure = _failure(there, fresh, wanted, held)
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
    fresh: PlacedProbe | None,
    wanted: str,
    held: Quarantine | None,
) -> tuple[Reason, str] | None:
    if there is not None and there.failed and there.serving_hash == wanted:
        # Serve has words only, and those of the program that opens the weights begin with a reason.
        lost = Reason.WEIGHTS_MISSING in there.message
        return Reason.WEIGHTS_MISSING if lost else Reason.DEPLOY_FAILED, there.message
    # An answer from before the quarantine says nothing of the new try.
    if fresh is not None and (held is None or fresh.at >= held.until) and fresh.reason in BROKEN:
        return fresh.reason, fresh.message
    return None


def _lost_its_weights(
    case: Case,
    there: PlacedDeployment | None,
    fresh: PlacedProbe | None,
    quarantine: Quarantine | None,
) -> bool:
    """Return whether this pass learned that the fetched weights are gone."""
    before, wanted = case.status, case.wanted_hash
    if wanted is None:
        return False
    if not once_verified(before, wanted):
        return (
            quarantine is not None
            and quarantine != before.quarantine
            and quarantine.reason is Reason.WEIGHTS_MISSING
        )
    if fresh is not None and fresh.reason is Reason.WEIGHTS_MISSING:
        return True
    # Said once: until it answers again, engine and Serve go on to speak of what was lost.
    return _misses_weights(there, wanted) and not _misses_weights(before.deployment, wanted)


def _misses_weights(there: PlacedDeployment | None, wanted: str) -> bool:
    """Return whether what runs, or was to run, says that its weights are not there."""
    if there is None or there.serving_hash != wanted:
        return False
    if there.engine is EngineState.FAILED:
        return there.engine_reason is Reason.WEIGHTS_MISSING
    return there.failed and Reason.WEIGHTS_MISSING in there.message


def _in_its_place(
    case: Case,
    there: PlacedDeployment | None,
    pools: Mapping[str, PoolSight],
    now: str,
    *,
    verified: bool,
) -> dict[str, Any]:
    """Return what is known of its pools: one move is add there, verify, switch, drain, leave."""
    left = _still_leaving(case.status, pools, now)
    source = pools.get(case.moves_from) if case.moves_from else None
    if source is None or _has_nothing_of(source, case.name):
        return {"pool": case.pool, "moving_to": None, "deployment": there, **left}
    runs = there is not None and there.healthy and there.serving_hash == case.wanted_hash
    if left["leaving"] is None and runs and verified:
        return {
            "pool": case.pool,
            "moving_to": None,
            "deployment": there,
            "leaving": source.live.name,
            "left_at": now,
        }
    return {
        "pool": source.live.name,
        "moving_to": case.pool,
        "deployment": _deployment_before(case, source),
        **left,
    }


def _has_nothing_of(pool: PoolSight, model: str) -> bool:
    """Return whether a pool neither serves a model nor is to: nothing keeps the model there.

    A revision that never worked is such a model. It would keep a pool that serves nobody.
    """
    if model in pool.live.models or pool.applications is None:
        return False
    return model not in pool.applications


def _deployment_before(case: Case, source: PoolSight) -> PlacedDeployment | None:
    """Return what the pool that the model moves out of has of it."""
    if source.applications is None:
        return case.status.deployment
    served = source.applications.get(case.name)
    if served is None:
        return None
    return _read(served, _served_hash(served, source), case.status.deployment)


def _still_leaving(
    before: ModelPlacementStatus, pools: Mapping[str, PoolSight], now: str
) -> dict[str, Any]:
    gone = before.leaving not in pools
    if gone or before.left_at is None or seconds_between(before.left_at, now) >= CLUSTER_DRAIN:
        return {"leaving": None, "left_at": None}
    return {"leaving": before.leaving, "left_at": before.left_at}


def _next_look(known: ModelPlacementStatus) -> float | None:
    """Return when Serve is to be asked again, where nothing tells of what it will say."""
    there = known.deployment
    settled = there is not None and there.healthy and there.serving_hash == known.serving_hash
    if known.moving_to or known.leaving:
        return POLL_SECONDS
    if known.serving_hash is None:
        # The end of the fetch tells of itself.
        return STEADY_SECONDS if there is not None else None
    return STEADY_SECONDS if settled else POLL_SECONDS


def _next_look_in_quarantine(
    known: ModelPlacementStatus, quarantine: Quarantine, now: str
) -> float:
    """Return when Serve is to be asked again for a model whose present revision is out of it."""
    rest = max(1.0, seconds_between(now, quarantine.until))
    if known.leaving:
        return min(rest, POLL_SECONDS)
    # What runs meanwhile, if anything does, is an earlier revision in the pool before.
    return min(rest, STEADY_SECONDS) if known.deployment is not None else rest


def _probe_order(
    case: Case,
    known: ModelPlacementStatus,
    there: PlacedDeployment | None,
    target: PoolSight | None,
    now: str,
) -> tuple[ProbeOrder | None, float | None]:
    """Return the verifying request that is due, or when to look again for it."""
    planned, wanted = case.planned, case.wanted_hash
    if planned is None or wanted is None or is_verified(known, wanted, case.moves_to):
        return None, None
    if target is None or target.head is None or target.applications is None:
        return None, None
    if there is None or not there.healthy or there.serving_hash != wanted:
        return None, None
    scaling = case.placement.spec.scaling
    order = ProbeOrder(
        model=case.name,
        pool=case.pool,
        head=target.head,
        task=planned.args.task,
        serving_hash=wanted,
        timeout=seconds(scaling.request_timeout),
        patience=seconds(scaling.start_timeout),
    )
    failed = known.probe
    if failed is None or failed.passed or failed.serving_hash != wanted:
        return order, None
    rested = seconds_between(failed.at, now)
    if rested < PROBE_RETRY_SECONDS:
        return None, PROBE_RETRY_SECONDS - rested
    return replace(order, last_asked=failed.at), None
