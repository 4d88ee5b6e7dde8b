"""One placement in a pass: what it asks for, where it is, and whether it may be served."""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus, Problem
from smallmodel_operator.api.names import short_hash
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelArgs
from smallmodel_operator.plan.build import arguments_hash
from smallmodel_operator.plan.placements import planned_model
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.pools.weights import weights_source
from smallmodel_operator.reconcile.weights import FetchStep

QUARANTINE_SECONDS: Final = (60.0, 300.0, 1800.0)
"""Pauses before a revision that never worked is tried again; the last one repeats."""

BROKEN: Final = frozenset({Reason.LOAD_FAILED, Reason.DEPLOY_FAILED, Reason.WEIGHTS_MISSING})
"""What a verifying request says of a model that will not come up as it is."""

_HASH_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A placement that stays, with its weights and its pool."""

    placement: ModelPlacement
    fetch: FetchStep
    pool: str
    """The RayService that it is assigned to."""
    template_hash: str
    """Of that pool."""
    planned: PlannedModel | None
    """What is to run; None until its weights are there."""
    wanted_hash: str | None
    """Of what is to run, in the pool that it is assigned to."""
    waits_to_move: bool = False
    """Its pool has an outdated template, and another model moves first."""

    @property
    def name(self) -> str:
        """The model's name, and that of its Serve application."""
        return self.placement.spec.model.name

    @property
    def status(self) -> ModelPlacementStatus:
        """What was known before this pass."""
        return self.placement.status

    @property
    def moves_to(self) -> str | None:
        """The pool that it has to answer in before it is served from there."""
        return self.pool if self.moves_from else None

    @property
    def moves_from(self) -> str | None:
        """The pool that answers until the assigned one is verified."""
        return self.status.pool if self.status.pool not in (None, self.pool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A placement that stays, and for which nothing can be done: what is known stays known."""

    placement: ModelPlacement
    problem: Problem

    @property
    def pools(self) -> frozenset[str]:
        """The names of the pools that serve it, or are to."""
        status = self.placement.status
        return frozenset(filter(None, (status.pool, status.moving_to, status.leaving)))


def case_of(
    placement: ModelPlacement,
    fetch: FetchStep,
    pool: str,
    template_hash: str,
    fetches: bool,
    waits_to_move: bool,
) -> Case:
    """Return the case of a placement.

    Args:
        placement: One that stays.
        fetch: How far its weights are.
        pool: The RayService that it is assigned to.
        template_hash: Of that pool.
        fetches: Whether the pool's replicas fetch for themselves.
        waits_to_move: Whether another model moves to a pool of today's template first.
    """
    weights = fetch.weights
    planned = planned_model(placement.spec, weights, verified=False) if weights else None
    if planned is not None and fetches:
        source = weights_source(placement.spec.weights)
        args = planned.args.model_copy(update={"source": source})
        planned = replace(planned, args=args)
    return Case(
        placement=placement,
        fetch=fetch,
        pool=pool,
        template_hash=template_hash,
        planned=planned,
        wanted_hash=hash_in(planned.args, template_hash) if planned else None,
        waits_to_move=waits_to_move,
    )


def hash_in(args: ModelArgs, template_hash: str) -> str:
    """Return the name of what is served: arguments, and the pool that runs them."""
    return short_hash(f"{arguments_hash(args)} {template_hash}", _HASH_DIGITS)


def is_verified(status: ModelPlacementStatus, wanted: str | None, pool: str | None = None) -> bool:
    """Return whether that serving hash answered, and nothing was learned against it since.

    In that pool, where one is given.
    """
    probe = status.probe
    if probe is None or not probe.passed or probe.serving_hash != wanted:
        return False
    return pool in (None, probe.pool)


def once_verified(status: ModelPlacementStatus, wanted: str | None) -> bool:
    """Return whether that serving hash answered before, whatever came after.

    Another revision may have been asked since, or its weights may have been lost.
    """
    return wanted is not None and (status.verified_hash == wanted or is_verified(status, wanted))


def is_quarantined(status: ModelPlacementStatus, wanted: str | None, now: str) -> bool:
    """Return whether that serving hash is to stay out of its pool for now."""
    held = status.quarantine
    return held is not None and held.serving_hash == wanted and now < held.until
