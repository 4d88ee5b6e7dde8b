"""Object metadata and conditions, as Kubernetes writes them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel

ConditionStatus = Literal["True", "False", "Unknown"]


class ObjectMeta(ApiModel):
    """The part of an object's metadata that this project reads.

    Everything else that Kubernetes puts there is ignored, never refused.
    """

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(pattern=patterns.NAME, max_length=63)]
    namespace: Annotated[str, Field(pattern=patterns.NAME, max_length=63)] = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    generation: Annotated[int, Field(ge=0)] = 0
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    """Set: it is being deleted, and waits for its finalizers."""
    finalizers: tuple[str, ...] = ()


class Condition(ApiModel):
    """One observed fact about an object, shaped as `metav1.Condition`."""

    type: Annotated[str, Field(max_length=63)]
    """The condition, for example Ready."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the spec that this condition speaks of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed, as RFC 3339."""
    reason: Annotated[str, Field(pattern=patterns.REASON, max_length=63)]
    """Why, as one CamelCase word from the list of reasons."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """The value, the rule and the next step."""
