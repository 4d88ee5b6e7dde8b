"""One pass over a SmallModel: resolve, place, pin, and say what is known of it."""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.fetch import FetchProgress
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER, placement_name
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.api.where import FailedCluster
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.placement.among import Placed, place_among, weigh_running
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.plan.pools.fetchjob import build_fetch_job
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.reconcile.copies import (
    Copies,
    copies_of,
    failures_of,
    is_decided,
    past_of,
    running_of,
)
from smallmodel_operator.reconcile.draining import NO_DRAINING, Draining, drain, taken_back
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight, UnreadableSight
from smallmodel_operator.reconcile.source import source_step
from smallmodel_operator.reconcile.spread import (
    NO_STEPS,
    Law,
    Steps,
    law_of,
    lawful_of,
    steps_of,
)
from smallmodel_operator.reconcile.telling import (
    is_reachable,
    next_look,
    remark_of,
    seen_copies,
    told_decision,
)
from smallmodel_operator.reconcile.weights import FetchStep
from smallmodel_operator.status.placed import SeenCopy, observation_of_copies
from smallmodel_operator.status.summarise import summarise

_RETRY_SECONDS: Final = 2.0
_NOTHING_YET: Final = FetchProgress(done_bytes=0, total_bytes=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a pass comes to before it is told."""

    decided: ResolveError | Unplaced | FetchStep | None = None
    """What the present spec has in place of a placement."""
    decision: Decision | None = None
    steps: Steps = NO_STEPS
    lacking: Unplaced | None = None
    """Why what is placed is not all that is asked for."""
    failures: tuple[FailedCluster, ...] = ()


def decide_model(sight: ModelSight, settings: PoolSettings, now: str) -> ModelOrders:
    """Return what is to be written for a SmallModel.

    Args:
        sight: Everything that is known of it.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    metadata, copies = sight.model.metadata, copies_of(sight.placements)
    if metadata.deletion_timestamp:
        return _leave(metadata, copies)
    if copies.going and not copies.living and not _is_elsewhere(sight, copies):
        # One of the same name was deleted a moment ago, or a law ended it; it is being taken down.
        return ModelOrders(again=_RETRY_SECONDS)
    law = law_of(sight.model, copies, sight.around, now)
    if law.ended:
        return _end(sight, copies, law, now)
    found = _find(sight, copies, settings, now)
    step = found.decided if isinstance(found.decided, FetchStep) else None
    refusal = found.decided if isinstance(found.decided, ResolveError | Unplaced) else None
    if step is not None and step.create and sight.refused is not None:
        refusal = ResolveError(reason=sight.refused.reason, message=sight.refused.message)
    steps = found.steps
    draining = NO_DRAINING if sight.drops_held else drain(steps.dropped, now)
    drops = draining.gone
    known = _as_applied(copies, steps.made, drops)
    seen = observation_of_copies(
        sight.model,
        seen_copies(sight, known, law),
        refusal,
        url=sight.url,
        fetch=(step.event or _NOTHING_YET) if step else None,
    )
    seen = replace(
        seen,
        decision=told_decision(sight, found.decision, found.failures, now),
        lacking=found.lacking,
        remark=remark_of(sight, copies, law, steps),
    )
    status = summarise(seen, sight.model.status, now)
    return ModelOrders(
        # Also where nothing is placed yet: a deletion that nobody saw looks like a loss.
        hold=FINALIZER not in metadata.finalizers,
        fetch=build_fetch_job(metadata.namespace, step.pinned, settings)
        if step and step.create
        else None,
        fetch_again=step.job if step and step.retry else None,
        placements=(
            *steps.made,
            *draining.marked,
            *_corrected(sight, copies, steps, draining),
        ),
        drops=drops,
        status=status if status != sight.model.status else None,
        again=step.again if step else _sooner(next_look(sight, law), draining.seconds_left),
        moves=steps.moves,
        unwanted=steps.dropped if sight.drops_held else draining.begun,
    )


def decide_unreadable(sight: UnreadableSight, now: str) -> ModelOrders:
    """Return what is to be written for a SmallModel that cannot be read.

    What was decided before it was changed goes on, but where the law of its namespace's data
    forbids that.

    Args:
        sight: Everything that is known of it.
        now: RFC 3339 time.
    """
    metadata, copies = sight.metadata, copies_of(sight.placements)
    if metadata.deletion_timestamp:
        return _leave(metadata, copies)
    refusal = ResolveError(
        reason=Reason.INVALID_MANIFEST,
        message=f"{sight.message}. Correct the field; what was decided before goes on meanwhile.",
    )
    # Nothing is read of the spec: the refusal says why, and the placements say what runs.
    unread = SmallModelSpec.model_construct()
    bare = SmallModel.model_construct(metadata=metadata, spec=unread, status=sight.status)
    law = law_of(bare, copies, sight.around, now)
    known = _as_applied(copies, (), law.ended)
    shown = tuple(SeenCopy(placement=one) for one in known.living)
    seen = observation_of_copies(bare, shown, refusal, url=sight.url)
    status = summarise(seen, sight.status, now)
    return ModelOrders(drops=law.ended, status=status if status != sight.status else None)


def evaluates(sight: ModelSight) -> bool:
    """Return whether it is asked anew where the model should be: what runs says it otherwise."""
    copies = copies_of(sight.placements)
    if not _is_decided(sight, copies):
        return True
    if sight.around is None:
        return False
    if len(copies.living) != sight.model.spec.placement.copies:
        return True
    return sight.due and len(sight.around.names | copies.clusters) > 1


def _find(sight: ModelSight, copies: Copies, settings: PoolSettings, now: str) -> _Found:
    """Return where the model is to be, and what follows from that."""
    around, decided = sight.around, _is_decided(sight, copies)
    if not evaluates(sight):
        return _Found(decision=_weighed(sight, copies, now))
    if around is None or not (sight.views or decided):
        message = "The cluster's nodes have not been read yet; this goes on by itself."
        return _Found(decided=Unplaced(reason=Reason.CLUSTER_NOT_OBSERVED, message=message))
    resolved = _resolved(sight, copies, settings, now)
    if not isinstance(resolved, ResolvedModel):
        # What is decided stays, whatever the cards say now.
        weighed = _weighed(sight, copies, now)
        return _Found(decision=weighed) if decided else _Found(decided=resolved)
    failures = failures_of(copies, sight.model, around.carried, now)
    placed = _placed(sight, copies, resolved, around, failures, now)
    if placed.decision is None:
        return _Found() if decided else _Found(decided=placed.lacking)
    steps = steps_of(
        sight.model,
        copies,
        resolved,
        placed.made,
        placed.decision,
        around,
        hub_id=sight.hub_id,
        now=now,
    )
    refused = placed.lacking is not None and not steps.made and not decided
    return _Found(
        decided=placed.lacking if refused else None,
        decision=placed.decision,
        steps=steps,
        lacking=None if refused else placed.lacking,
        failures=failures,
    )


def decide_place(
    sight: ModelSight, around: Around, settings: PoolSettings, now: str
) -> Placed | ResolveError | FetchStep:
    """Return where a model would be if that were decided now, whether or not it is time to.

    Args:
        sight: Everything that is known of it.
        around: The clusters, and the namespace's data.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    copies = copies_of(sight.placements)
    resolved = _resolved(sight, copies, settings, now)
    if not isinstance(resolved, ResolvedModel):
        return resolved
    failures = failures_of(copies, sight.model, around.carried, now)
    return _placed(sight, copies, resolved, around, failures, now)


def _placed(
    sight: ModelSight,
    copies: Copies,
    resolved: ResolvedModel,
    around: Around,
    failures: tuple[FailedCluster, ...],
    now: str,
) -> Placed:
    return place_among(
        resolved,
        sight.model.spec,
        around,
        sight.views,
        namespace=sight.model.metadata.namespace,
        key=_key(sight),
        running=running_of(copies, sight.model, now),
        past=past_of(copies, sight.model, failures, now),
        pause=sight.pause or around.pause,
    )


def _resolved(
    sight: ModelSight, copies: Copies, settings: PoolSettings, now: str
) -> ResolvedModel | ResolveError | FetchStep:
    model, weights = sight.model, None
    if model.spec.source is not None:
        step = source_step(
            model,
            model.spec.source,
            _with_weights(copies),
            sight.job,
            sight.secrets,
            settings,
            now,
        )
        if isinstance(step, ResolveError) or step.weights is None:
            return step
        weights = step.weights
    return resolve(model, sight.catalog, secrets=sight.secrets, weights=weights)


def _with_weights(copies: Copies) -> ModelPlacement | None:
    """Return the copy that says most of the weights that the model's card is made of."""
    return min(
        copies.living,
        key=lambda one: (one.status.fetch_job is None, one.spec.cluster),
        default=None,
    )


def _is_decided(sight: ModelSight, copies: Copies) -> bool:
    """Return whether there are copies, and all were decided of the present spec."""
    return bool(copies.living) and all(is_decided(one, sight.model) for one in copies.living)


def _key(sight: ModelSight) -> str:
    return placement_name(sight.model.metadata.namespace, sight.model.metadata.name)


def _is_elsewhere(sight: ModelSight, copies: Copies) -> bool:
    """Return whether there is a cluster where no copy is being taken down."""
    return sight.around is not None and bool(sight.around.names - copies.leaving)


def _weighed(sight: ModelSight, copies: Copies, now: str) -> Decision | None:
    """Return what is to be said now of where the model runs; None where nothing new is."""
    around = sight.around
    if around is None or around.names != copies.clusters or len(around.names) > 1:
        return None
    return _weighed_there(sight, copies, around, now)


def _weighed_there(sight: ModelSight, copies: Copies, around: Around, now: str) -> Decision:
    there = tuple(one for one in around.clusters if one.name in copies.clusters)
    running = running_of(copies, sight.model, now)
    alone = replace(around, clusters=there)
    return weigh_running(running, sight.model.spec, alone, key=_key(sight))


def _as_applied(
    copies: Copies, made: tuple[ModelPlacement, ...], drops: tuple[ModelPlacement, ...]
) -> Copies:
    """Return the copies as the API server will have them after all is written.

    What the serving side knows stays known while the new decision is on its way to it.
    """
    known = {one.spec.cluster: one for one in copies.living if one not in drops}
    known |= {one.spec.cluster: _following(known.get(one.spec.cluster), one) for one in made}
    return replace(copies, living=tuple(known[name] for name in sorted(known)))


def _going(placement: ModelPlacement, now: str) -> ModelPlacement:
    """Return a placement as it is once it is deleted and has to be taken down yet."""
    metadata = placement.metadata.model_copy(update={"deletion_timestamp": now})
    return placement.model_copy(update={"metadata": metadata})


def _following(before: ModelPlacement | None, made: ModelPlacement) -> ModelPlacement:
    """Return a placement as it is once it is written over the one before."""
    if before is None:
        return made
    generation = before.metadata.generation + 1
    metadata = made.metadata.model_copy(update={"generation": generation})
    return made.model_copy(update={"metadata": metadata, "status": before.status})


def _sooner(seconds: float | None, other: float | None) -> float | None:
    return min((each for each in (seconds, other) if each is not None), default=None)


def _corrected(
    sight: ModelSight, copies: Copies, steps: Steps, draining: Draining
) -> tuple[ModelPlacement, ...]:
    """Return the placements that stay as they are pinned, but for what is not of a decision.

    The uninstall takes finalizers off, and what is installed again takes over what is there. The
    laws of the data change without a decision.
    """
    written = (*steps.made, *draining.marked, *draining.gone)
    busy = {one.spec.cluster for one in written}
    unwanted = {one.spec.cluster for one in steps.dropped}
    corrected = []
    for one in copies.living:
        if one.spec.cluster in busy:
            continue
        lawful = lawful_of(sight.model, one, sight.around)
        if steps is not NO_STEPS and one.spec.cluster not in unwanted:
            lawful = taken_back(lawful or one) or lawful
        if FINALIZER not in one.metadata.finalizers:
            metadata = one.metadata.model_copy(update={"finalizers": (FINALIZER,)})
            corrected.append((lawful or one).model_copy(update={"metadata": metadata}))
        elif lawful is not None:
            corrected.append(lawful)
    return tuple(corrected)


def _leave(metadata: ObjectMeta, copies: Copies) -> ModelOrders:
    return ModelOrders(drops=copies.living, release=FINALIZER in metadata.finalizers)


def _end(sight: ModelSight, copies: Copies, law: Law, now: str) -> ModelOrders:
    """End copies where a law forbids them, whatever else is to be done."""
    forbidden = Unplaced(reason=Reason.RESIDENCY_FORBIDDEN, message=law.message)
    left = _as_applied(copies, (), law.ended)
    cut_off = tuple(_going(one, now) for one in law.ended if not is_reachable(sight, one))
    shown = seen_copies(sight, replace(left, going=(*copies.going, *cut_off)), law)
    seen = observation_of_copies(
        sight.model, shown, None if left.living else forbidden, url=sight.url
    )
    told = _weighed_there(sight, copies, sight.around, now) if sight.around else None
    seen = replace(
        seen,
        decision=told_decision(sight, told, (), now),
        lacking=forbidden if left.living else None,
    )
    status = summarise(seen, sight.model.status, now)
    return ModelOrders(
        hold=FINALIZER not in sight.model.metadata.finalizers,
        drops=law.ended,
        status=status if status != sight.model.status else None,
        again=_RETRY_SECONDS,
    )
