"""The condition types of a SmallModel, each with the facts that make it true."""

from enum import StrEnum


class ConditionType(StrEnum):
    """Types of `status.conditions[]`; kstatus reads the last three."""

    RESOLVED = "Resolved"
    """The card, the licence, the engine's options and the sizes are known."""
    PLACED = "Placed"
    """A machine is chosen on which the model fits."""
    DEPLOYED = "Deployed"
    """The current serving hash runs in its pool."""
    VERIFIED = "Verified"
    """A real completion came back from the current serving hash."""
    AVAILABLE = "Available"
    """A verified copy of any revision answers now: what alerts watch."""
    READY = "Ready"
    """Available, and the current revision is verified: what `kubectl wait` watches."""
    RECONCILING = "Reconciling"
    """Work is in progress."""
    STALLED = "Stalled"
    """Nothing goes on until a person acts."""
