"""A ModelPlacement's facts become its own conditions, and an observation of its SmallModel."""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.meta import Condition
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

_NO_URL: Final = ""


def summarise_placement(
    placement: ModelPlacement, previous: Sequence[Condition], now: str
) -> tuple[Condition, ...]:
    """Return the conditions of a placement: Deployed, Verified and Ready.

    Args:
        placement: With a status that holds what is known now; its conditions are not looked at.
        previous: The conditions before, whose transition times live on where nothing changed.
        now: RFC 3339 time, given to conditions that changed.

    Returns:
        Equal to `previous` where no fact changed.
    """
    generation = placement.metadata.generation
    seen = _observed(placement, generation=generation, url=_NO_URL)
    chain = {
        ConditionType.DEPLOYED: deployed(seen),
        ConditionType.VERIFIED: verified(seen),
        ConditionType.AVAILABLE: available(seen),
    }
    shown = {
        ConditionType.DEPLOYED: chain[ConditionType.DEPLOYED],
        ConditionType.VERIFIED: chain[ConditionType.VERIFIED],
        ConditionType.READY: ready(chain),
    }
    return conditions(shown, previous, generation, now)


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
        placement: Its placement, with the status that the serving side wrote last; None where there
            is none. One that is not applied yet has no generation, so that status is an older one.
        refusal: Why the model's present spec has no placement. A placement beside it is that of an
            earlier spec, and goes on.
        url: The base URL for clients.
        fetch: How far the weights are from which the card of the model's present spec is made; None
            where its card is known. A placement beside it is that of an earlier spec, and goes on.
    """
    generation = model.metadata.generation
    if placement is None:
        return Observation(
            generation=generation, url=url, outcome=refusal, fetch=fetch, looked_after=True
        )
    seen = _observed(placement, generation=generation, url=url)
    if refusal is None and fetch is None:
        return seen
    return Observation(
        generation=generation,
        url=url,
        outcome=refusal,
        fetch=fetch,
        # No serving hash: what the spec asks for has none.
        deployment=seen.deployment,
        engine=seen.engine,
        engine_reason=seen.engine_reason,
        engine_message=seen.engine_message,
        probe=seen.probe,
        copies=seen.copies,
        looked_after=True,
        answered_before=seen.answered_before,
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
        engine=status.deployment.engine if status.deployment else None,
        engine_reason=status.deployment.engine_reason if status.deployment else None,
        engine_message=status.deployment.engine_message if status.deployment else "",
        probe=_probe(status.probe),
        problem=status.problem,
        quarantine=status.quarantine,
        moving_to=status.moving_to,
        copies=(_copy(placement),),
        behind=0 < status.observed_generation != placement.metadata.generation,
        looked_after=True,
        answered_before=_answered_before(status),
    )


def _answered_before(status: ModelPlacementStatus) -> bool:
    """Return whether what is deployed is what answered last, whatever was asked since."""
    seen = status.deployment
    return seen is not None and seen.serving_hash == status.verified_hash


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
