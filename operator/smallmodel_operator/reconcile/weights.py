"""Weights: which fetch Jobs there are to be, and how far they have come."""

from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.fetch import FetchDone, FetchEvent, FetchFailed
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    PinnedWeights,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.fetchjob import (
    build_fetch_job,
    has_image_of,
    is_same_fetch,
    job_name,
    read_fetch,
)
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings
from smallmodel_operator.plan.pools.weights import refused_secret
from smallmodel_operator.reconcile.clock import seconds_between
from smallmodel_operator.reconcile.images import pull_failure
from smallmodel_operator.reconcile.sight import JobSight, UnpulledImage

RETRY_SECONDS: Final = 60.0
"""Pause after a failed fetch that time may mend."""

LATE_RETRY_SECONDS: Final = 1800.0
"""Pause after any other one: somebody may have mended the source or the settings."""

_MENDED_BY_TIME: Final = frozenset(
    {Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL, Reason.WEIGHTS_MISSING}
)
_LOOK_AGAIN_SECONDS: Final = 2.0
_ENDS: Final = frozenset({"Complete", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStep:
    """How far a model's weights are, and what is to be done for them."""

    pinned: PinnedWeights
    event: FetchEvent | None
    create: bool = False
    """The Job is not there, and is to be."""
    done: bool = False
    """What the Job found is remembered, so that this model does not need it any more."""
    retry: bool = False
    """The Job failed or cannot start, and is to go, so that another one is made."""
    again: float | None = None

    @property
    def job(self) -> str:
        """The name of the Job that fetches them."""
        return job_name(self.pinned)

    @property
    def weights(self) -> FetchDone | None:
        """The verified weights, once they are there."""
        return self.event if isinstance(self.event, FetchDone) else None


def known_fetch(status: ModelPlacementStatus, job: str) -> FetchEvent | None:
    """Return what a placement's status remembers of a Job."""
    return status.fetch if is_same_fetch(job, status.fetch_job) else None


def fetch_step(
    weights: PinnedWeights,
    known: FetchEvent | None,
    seen: JobSight | None,
    settings: PoolSettings,
    now: str,
) -> FetchStep:
    """Decide what comes next for a model's weights.

    Args:
        weights: What is to be fetched.
        known: What is remembered of an earlier Job for the same weights.
        seen: The Job, where there is one.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    secret = refused_secret(weights, settings)
    if secret is not None:
        return FetchStep(pinned=weights, event=_without_a_claim(weights.uri, secret))
    if isinstance(known, FetchDone):
        return FetchStep(pinned=weights, event=known, done=True)
    if seen is None:
        return FetchStep(pinned=weights, event=known, create=True)
    event = read_fetch(seen.manifest, seen.last_words)
    if event is None and seen.unpulled is not None:
        # A Job cannot change, so that one with an earlier image would never start.
        wanted = build_fetch_job(seen.manifest["metadata"]["namespace"], weights, settings)
        outdated = not has_image_of(seen.manifest, wanted)
        told = _unpulled(job_name(weights), seen.unpulled)
        return FetchStep(pinned=weights, event=told, retry=outdated)
    if not isinstance(event, FetchFailed):
        return FetchStep(pinned=weights, event=event, again=None if event else _LOOK_AGAIN_SECONDS)
    pause = RETRY_SECONDS if event.reason in _MENDED_BY_TIME else LATE_RETRY_SECONDS
    rested = seconds_between(_ended_at(seen.manifest), now)
    if rested < pause:
        return FetchStep(pinned=weights, event=event, again=pause - rested)
    return FetchStep(pinned=weights, event=event, retry=True)


def placement_fetch(
    placement: ModelPlacement, seen: JobSight | None, settings: PoolSettings, now: str
) -> FetchStep:
    """Decide what comes next for the weights of a placement.

    Args:
        placement: Its status remembers what an earlier Job came to.
        seen: The Job of its weights, where there is one.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    spec = placement.spec
    known = known_fetch(placement.status, job_name(spec.weights))
    step = fetch_step(spec.weights, known, seen, settings, now)
    found, pinned = step.weights, spec.args.sha256
    if found is None or found.sha256 is None or pinned in (None, found.sha256):
        return step
    refused = FetchFailed(
        reason=Reason.DIGEST_MISMATCH,
        message=f"{spec.weights.uri} has a file with sha256 {found.sha256} now, and the one that "
        f"was decided on has {pinned}. Set `spec.source.sha256` to the one that is to be served.",
    )
    return replace(step, event=refused, done=False)


def _unpulled(job: str, unpulled: UnpulledImage) -> FetchFailed:
    message = pull_failure(unpulled, f"the fetch Job {job}")
    return FetchFailed(reason=Reason.IMAGE_PULL_FAILED, message=message)


def _without_a_claim(uri: str, secret: str) -> FetchFailed:
    return FetchFailed(
        reason=Reason.SOURCE_NOT_SUPPORTED,
        message=f"{uri} needs the Secret {secret}, which only a fetch Job may see, and here "
        "replicas fetch for themselves: the chart's weights.volume.kind is Pool. Set it to Claim, "
        "or use weights that need no Secret.",
    )


def _ended_at(job: Manifest) -> str:
    """Return when a Job ended, which one that was read as failed has."""
    ends = (each for each in job["status"]["conditions"] if each["type"] in _ENDS)
    ended: str = next(each["lastTransitionTime"] for each in ends if each["status"] == "True")
    return ended
