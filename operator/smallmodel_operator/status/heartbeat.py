"""Whether an agent is there, from the Lease that it renews on the hub.

The clocks of two clusters may be minutes apart, so no time in the Lease is read: it is only asked
whether the Lease changed, and how long ago that was by the hub's own clock.
"""

from dataclasses import dataclass
from typing import Final

SILENT_SECONDS: Final = 15.0
"""Longer than from one heartbeat to the next, and shorter than two."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What an agent's Lease says."""

    version: str
    """Another one for each write of the Lease."""
    cluster_uid: str
    """Of the cluster in which the agent runs."""
    request: str | None = None
    """For a certificate of its gateway; None: it has what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is known of an agent's heartbeats."""

    last: Heartbeat | None = None
    """As it was read last."""
    at: float = 0.0
    """When it was first read as it is now, by the hub's clock."""
    beats: bool = False
    """It changed since this process looked first: what lay there before may be years old."""

    def silent_for(self, now: float) -> float:
        """Return how long nothing was heard, or for how long it was listened to."""
        return now - self.at

    def is_silent(self, now: float) -> bool:
        """Return whether a heartbeat is overdue."""
        return self.silent_for(now) > SILENT_SECONDS


def hear(before: Heard | None, beat: Heartbeat | None, now: float) -> Heard:
    """Return what is known with one more look at the Lease.

    Args:
        before: What was known; None: nobody looked yet.
        beat: What the Lease says; None: there is no Lease.
        now: Seconds by the hub's clock, which never goes back.
    """
    if before is None:
        return Heard(last=beat, at=now)
    if beat is None or beat == before.last:
        return before
    return Heard(last=beat, at=now, beats=True)
