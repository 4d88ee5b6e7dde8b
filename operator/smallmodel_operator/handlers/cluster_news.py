"""What is new of a ModelCluster, whoever read it first: the watch, or who writes its status."""

from dataclasses import dataclass

from smallmodel_operator.api.conditions import ClusterConditionType
from smallmodel_operator.api.modelcluster import LinkState, ModelCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNews:
    """Who is concerned by it."""

    name: str
    """The ModelCluster."""
    declared: bool = False
    """Every model: an administrator says something else of it, or it is there, or gone."""
    room: bool = False
    """Models that wait for a place: it says something else of its room, or says it at all."""
    link: bool = False
    """Models with a copy there: the hub reaches it otherwise than before."""


def news_of(before: ModelCluster | None, after: ModelCluster) -> ClusterNews:
    """Return what is new of a cluster, of which nothing was known before, or that."""
    name = after.metadata.name
    if before is None:
        return ClusterNews(name=name, declared=True)
    return ClusterNews(
        name=name,
        declared=(before.spec, before.metadata.labels) != (after.spec, after.metadata.labels),
        room=_room(before) != _room(after),
        link=_link(before) is not _link(after),
    )


def _room(cluster: ModelCluster) -> tuple[object, ...]:
    kind = ClusterConditionType.FACTS_FRESH
    seen = tuple(one.status for one in cluster.status.conditions if one.type == kind)
    return cluster.status.capacity, seen


def _link(cluster: ModelCluster) -> LinkState | None:
    return cluster.status.link.state if cluster.status.link is not None else None
