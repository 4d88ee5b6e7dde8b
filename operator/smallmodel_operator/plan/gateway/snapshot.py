"""Whether a new snapshot of all routes may replace the last good one: stale is fine, empty is not.

What was read of a cluster can be wrong for a while: a cache that is still being filled, an API
server that answers with half a list. Routes that nobody deleted are not taken away by that.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from smallmodel_operator.plan.gateway.cluster_routes import CLIENTS
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes
from smallmodel_operator.plan.gateway.values import GatewayConfig

LARGEST_LOSS: Final = Fraction(1, 5)
"""The share of routes that a snapshot may lose unexplained."""

PATIENCE: Final = 900.0
"""Seconds after which a loss is believed: by then the whole cluster was read anew, and again."""

_NAMES_SHOWN: Final = 5

RouteKey = tuple[str, str]
"""A namespace and the name of a model in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInput:
    """What is known when a snapshot is to be written."""

    before: frozenset[RouteKey]
    """What the last good snapshot leads to; nothing where there was none."""
    after: frozenset[RouteKey]
    deleted: frozenset[RouteKey]
    """Models that were seen to be deleted since the last good snapshot was written."""
    all_pools_read: bool
    """Whether every pool of the cluster was read at least once since this process started."""
    withheld_for: float = 0.0
    """Seconds for which a snapshot has been withheld by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Why the last good snapshot stays."""

    reason: str
    """One word: the label of a metric, the reason of an event."""
    message: str


def routes_of(namespaces: Iterable[NamespaceRoutes]) -> frozenset[RouteKey]:
    """Return what these namespaces lead to, models that cannot be asked included."""
    return frozenset(
        (namespace.name, routed.model.name)
        for namespace in namespaces
        for routed in namespace.models
    )


def routes_in(config: GatewayConfig) -> frozenset[RouteKey]:
    """Return what a configuration of this project leads to, models that cannot be asked included.

    So an operator that starts knows what its predecessor had written.
    """
    [table] = json.loads(config.routes.text)["resources"]
    [clients] = [host for host in table["virtual_hosts"] if host["name"] == CLIENTS]
    trees = clients["matcher"]["matcher_tree"]["prefix_match_map"]["map"]
    found = set()
    for base, tree in trees.items():
        listed = f"{base}v1/models/"
        for route in tree["action"]["typed_config"]["routes"]:
            path = route["match"].get("path", "")
            if path.startswith(listed):
                found.add((base.strip("/"), path.removeprefix(listed)))
    return frozenset(found)


def withhold(given: SnapshotInput) -> Withheld | None:
    """Return why the new snapshot must not replace the last good one, or None where it may."""
    return next((why for check in _CHECKS if (why := check(given))), None)


def _pools_unread(given: SnapshotInput) -> Withheld | None:
    if given.all_pools_read:
        return None
    return Withheld(
        reason="PoolsUnread",
        message="The gateway keeps its routes: not every pool of the cluster has been read since "
        "the operator started. It goes on by itself when they are.",
    )


def _shrunk(given: SnapshotInput) -> Withheld | None:
    lost = given.before - given.after - given.deleted
    # As a fraction, since 1/5 has no exact float.
    if len(lost) <= LARGEST_LOSS * len(given.before) or given.withheld_for >= PATIENCE:
        return None
    names = [f"{namespace}/{model}" for namespace, model in sorted(lost)]
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return Withheld(
        reason="SnapshotShrunk",
        message=f"The gateway keeps its routes: the new ones lack {len(lost)} of "
        f"{len(given.before)} models that nobody deleted ({shown}), and at most a fifth may go "
        "missing at once. Find out why they were not read; where they are meant to be gone, wait: "
        f"after {PATIENCE / 60:.0f} minutes the loss is believed.",
    )


_CHECKS: Final = (_pools_unread, _shrunk)
