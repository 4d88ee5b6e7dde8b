"""A ModelPlacement's facts become its own conditions, and an observation of its SmallModel."""

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    PlacedDeployment,
    PlacedProbe,
)
from smallmodel_operator.api.smallmodel import Copy, SmallModel
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.observation import Deployment, Observation, Pinned, Probe
from smallmodel_operator.status.summarise import conditions
from smallmodel_operator.status.verdicts import available, deployed, ready, verified

NO_URL = ""


def summarise_placement(
    placement: ModelPlacement, facts: ModelPlacementStatus, now: str
) -> ModelPlacementStatus:
    """Return the facts with the conditions that follow from them: Deployed, Verified and Ready.

    Args:
        placement: What was decided, with the status before, whose transition times live on.
        facts: What is known now; conditions in it are not looked at.
        now: RFC 3339 time, given to conditions that changed.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    generation = placement.metadata.generation
    known = placement.model_copy(update={"status": facts})
    seen = _observed(known, generation=generation, url=NO_URL)
    verdicts = {
        ConditionType.DEPLOYED: deployed(seen),
        ConditionType.VERIFIED: verified(seen),
        ConditionType.AVAILABLE: available(seen),
    }
    verdicts[ConditionType.READY] = ready(verdicts)
    del verdicts[ConditionType.AVAILABLE]
    made = conditions(verdicts, placement.status.conditions, generation, now)
    return facts.model_copy(update={"observed_generation": generation, "conditions": made})


def observation_of(
    model: SmallModel,
    placement: ModelPlacement | None,
    refusal: ResolveError | Unplaced | None = None,
    *,
    url: str,
    fetch: FetchEvent | None = None,
) -> Observation:
    """Return what is known of a SmallModel.

    Args:
        model: Its generation is the one that was decided on.
        placement: Its placement as the API server has it after the decision was applied, with the
            generation that this gave it; None where there is none.
        refusal: Why the model's present spec has no placement. A placement beside it is that of an
            earlier spec, and goes on.
        url: The base URL for clients.
        fetch: How far the weights are from which a card is made, while there is no placement.
    """
    generation = model.metadata.generation
    if placement is None:
        return Observation(
            generation=generation, url=url, outcome=refusal, fetch=fetch, looked_after=True
        )
    seen = _observed(placement, generation=generation, url=url)
    if refusal is None:
        return seen
    return Observation(
        generation=generation,
        url=url,
        outcome=refusal,
        # No serving hash: what the spec asks for has none.
        deployment=seen.deployment,
        probe=seen.probe,
        copies=seen.copies,
        looked_after=True,
    )


def _observed(placement: ModelPlacement, *, generation: int, url: str) -> Observation:
    spec, status = placement.spec, placement.status
    return Observation(
        generation=generation,
        url=url,
        outcome=Pinned(engine=spec.engine, variant=spec.variant, message=spec.message),
        fetch=status.fetch,
        serving_hash=status.serving_hash,
        deployment=_deployment(status.deployment),
        probe=_probe(status.probe),
        problem=status.problem,
        quarantine=status.quarantine,
        copies=(_copy(placement),),
        behind=0 < status.observed_generation < placement.metadata.generation,
        looked_after=True,
    )


def _copy(placement: ModelPlacement) -> Copy:
    spec, status = placement.spec, placement.status
    return Copy(
        cluster=spec.cluster,
        engine=spec.engine,
        variant=spec.variant,
        serving_hash=status.deployment.serving_hash if status.deployment else None,
        pool=status.pool,
        replicas=status.deployment.replicas if status.deployment else 0,
    )


def _deployment(seen: PlacedDeployment | None) -> Deployment | None:
    if seen is None:
        return None
    return Deployment(
        serving_hash=seen.serving_hash,
        healthy=seen.healthy,
        failed=seen.failed,
        replicas=seen.replicas,
        message=seen.message,
    )


def _probe(seen: PlacedProbe | None) -> Probe | None:
    if seen is None:
        return None
    return Probe(
        serving_hash=seen.serving_hash,
        passed=seen.passed,
        reason=seen.reason,
        message=seen.message,
        performance=seen.performance,
    )
