"""Snapshots of a fake hub, in which every cluster was seen a moment ago."""

from typing import Any

from builders.cards import CardBuilder, catalog
from builders.fake_hub import FakeHub
from builders.pool_values import pool_settings
from smallmodel_operator.api.conditions import ClusterConditionType
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.modelcluster import ModelCluster, ModelClusterStatus
from smallmodel_operator.reconcile.replay import Snapshot


def snapshot_of(hub: FakeHub, **changes: Any) -> Snapshot:
    """All that the decisions of a hub read, as it is now."""
    values: dict[str, Any] = {
        "at": hub.now,
        "hub_id": "hub",
        "clusters": tuple(map(seen_now, hub.clusters.values())),
        "sources": hub.sources,
        "models": tuple(hub.models.values()),
        "placements": tuple(hub.placements.values()),
        "catalog": catalog(CardBuilder()),
        "views": hub.views,
        "settings": pool_settings(),
        "policy": hub.policy,
    }
    return Snapshot(**values | changes)


def seen_now(cluster: ModelCluster) -> ModelCluster:
    """A cluster whose nodes were seen a moment ago."""
    fresh = Condition(
        type=ClusterConditionType.FACTS_FRESH,
        status="True",
        last_transition_time="2026-11-24T11:00:00Z",
        reason="Observed",
    )
    return cluster.model_copy(update={"status": ModelClusterStatus(conditions=(fresh,))})
