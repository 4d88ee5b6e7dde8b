"""One placement in a pass: what it asks for, where it is, and whether it may be served."""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.names import short_hash
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelArgs
from smallmodel_operator.plan.build import arguments_hash
from smallmodel_operator.plan.placements import planned_model
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.pools.rayservice import applications_in
from smallmodel_operator.plan.pools.values import KeptApplication, LivePool, Manifest
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
    def planned(self) -> PlannedModel | None:
        """What is to run; None until its weights are there."""
        weights = self.fetch.weights
        return planned_model(self.placement.spec, weights, verified=False) if weights else None

    @property
    def wanted_hash(self) -> str | None:
        """Of what is to run, in the pool that it is assigned to."""
        planned = self.planned
        return hash_in(planned.args, self.template_hash) if planned else None

    @property
    def moves_from(self) -> str | None:
        """The pool that answers until the assigned one is verified."""
        return self.status.pool if self.status.pool not in (None, self.pool) else None


def hash_in(args: ModelArgs, template_hash: str) -> str:
    """Return the name of what is served: arguments, and the pool that runs them."""
    return short_hash(f"{arguments_hash(args)} {template_hash}", _HASH_DIGITS)


def is_verified(status: ModelPlacementStatus, wanted: str) -> bool:
    """Return whether that serving hash answered before."""
    return status.probe is not None and status.probe.passed and status.probe.serving_hash == wanted


def is_quarantined(status: ModelPlacementStatus, wanted: str | None, now: str) -> bool:
    """Return whether that serving hash is to stay out of its pool for now."""
    held = status.quarantine
    return held is not None and held.serving_hash == wanted and now < held.until


def model_in(
    case: Case, pool: LivePool, live: Manifest | None, now: str
) -> PlannedModel | KeptApplication | None:
    """Return the model as a pool is to have it, or None where the pool is not to have it.

    A model whose new weights are still on their way goes on as it runs, and so does one in a pool
    that it is moving out of.
    """
    if pool.name == case.pool:
        planned = case.planned
        if planned is None:
            return _as_it_runs(case, live)
        wanted = hash_in(planned.args, pool.template_hash)
        if is_quarantined(case.status, wanted, now):
            return None
        return replace(planned, verified=is_verified(case.status, wanted))
    if pool.name in (case.status.pool, case.status.leaving):
        return _as_it_runs(case, live)
    return None


def _as_it_runs(case: Case, live: Manifest | None) -> KeptApplication | None:
    kept = applications_in(live) if live else ()
    return next((application for application in kept if application.name == case.name), None)
