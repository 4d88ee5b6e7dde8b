"""What is in the files that are carried to a cluster that no line reaches, and back.

They are signed as text; what that looks like is in `reconcile/bundle.py`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.modelcluster import ModelClusterStatus
from smallmodel_operator.api.modelplacement import Problem
from smallmodel_operator.api.smallmodel import Name

Objects = tuple[dict[str, Any], ...]
"""Kubernetes objects as they are: the side that reads them may know fewer fields."""


class BundleKind(StrEnum):
    """Which way a file goes."""

    PLACEMENTS = "Placements"
    """From the hub: what it decided for the cluster."""
    STATUS = "Status"
    """From the cluster: what became of that."""


class BundleHead(ApiModel):
    """For whom a file is, and which one it is."""

    kind: BundleKind
    """Which way it goes."""
    hub_id: Annotated[str, Field(min_length=1, max_length=63, alias="hubID")]
    """The installation."""
    cluster: Name
    """The ModelCluster."""
    cluster_uid: Annotated[str, Field(min_length=1, max_length=63, alias="clusterUID")]
    """Of the cluster's namespace kube-system."""
    contract: int
    """The highest contract that its writer knows."""
    serial: Annotated[int, Field(ge=1)]
    """Grows from file to file."""
    exported_at: str
    """When it was written, by its writer's clock, as RFC 3339."""

    @field_validator("exported_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if datetime.fromisoformat(text).tzinfo is None:
            raise ValueError("it lacks the offset from UTC")
        return text


class PlacementBundle(BundleHead):
    """All that the hub decided for the cluster, as its agent would read it."""

    kind: Literal[BundleKind.PLACEMENTS] = BundleKind.PLACEMENTS
    placements: Objects
    """The ModelPlacements; those that are being deleted say so."""


class StatusBundle(BundleHead):
    """All that the cluster has to tell, as its agent would write it."""

    kind: Literal[BundleKind.STATUS] = BundleKind.STATUS
    applied: int | None = None
    """The serial of the hub's file that was taken last; unset: none was."""
    status: ModelClusterStatus
    """What was seen of the cluster."""
    mirrors: Objects
    """The mirrors with their statuses."""
    refused: dict[Name, Problem] = Field(default_factory=dict)
    """By name of the placement: why it was not taken from that file."""
    gone: tuple[str, ...] = ()
    """UIDs of the hub's objects of which nothing is left here, after that file said that they are
    being deleted."""


class TakenPlacement(ApiModel):
    """What is remembered of a placement of the last file."""

    uid: str
    """Of the hub's object."""
    ending: bool = False
    """The hub's object is being deleted."""
    problem: Problem | None = None
    """Why it was not taken."""


class TakenBundle(ApiModel):
    """What a cluster remembers of the last file that it took."""

    serial: int = 0
    """Of that file; 0: none was taken yet."""
    digest: str = ""
    """Its SHA-256."""
    exported_at: str = ""
    """When the hub wrote it."""
    told: int = 0
    """The serial of the last file that was written here."""
    placements: dict[Name, TakenPlacement] = Field(default_factory=dict)
    """Those of that file, by name."""
