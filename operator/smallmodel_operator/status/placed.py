"""A ModelPlacement's facts become its own conditions, and an observation of its SmallModel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from smallmodel_operator.api.smallmodel import Copy, CopyState, SmallModel
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.observation import Deployment, Observation, Pinned, Probe
from smallmodel_operator.status.summarise import conditions
from smallmodel_operator.status.verdicts import available, deployed, ready, verified

_NO_URL: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCopy:
    """One copy of a model, and what is known of its cluster."""

    placement: ModelPlacement
    reachable: bool = True
    forbidden: bool = False
    """A law forbids it where it is."""
    forbidden_since: str | None = None
    """Set while it goes on all the same, for the time that the law allows."""


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


def observation_of_copies(
    model: SmallModel,
    copies: Sequence[SeenCopy],
    refusal: ResolveError | Unplaced | None = None,
    *,
    url: str,
    fetch: FetchEvent | None = None,
) -> Observation:
    """Return what is known of a SmallModel that may have several copies.

    Args:
        model: Its generation is the one that was decided on.
        copies: Those that are there; those on their way out serve nothing that counts.
        refusal: Why the model's present spec has no placement.
        url: The base URL for clients.
        fetch: How far the weights are from which the card of the model's present spec is made.
    """
    living = [one for one in copies if not one.placement.metadata.deletion_timestamp]
    first = min(living, key=_comes_first, default=None)
    lead = first.placement if first else None
    seen = observation_of(model, lead, refusal, url=url, fetch=fetch)
    generation = model.metadata.generation
    return replace(
        seen,
        cluster=lead.spec.cluster if lead else None,
        copies=tuple(
            sorted((_shown(one) for one in copies), key=lambda copy: copy.cluster),
        ),
        others=tuple(
            replace(
                observation_of(model, one.placement, refusal, url=url, fetch=fetch),
                cluster=one.placement.spec.cluster,
                generation=generation,
            )
            for one in living
            if one is not first
        ),
        asked=model.spec.placement.copies,
    )


def _comes_first(copy: SeenCopy) -> tuple[bool, bool, str]:
    """Return what sorts copies: what answered as it is now speaks for the model."""
    status = copy.placement.status
    return (not answers(copy.placement), status.deployment is None, copy.placement.spec.cluster)


def _shown(copy: SeenCopy) -> Copy:
    shown = _copy(copy.placement)
    return shown.model_copy(update={"state": _state(copy), "forbidden_since": copy.forbidden_since})


def _state(copy: SeenCopy) -> CopyState:
    placement = copy.placement
    if placement.metadata.deletion_timestamp:
        cut_off = copy.forbidden and not copy.reachable
        return CopyState.RESIDENCY_UNKNOWN if cut_off else CopyState.LEAVING
    if not copy.reachable:
        return CopyState.UNREACHABLE
    seen = placement.status.deployment
    if placement.status.problem is None and seen is not None and seen.failed:
        return CopyState.FAILED
    return CopyState.SERVING if answers(placement) else CopyState.STARTING


def answers(placement: ModelPlacement) -> bool:
    """Return whether a copy answered as it is decided now."""
    status, seen = placement.status, placement.status.deployment
    probe = status.probe
    return (
        status.observed_generation == placement.metadata.generation
        and status.serving_hash is not None
        and seen is not None
        and not seen.failed
        and seen.serving_hash == status.serving_hash
        and probe is not None
        and probe.passed
        and probe.serving_hash == status.serving_hash
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
