"""What was seen of one model, by whoever looked: the input of every condition."""

from dataclasses import dataclass

from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.modelplacement import Problem, Quarantine
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import Copy, Engine, Performance
from smallmodel_operator.api.where import Decision
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Placement, Unplaced


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
class Pinned:
    """A choice that was made before and stands."""

    engine: Engine
    variant: str
    message: str


Outcome = ResolveError | Unplaced | Placement | Pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that is known of one model at one moment; None is not yet known."""

    generation: int
    url: str
    outcome: Outcome | None = None
    fetch: FetchEvent | None = None
    serving_hash: str | None = None
    """Of what the spec asks for now."""
    deployment: Deployment | None = None
    engine: EngineState | None = None
    """Of the busiest replica; None: no replica, or not seen."""
    engine_reason: Reason | None = None
    """Why it failed, in one word."""
    engine_message: str = ""
    """Why it failed."""
    probe: Probe | None = None
    """The last one, of whichever serving hash."""
    problem: Problem | None = None
    """What keeps its pool from being made or changed."""
    quarantine: Quarantine | None = None
    """Set while a revision that never worked is out of its pool."""
    moving_to: str | None = None
    """The pool that the model is being added to, while `deployment` speaks of the one before."""
    copies: tuple[Copy, ...] = ()
    """The model on each cluster, as it runs there."""
    behind: bool = False
    """True: the serving cluster has not taken what was decided last, so what is known of it speaks
    of an earlier spec."""
    looked_after: bool = False
    """True: a failed verifying request is sent again, and what once worked is started again."""
    decision: Decision | None = None
    """What was said of each cluster; None: what was said before still holds."""
    answered_before: bool = False
    """True: what is deployed was verified, though the last request was for another revision."""
    cluster: str | None = None
    """Where it is, of several copies."""
    others: tuple["Observation", ...] = ()
    """The model's other copies, each as it was seen."""
    asked: int = 1
    """Copies that the spec asks for."""
    lacking: Unplaced | None = None
    """Why what is placed is not all that is asked for."""
    remark: tuple[Reason, str] | None = None
    """What is to be known of where it is placed, though nothing lacks."""
