"""The condition types of each kind that has some, each with what makes it true."""

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


class ClusterConditionType(StrEnum):
    """Types of a ModelCluster's `status.conditions[]`."""

    READY = "Ready"
    """Its nodes were seen, and KubeRay and whatever leads requests to models are there."""
    CONNECTED = "Connected"
    """The hub reads and writes there, Degraded links included."""
    FACTS_FRESH = "FactsFresh"
    """Its nodes and capacity were seen at the last look."""
    SCHEDULABLE = "Schedulable"
    """New copies may go there: it is connected, seen and Ready, and no taint keeps models away."""
    MIRRORED = "Mirrored"
    """It has no placements but those that the hub has; another cluster than the hub's own."""


class DataConditionType(StrEnum):
    """Types of a DataSource's `status.conditions[]`.

    It has none without `spec.claim` and `spec.bucket`.
    """

    LOCATED = "Located"
    """Where the data is was read: a bound claim of that name was found, or S3 told the bucket's
    region."""
