"""A cluster as the operator sees it when it decides, read for `slm plan` and `slm doctor`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL, LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.cli.cluster.installed import (
    OPERATOR_LABELS,
    Installed,
    find_installed,
    settings_of,
)
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.placement.cluster import ClusterView, PoolSeats
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.plan.pools.live import read_pool
from smallmodel_operator.plan.pools.values import LivePool, PoolError, PoolSettings
from smallmodel_operator.settings import Settings

if TYPE_CHECKING:
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.observe import ClusterFacts

_UNKNOWN_HUB: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a decision depends on."""

    settings: Settings
    assumed: bool
    """True: no operator's settings could be read, and those are the chart's defaults."""
    hub_id: str
    facts: "ClusterFacts"
    catalog: Catalog
    placements: tuple[ModelPlacement, ...]
    pools: tuple[LivePool, ...]
    cluster: ModelCluster
    sources: tuple[DataSource, ...]
    """DataSources of all namespaces, by namespace and name."""

    def around(self, namespace: str) -> Around:
        """Return what models of a namespace are placed among."""
        there = tuple(one for one in self.sources if one.metadata.namespace == namespace)
        return Around(
            clusters=(facts_of(self.cluster, there),),
            sources=there,
            policy=self.settings.placement.policy(),
            tables=self.settings.placement.price_tables(),
        )

    @property
    def pool_settings(self) -> PoolSettings:
        """The installation's choices for pools."""
        return self.settings.pools(self.hub_id)

    def view(self) -> ClusterView:
        """Return the cluster as placement takes it."""
        return view_of(
            LOCAL_CLUSTER, self.facts, self.pools, self.placements, self.settings, self.hub_id
        )


def view_of(
    name: str,
    facts: "ClusterFacts",
    pools: Iterable[LivePool],
    placements: Iterable[ModelPlacement],
    settings: Settings,
    hub_id: str,
) -> ClusterView:
    """Return a cluster as placement takes it.

    Args:
        name: The ModelCluster's.
        facts: What was seen of it.
        pools: The installation's there.
        placements: Those of it.
        settings: The operator's.
        hub_id: Names the installation.
    """
    from smallmodel_operator.clusters.view import sight_of

    pool_settings = settings.pools(hub_id)
    engines = {Engine.LLAMA_CPP} | ({Engine.VLLM} if pool_settings.gpu_image else set())
    return ClusterView(
        name=name,
        nodes=sight_of(facts, pool_settings).nodes,
        engines=frozenset(engines),
        pools=tuple(_seats(pools, placements)),
        models_per_pool=pool_settings.models_per_pool,
        max_workers=settings.workers_max,
        request_timeout_seconds=pool_settings.request_timeout_seconds,
    )


def _seats(pools: Iterable[LivePool], placements: Iterable[ModelPlacement]) -> Iterable[PoolSeats]:
    assigned = Counter((one.spec.model.namespace, one.status.pool) for one in placements)
    for pool in pools:
        namespace = pool.key.namespace
        yield PoolSeats(
            namespace=namespace,
            worker_class=pool.key.worker.name,
            models=max(len(pool.models), assigned[namespace, pool.name]),
            dedicated=pool.key.dedicated_to is not None,
        )


async def observe(session: Session) -> Observed:
    """Return what decisions depend on now.

    Raises:
        ApiError: Something of it could not be read, for example since the caller may not.
        CommandError: An object is of another version.
    """
    from smallmodel_operator.clusters.observe import ClusterObserver
    from smallmodel_operator.clusters.ref import MODELCARDS

    operators = await find_operators(session)
    settings = settings_of(operators[0]) if operators else None
    hub = await read_hub(session)
    cluster = await read_cluster(session)
    cards, _ = await session.api.list(MODELCARDS)
    return Observed(
        settings=settings or default_settings(),
        assumed=settings is None,
        hub_id=hub,
        facts=await ClusterObserver(session.api, hub).observe(),
        catalog=read_catalog(cards),
        placements=await read_placements(session),
        pools=await read_pools(session, hub),
        cluster=cluster,
        sources=await read_sources(session),
    )


async def find_operators(session: Session) -> tuple[Installed, ...]:
    """Return the Deployments of operators; none where the caller may not read them."""
    from smallmodel_operator.clusters import errors

    try:
        return await find_installed(session, OPERATOR_LABELS)
    except errors.Forbidden:
        return ()


async def read_hub(session: Session) -> str:
    """Return the installation's id, as its ModelCluster has it.

    Raises:
        ApiError: It could not be read.
    """
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    cluster = await session.api.get(MODELCLUSTERS.ref(LOCAL_CLUSTER)) or {}
    labels = (cluster.get("metadata") or {}).get("labels") or {}
    return str(labels.get(LABEL_HUB) or _UNKNOWN_HUB)


async def read_cluster(session: Session) -> ModelCluster:
    """Return what is declared of the cluster; nothing where it is not there yet.

    Raises:
        ApiError: It could not be read.
        CommandError: It is of another version.
    """
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    found = await session.api.get(MODELCLUSTERS.ref(LOCAL_CLUSTER))
    if found is None:
        return ModelCluster(metadata=ObjectMeta(name=LOCAL_CLUSTER))
    try:
        return ModelCluster.model_validate(found)
    except ValidationError as error:
        raise _of_another_version("the ModelCluster", error) from error


async def read_sources(session: Session) -> tuple[DataSource, ...]:
    """Return the DataSources of all namespaces, by namespace and name.

    Raises:
        ApiError: They could not be read.
        CommandError: One is of another version: whom it binds is not known.
    """
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import DATASOURCES

    try:
        found, _ = await session.api.list(DATASOURCES)
        read = [DataSource.model_validate(one) for one in found]
    except errors.ApiMissing:
        # An operator from before there were any.
        return ()
    except ValidationError as error:
        raise _of_another_version("a DataSource", error) from error
    return tuple(sorted(read, key=lambda one: (one.metadata.namespace, one.metadata.name)))


def _of_another_version(what: str, error: ValidationError) -> CommandError:
    field = ".".join(str(part) for part in error.errors()[0]["loc"])
    return CommandError(
        f"{what} of this cluster has {field}, which this version of slm does not know; take the "
        "slm of the operator's version"
    )


def default_settings() -> Settings:
    """Return what the chart's defaults come to, as far as decisions depend on them."""
    return Settings.from_environment(
        {
            "SMALLMODEL_NAMESPACE": "smallmodel-system",
            "SMALLMODEL_SERVING_CPU_IMAGE": "smallmodel-serving-cpu",
        }
    )


def read_catalog(cards: Iterable[object]) -> Catalog:
    """Return the ModelCards that can be read; others are what the operator leaves out, too."""
    read: list[ModelCard] = []
    for card in cards:
        try:
            read.append(ModelCard.model_validate(card))
        except ValidationError:
            continue
    return Catalog(cards=tuple(sorted(read, key=lambda card: card.metadata.name)))


async def read_placements(session: Session) -> tuple[ModelPlacement, ...]:
    """Return the ModelPlacements of the cluster.

    Raises:
        ApiError: They could not be read.
        CommandError: One is of another version.
    """
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    found, _ = await session.api.list(MODELPLACEMENTS, placement_namespace(LOCAL_CLUSTER))
    try:
        return tuple(ModelPlacement.model_validate(one) for one in found)
    except ValidationError as error:
        raise _of_another_version("a ModelPlacement", error) from error


async def read_pools(
    session: Session, hub: str, namespace: str | None = None
) -> tuple[LivePool, ...]:
    """Return the installation's pools in the session's cluster; see `pools_of`.

    Raises:
        ApiError: They could not be read.
    """
    return await pools_of(session.api, hub, namespace)


async def pools_of(api: "Api", hub: str, namespace: str | None = None) -> tuple[LivePool, ...]:
    """Return the installation's pools, of one namespace or of all, by namespace and name.

    Raises:
        ApiError: They could not be read.
    """
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import RAYSERVICES

    labels = f"{LABEL_POOL},{LABEL_HUB}={hub}"
    try:
        found, _ = await api.list(RAYSERVICES, namespace, labels=labels)
    except errors.ApiMissing:
        return ()
    pools: list[LivePool] = []
    for manifest in found:
        try:
            pools.append(read_pool(manifest))
        except PoolError:
            # Edited by hand; the operator counts no seats there either.
            continue
    return tuple(sorted(pools, key=lambda pool: (pool.key.namespace, pool.name)))
