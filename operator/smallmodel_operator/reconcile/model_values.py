"""What one pass over a SmallModel knows, and what it has written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement, Problem
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.sight import JobSight


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSight:
    """Everything that one pass over a SmallModel knows."""

    model: SmallModel
    placements: tuple[ModelPlacement, ...] = ()
    """Its copies, each on a cluster of its own."""
    catalog: Catalog
    views: Mapping[str, ClusterView] = field(default_factory=dict)
    """What was seen of the nodes and pools of each cluster; none of those not seen yet."""
    around: Around | None
    """The clusters as administrators declare them, and the namespace's data. None: not read yet."""
    secrets: frozenset[str]
    """Names of the Secrets in the model's namespace that it may need and that are there."""
    url: str
    """The base URL of the endpoint, which never changes in a model's life."""
    hub_id: str
    job: JobSight | None = None
    """The Job that fetches the model's source, where there is one."""
    refused: Problem | None = None
    """What was said at the last try against that Job, or against what all Jobs need."""
    due: bool = True
    """Whether it is time to ask again if it should be elsewhere."""
    pause: str | None = None
    """Why no copy of any model begins to move now; None: one may."""
    drops_held: bool = False
    """Whether too many copies of all models would be taken down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSight:
    """Everything that one pass knows of a SmallModel that breaks a rule only this program knows."""

    metadata: ObjectMeta
    status: SmallModelStatus
    """What was said of it before."""
    message: str
    """Which field, and what is wrong with it."""
    placements: tuple[ModelPlacement, ...]
    around: Around | None
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrders:
    """What is to be written, in this order."""

    hold: bool = False
    """The finalizer is to be set: what follows has to be taken down again."""
    fetch: Manifest | None = None
    """A fetch Job to create: the model's card is made of what it finds."""
    fetch_again: str | None = None
    """The fetch Job that failed and is to go, so that another one is made."""
    placements: tuple[ModelPlacement, ...] = ()
    """To be applied."""
    drops: tuple[ModelPlacement, ...] = ()
    """To be deleted."""
    release: bool = False
    """The finalizer may go: the placements are on their way out."""
    status: SmallModelStatus | None = None
    """Set where a fact changed."""
    again: float | None = None
    moves: int = 0
    """Placements of these that follow others, which go on meanwhile."""
    unwanted: tuple[ModelPlacement, ...] = ()
    """Copies that are taken down, or would be, though neither their author nor a law ends them."""
