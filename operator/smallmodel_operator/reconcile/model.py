"""One pass over a SmallModel: resolve, place, pin, and say what is known of it."""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.fetch import FetchProgress
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementSpec, Problem
from smallmodel_operator.api.names import ANNOTATION_RE_RESOLVE, FINALIZER, placement_name
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec, SmallModelStatus
from smallmodel_operator.api.where import Decision as ShownDecision
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.placement.among import place_among, weigh_running
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.plan.placements import build_placement
from smallmodel_operator.plan.pools.fetchjob import build_fetch_job
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings
from smallmodel_operator.reconcile.sight import JobSight
from smallmodel_operator.reconcile.source import source_step
from smallmodel_operator.reconcile.weights import FetchStep
from smallmodel_operator.status.decision import summarise_decision
from smallmodel_operator.status.placed import observation_of
from smallmodel_operator.status.summarise import summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSight:
    """Everything that one pass over a SmallModel knows."""

    model: SmallModel
    placement: ModelPlacement | None
    catalog: Catalog
    cluster: ClusterView | None
    """What was seen of its nodes and pools. None: nothing is known of it yet."""
    around: Around | None
    """The cluster as an administrator declares it, and the namespace's data. None: not read yet."""
    secrets: frozenset[str]
    """Names of the Secrets in the model's namespace that it may need and that are there."""
    url: str
    """The base URL of the endpoint, which never changes in a model's life."""
    hub_id: str
    job: JobSight | None = None
    """The Job that fetches the model's source, where there is one."""
    refused: Problem | None = None
    """What was said at the last try against that Job, or against what all Jobs need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSight:
    """Everything that one pass knows of a SmallModel that breaks a rule only this program knows."""

    metadata: ObjectMeta
    status: SmallModelStatus
    """What was said of it before."""
    message: str
    """Which field, and what is wrong with it."""
    placement: ModelPlacement | None
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrders:
    """What is to be written, in this order."""

    hold: bool = False
    """The finalizer is to be set: what follows has to be taken down again."""
    fetch: Manifest | None = None
    """A fetch Job to create: the model's card is made of what it finds."""
    fetch_again: str | None = None
    """The fetch Job that failed and is to go, so that another one is made."""
    placement: ModelPlacement | None = None
    """To be applied."""
    drop: bool = False
    """The placement is to be deleted."""
    release: bool = False
    """The finalizer may go: the placement is on its way out."""
    status: SmallModelStatus | None = None
    """Set where a fact changed."""
    again: float | None = None


_RETRY_SECONDS: Final = 2.0
_NOTHING_YET: Final = FetchProgress(done_bytes=0, total_bytes=None)


def decide_model(sight: ModelSight, settings: PoolSettings, now: str) -> ModelOrders:
    """Return what is to be written for a SmallModel.

    Args:
        sight: Everything that is known of it.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    metadata = sight.model.metadata
    if metadata.deletion_timestamp:
        return _leave(metadata, sight.placement)
    if sight.placement is not None and sight.placement.metadata.deletion_timestamp:
        # One of the same name was deleted a moment ago, or a law ended it; it is being taken down.
        return ModelOrders(again=_RETRY_SECONDS)
    running = _weighed(sight)
    forbidden = _forbidden(running)
    if forbidden is not None:
        return _end(sight, forbidden, running, now)
    decided, weighed = (None, running) if is_pinned(sight) else _decide(sight, settings, now)
    made = decided if isinstance(decided, ModelPlacement) else None
    known = _as_applied(made, sight.placement) if made else sight.placement
    refusal = decided if isinstance(decided, ResolveError | Unplaced) else None
    step = decided if isinstance(decided, FetchStep) else None
    if step is not None and step.create and sight.refused is not None:
        refusal = ResolveError(reason=sight.refused.reason, message=sight.refused.message)
    fetch = (step.event or _NOTHING_YET) if step else None
    seen = observation_of(sight.model, known, refusal, url=sight.url, fetch=fetch)
    status = summarise(replace(seen, decision=_told(sight, weighed)), sight.model.status, now)
    return ModelOrders(
        # Also where nothing is placed yet: a deletion that nobody saw looks like a loss.
        hold=FINALIZER not in metadata.finalizers,
        fetch=build_fetch_job(metadata.namespace, step.pinned, settings)
        if step and step.create
        else None,
        fetch_again=step.job if step and step.retry else None,
        placement=made or _held(sight.placement),
        status=status if status != sight.model.status else None,
        again=step.again if step else None,
    )


def decide_unreadable(sight: UnreadableSight, now: str) -> ModelOrders:
    """Return what is to be written for a SmallModel that cannot be read.

    What was decided before it was changed goes on.

    Args:
        sight: Everything that is known of it.
        now: RFC 3339 time.
    """
    metadata = sight.metadata
    if metadata.deletion_timestamp:
        return _leave(metadata, sight.placement)
    refusal = ResolveError(
        reason=Reason.INVALID_MANIFEST,
        message=f"{sight.message}. Correct the field; what was decided before goes on meanwhile.",
    )
    # Nothing is read of the spec: the refusal says why, and the placement says what runs.
    unread = SmallModelSpec.model_construct()
    bare = SmallModel.model_construct(metadata=metadata, spec=unread, status=sight.status)
    seen = observation_of(bare, sight.placement, refusal, url=sight.url)
    status = summarise(seen, sight.status, now)
    return ModelOrders(status=status if status != sight.status else None)


def is_pinned(sight: ModelSight) -> bool:
    """Return whether the decision was taken for this generation already.

    A changed card or another operator never changes it: only a new generation does, or another
    value of the annotation.
    """
    pinned, model = sight.placement, sight.model
    return (
        pinned is not None
        and pinned.spec.model.generation == model.metadata.generation
        and pinned.spec.re_resolve == model.metadata.annotations.get(ANNOTATION_RE_RESOLVE)
    )


def _as_applied(made: ModelPlacement, before: ModelPlacement | None) -> ModelPlacement:
    """Return the placement as the API server will have it after it is applied.

    What the serving side knows stays known while the new decision is on its way to it.
    """
    if before is None:
        return made
    generation = before.metadata.generation + 1
    metadata = made.metadata.model_copy(update={"generation": generation})
    return made.model_copy(update={"metadata": metadata, "status": before.status})


def _held(placement: ModelPlacement | None) -> ModelPlacement | None:
    """Return a pinned placement whose finalizer is to be set again; None where it has it.

    The uninstall takes finalizers off, and what is installed again takes over what is there.
    """
    if placement is None or FINALIZER in placement.metadata.finalizers:
        return None
    metadata = placement.metadata.model_copy(update={"finalizers": (FINALIZER,)})
    return placement.model_copy(update={"metadata": metadata})


def _leave(metadata: ObjectMeta, placement: ModelPlacement | None) -> ModelOrders:
    drop = placement is not None and not placement.metadata.deletion_timestamp
    return ModelOrders(drop=drop, release=FINALIZER in metadata.finalizers)


def _weighed(sight: ModelSight) -> Decision | None:
    """Return what is to be said now of where the model runs; None where nothing can be."""
    if sight.placement is None or sight.around is None:
        return None
    return weigh_running(sight.placement.spec, sight.model.spec, sight.around, key=_key(sight))


def _forbidden(running: Decision | None) -> Unplaced | None:
    """Return which law forbids that the model goes on where it runs."""
    if running is None or not running.forbidden:
        return None
    said = [one.message for one in running.verdicts if one.cluster in running.forbidden]
    return Unplaced(reason=Reason.RESIDENCY_FORBIDDEN, message=" ".join(said))


def _end(sight: ModelSight, forbidden: Unplaced, running: Decision | None, now: str) -> ModelOrders:
    """End a copy where a law forbids it, whatever else is to be done."""
    seen = observation_of(sight.model, None, forbidden, url=sight.url)
    status = summarise(replace(seen, decision=_told(sight, running)), sight.model.status, now)
    return ModelOrders(
        hold=FINALIZER not in sight.model.metadata.finalizers,
        drop=True,
        status=status if status != sight.model.status else None,
        again=_RETRY_SECONDS,
    )


def _told(sight: ModelSight, decision: Decision | None) -> ShownDecision | None:
    if decision is None or sight.around is None:
        return None
    return summarise_decision(decision, sight.around.policy.currency)


def _key(sight: ModelSight) -> str:
    return placement_name(sight.model.metadata.namespace, sight.model.metadata.name)


_Decided = ResolveError | Unplaced | FetchStep | ModelPlacement


def _decide(
    sight: ModelSight, settings: PoolSettings, now: str
) -> tuple[_Decided, Decision | None]:
    if sight.cluster is None or sight.around is None:
        message = "The cluster's nodes have not been read yet; this goes on by itself."
        return Unplaced(reason=Reason.CLUSTER_NOT_OBSERVED, message=message), None
    model, weights = sight.model, None
    if model.spec.source is not None:
        step = source_step(
            model,
            model.spec.source,
            sight.placement,
            sight.job,
            sight.secrets,
            settings,
            now,
        )
        if isinstance(step, ResolveError) or step.weights is None:
            return step, None
        weights = step.weights
    resolved = resolve(model, sight.catalog, secrets=sight.secrets, weights=weights)
    if isinstance(resolved, ResolveError):
        return resolved, None
    placed = place_among(
        resolved,
        model.spec,
        sight.around,
        {sight.cluster.name: sight.cluster},
        namespace=model.metadata.namespace,
        key=_key(sight),
        incumbent=_incumbent(sight),
    )
    found = placed.outcome
    if isinstance(found, Unplaced):
        return found, placed.decision
    cluster = found.placement.machine
    made = build_placement(model, resolved, found, hub_id=sight.hub_id, cluster=cluster)
    return made, placed.decision


def _incumbent(sight: ModelSight) -> ModelPlacementSpec | None:
    """Return what runs for an earlier spec; the wish to resolve anew wants nothing of it."""
    pinned, wish = sight.placement, sight.model.metadata.annotations.get(ANNOTATION_RE_RESOLVE)
    return pinned.spec if pinned is not None and pinned.spec.re_resolve == wish else None
