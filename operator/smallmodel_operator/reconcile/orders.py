"""What a pass over a namespace wants done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.modelplacement import ModelPlacementStatus
from smallmodel_operator.plan.pools.values import ClusterPool, Manifest
from smallmodel_operator.reconcile.sight import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """An object of ours that is to go, with all that belongs to it."""

    kind: Literal["RayService", "Job", "PersistentVolumeClaim"]
    """A RayService stands for its Secret and its fence too, and the claim for that of fetches."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """A verifying request to send."""

    model: str
    pool: str
    head: Head
    """Of the pool."""
    task: Task
    serving_hash: str
    timeout: float
    """Seconds for the whole request."""
    patience: float
    """Seconds in which a refusal that may pass is asked again."""
    last_asked: str = ""
    """When it was asked before, as RFC 3339; empty: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceOrders:
    """In the order in which they are carried out."""

    pools: tuple[ClusterPool, ...] = ()
    """Every pool that is to be: its token, its other objects and its RayService."""
    jobs: tuple[Manifest, ...] = ()
    """Fetch Jobs to create."""
    wants_claim: bool = False
    """Models are to be fetched or served, so the claim for weights has to be there."""
    delete: tuple[Doomed, ...] = ()
    statuses: Mapping[str, ModelPlacementStatus] = field(default_factory=dict)
    """Changed ones, by the placement's name."""
    release: tuple[str, ...] = ()
    """Placements that nothing is left of: their finalizer may go."""
    probes: tuple[ProbeOrder, ...] = ()
    again: float | None = None
    """Seconds until the next look, where no event will ask for it."""
