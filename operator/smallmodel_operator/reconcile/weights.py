"""Weights: which fetch Jobs there are to be, and how far they have come."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.fetch import FetchDone, FetchEvent, FetchFailed
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.fetchjob import build_fetch_job, job_name, read_fetch
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings
from smallmodel_operator.reconcile.clock import seconds_between
from smallmodel_operator.reconcile.sight import JobSight

RETRY_SECONDS: Final = 60.0
"""Pause after a failed fetch that time may mend."""

LATE_RETRY_SECONDS: Final = 1800.0
"""Pause after any other one: somebody may have mended the source or the settings."""

_MENDED_BY_TIME: Final = frozenset({Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStep:
    """How far the weights of one placement are, and what is to be done for them."""

    job: str
    event: FetchEvent | None
    create: Manifest | None = None
    delete: bool = False
    """The Job has done its work, or is to be tried anew."""
    again: float | None = None

    @property
    def weights(self) -> FetchDone | None:
        """The verified weights, once they are there."""
        return self.event if isinstance(self.event, FetchDone) else None


def fetch_step(
    placement: ModelPlacement, seen: JobSight | None, settings: PoolSettings, now: str
) -> FetchStep:
    """Decide what comes next for a placement's weights.

    Args:
        placement: Its status remembers what an earlier Job came to.
        seen: The Job of its weights, where there is one.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    job = job_name(placement)
    status = placement.status
    known = status.fetch if status.fetch_job == job else None
    if isinstance(known, FetchDone):
        return FetchStep(job=job, event=known, delete=seen is not None)
    if seen is None:
        return FetchStep(job=job, event=known, create=build_fetch_job(placement, settings))
    event = read_fetch(seen.manifest, seen.last_words)
    if not isinstance(event, FetchFailed):
        return FetchStep(job=job, event=event, again=None if event else 2.0)
    pause = RETRY_SECONDS if event.reason in _MENDED_BY_TIME else LATE_RETRY_SECONDS
    rested = seconds_between(_ended_at(seen.manifest) or now, now)
    if rested < pause:
        return FetchStep(job=job, event=event, again=pause - rested)
    return FetchStep(job=job, event=event, delete=True)


def _ended_at(job: Manifest) -> str | None:
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] == "Failed" and condition["status"] == "True":
            ended: str = condition["lastTransitionTime"]
            return ended
    return None
