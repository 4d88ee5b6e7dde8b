"""What the driver prints for the supervisor to show: one JSON object a line."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.local.state import ProblemReport
from smallmodel_operator.status.state import State


class StackEvent(ApiModel):
    """A step of the run itself, such as `ray` or `envoy`, with the seconds it took."""

    kind: Literal["stack"] = "stack"
    step: str
    done: bool
    seconds: float
    """Since the run began."""


class ModelEvent(ApiModel):
    """A model's new state or message."""

    kind: Literal["model"] = "model"
    name: str
    state: State
    message: str
    seconds: float
    """Since the run began."""
    done_bytes: int | None = None
    """Set while fetching."""
    total_bytes: int | None = None


class SettledEvent(ApiModel):
    """Every model is ready or needs a person; printed each time that becomes true."""

    kind: Literal["settled"] = "settled"
    seconds: float


class ProblemEvent(ApiModel):
    """A manifest that was not taken; the others run."""

    kind: Literal["problem"] = "problem"
    problem: ProblemReport


class StopEvent(ApiModel):
    """The run ends; an error says why it could not go on."""

    kind: Literal["stop"] = "stop"
    error: str | None = None
    exit_code: int = 0


DriverEvent = StackEvent | ModelEvent | SettledEvent | ProblemEvent | StopEvent
DRIVER_EVENTS: TypeAdapter[DriverEvent] = TypeAdapter(
    Annotated[DriverEvent, Field(discriminator="kind")]
)
