"""What was seen of one model, by whoever looked: the input of every condition."""

from dataclasses import dataclass
from enum import StrEnum

from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Performance
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Placement, Unplaced


class EngineState(StrEnum):
    """What the engine of a running replica does."""

    LOADING = "Loading"
    AWAKE = "Awake"
    ASLEEP = "Asleep"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Ray Serve's view of the model's application."""

    serving_hash: str
    """Of the arguments that Serve was given last."""
    healthy: bool
    failed: bool
    """True: Serve gave up, or marks the application unhealthy."""
    replicas: int
    """Replicas that run."""
    message: str = ""
    """Serve's own words, cleaned and shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The verifying request's outcome."""

    serving_hash: str
    """Of what was deployed when the request was sent."""
    passed: bool
    reason: Reason
    message: str
    performance: Performance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that is known of one model at one moment; None is not yet known."""

    generation: int
    url: str
    outcome: ResolveError | Unplaced | Placement | None = None
    fetch: FetchEvent | None = None
    serving_hash: str | None = None
    """Of what the spec asks for now."""
    deployment: Deployment | None = None
    engine: EngineState | None = None
    """Of the busiest replica; None: no replica, or not seen."""
    engine_message: str = ""
    """Why it failed."""
    probe: Probe | None = None
    """The last one, of whichever serving hash."""
