"""The file of `slm snapshot`: all that decisions read, and what was decided of it.

No Secret's content is in it, and of annotations only our own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from smallmodel_operator import __version__
from smallmodel_operator.api import where as api
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.placement.cluster import ClusterView, Node, PoolSeats
from smallmodel_operator.placement.machine import AcceleratorStock
from smallmodel_operator.placement_settings import PlacementSettings
from smallmodel_operator.reconcile.replay import Replayed, Snapshot, replay
from smallmodel_operator.settings import Settings

KIND: Final = "SmallModelSnapshot"
VERSION: Final = 1
RECORD: Final = "slm snapshot > snapshot.json"
_OURS: Final = "smallmodel.dev/"


class StockRecord(ApiModel):
    """Devices of a node."""

    product: str
    count: int
    memory_bytes: int | None = None


class NodeRecord(ApiModel):
    """A node, as it was observed."""

    name: str
    schedulable: bool
    ready: bool
    cpu_cores: float
    memory_bytes: int
    free_cpu_cores: float
    free_memory_bytes: int
    accelerator: StockRecord | None = None
    free_accelerators: int = 0


class PoolRecord(ApiModel):
    """A pool, and how full it is."""

    namespace: str
    worker_class: str
    models: int
    dedicated: bool


class ViewRecord(ApiModel):
    """A cluster, as it was observed."""

    name: str
    nodes: tuple[NodeRecord, ...]
    engines: tuple[Engine, ...]
    pools: tuple[PoolRecord, ...]
    models_per_pool: int
    max_workers: int
    request_timeout_seconds: float


class DecisionRecord(ApiModel):
    """What was decided of a model."""

    namespace: str
    name: str
    clusters: tuple[str, ...]
    """Where it is to be."""
    decision: api.Decision | None = None
    why_not: str = ""
    """Why it did not come to a decision."""


class SnapshotFile(ApiModel):
    """The file."""

    kind: Literal["SmallModelSnapshot"] = KIND
    version: Literal[1] = VERSION
    slm: str
    """The version of the program that wrote it."""
    taken_at: str
    hub_id: str
    placement: PlacementSettings
    """How clusters are weighed, as the operator was told."""
    clusters: tuple[ModelCluster, ...]
    unseen: dict[str, str]
    """Clusters whose nodes could not be read, and why: nothing new would be placed there."""
    sources: tuple[DataSource, ...]
    cards: tuple[ModelCard, ...]
    models: tuple[SmallModel, ...]
    placements: tuple[ModelPlacement, ...]
    views: tuple[ViewRecord, ...]
    decisions: tuple[DecisionRecord, ...] = ()

    def snapshot(self) -> Snapshot:
        """Return it as decisions are taken of it."""
        return Snapshot(
            at=self.taken_at,
            hub_id=self.hub_id,
            clusters=self.clusters,
            sources=self.sources,
            models=self.models,
            placements=self.placements,
            catalog=Catalog(cards=self.cards),
            views={one.name: _view(one) for one in self.views},
            settings=_settings().pools(self.hub_id),
            policy=self.placement.policy(),
            tables=self.placement.price_tables(),
        )

    @property
    def text(self) -> str:
        """The file's text; the same for the same values."""
        return self.model_dump_json(indent=1, exclude_none=True, by_alias=True) + "\n"

    def not_reproduced(self) -> tuple[str, ...]:
        """Return the models of which this program decides another thing than was recorded."""
        found = {(one.namespace, one.name): one.model_dump_json() for one in _decided(self)}
        return tuple(
            f"{one.namespace}/{one.name}"
            for one in self.decisions
            if found.get((one.namespace, one.name)) != one.model_dump_json()
        )


def recorded(
    *,
    taken_at: str,
    hub_id: str,
    settings: Settings,
    objects: Mapping[type[ApiModel], tuple[Any, ...]],
    views: Mapping[str, ClusterView],
    unseen: Mapping[str, str],
) -> SnapshotFile:
    """Return the file for what was read, with what is decided of it.

    Args:
        taken_at: RFC 3339 time.
        hub_id: Names the installation.
        settings: The operator's.
        objects: By kind.
        views: What was seen of clusters.
        unseen: Of which clusters nothing was, and why.
    """
    file = SnapshotFile(
        slm=__version__,
        taken_at=taken_at,
        hub_id=hub_id,
        placement=settings.placement,
        clusters=tuple(map(_bare, objects[ModelCluster])),
        unseen=dict(unseen),
        sources=tuple(map(_bare, objects[DataSource])),
        cards=tuple(map(_bare, objects[ModelCard])),
        models=tuple(map(_bare, objects[SmallModel])),
        placements=tuple(map(_bare, objects[ModelPlacement])),
        views=tuple(_recorded_view(views[name]) for name in sorted(views)),
    )
    return file.model_copy(update={"decisions": _decided(file)})


def read_snapshot(path: Path) -> SnapshotFile:
    """Return what a file has.

    Raises:
        CommandError: It cannot be read, is cut short, or is of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"{path} does not exist. Take a snapshot: {RECORD}"
        raise CommandError(message, ExitCode.NOT_FOUND) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = (
            f"{path} is cut short, or no snapshot: {error}. Take it again: {RECORD}. What kubectl "
            "recorded is given without --snapshot"
        )
        raise CommandError(message, ExitCode.INVALID_MANIFEST) from error
    given = content if isinstance(content, dict) else {}
    if given.get("kind") != KIND:
        raise CommandError(
            f"{path} has the kind {given.get('kind')!r}, and a snapshot has {KIND}. Take one: "
            f"{RECORD}. What kubectl recorded is given without --snapshot",
            ExitCode.INVALID_MANIFEST,
        )
    if given.get("version") != VERSION:
        raise CommandError(
            f"{path} is a snapshot of version {given.get('version')}, written by slm "
            f"{given.get('slm')}; slm {__version__} reads version {VERSION}. Take it again, or "
            "use that slm",
            ExitCode.INVALID_MANIFEST,
        )
    try:
        return SnapshotFile.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CommandError(f"{path}: {where}: {first['msg']}", ExitCode.INVALID_MANIFEST) from error


def _decided(file: SnapshotFile) -> tuple[DecisionRecord, ...]:
    currency = file.placement.currency
    return tuple(_recorded_decision(one, currency) for one in replay(file.snapshot()))


def _recorded_decision(found: Replayed, currency: str) -> DecisionRecord:
    return DecisionRecord(
        namespace=found.namespace,
        name=found.name,
        clusters=found.clusters,
        decision=found.told(currency),
        why_not=found.why_not,
    )


def _bare(one: Any) -> Any:
    """Return an object without what other programs wrote into its annotations."""
    kept = {name: text for name, text in one.metadata.annotations.items() if _OURS in name}
    return one.model_copy(
        update={"metadata": one.metadata.model_copy(update={"annotations": kept})}
    )


def _recorded_view(view: ClusterView) -> ViewRecord:
    return ViewRecord(
        name=view.name,
        nodes=tuple(NodeRecord.model_validate(one, from_attributes=True) for one in view.nodes),
        engines=tuple(sorted(view.engines)),
        pools=tuple(PoolRecord.model_validate(one, from_attributes=True) for one in view.pools),
        models_per_pool=view.models_per_pool,
        max_workers=view.max_workers,
        request_timeout_seconds=view.request_timeout_seconds,
    )


def _view(one: ViewRecord) -> ClusterView:
    return ClusterView(
        name=one.name,
        nodes=tuple(map(_node, one.nodes)),
        engines=frozenset(one.engines),
        pools=tuple(PoolSeats(**pool.model_dump(by_alias=False)) for pool in one.pools),
        models_per_pool=one.models_per_pool,
        max_workers=one.max_workers,
        request_timeout_seconds=one.request_timeout_seconds,
    )


def _node(one: NodeRecord) -> Node:
    values = one.model_dump(by_alias=False, exclude={"accelerator"})
    stock = one.accelerator
    return Node(
        **values,
        accelerator=AcceleratorStock(**stock.model_dump(by_alias=False)) if stock else None,
    )


def _settings() -> Settings:
    """Return settings for what decisions do not depend on: of images only that there are any."""
    return Settings.from_environment(
        {
            "SMALLMODEL_NAMESPACE": "smallmodel-system",
            "SMALLMODEL_SERVING_CPU_IMAGE": "smallmodel-serving-cpu",
        }
    )
