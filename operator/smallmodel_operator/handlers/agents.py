"""What the hub does for clusters that it does not call: it decides by what they told, and lets go.

Everything else is done by their agents, who read their placements, and write their statuses; or by
whoever carries files there and back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from smallmodel_operator.api.capacity import ClusterCapacity
from smallmodel_operator.api.modelcluster import ConnectionMode
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import MODELPLACEMENTS
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.writer import set_finalizer
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.status.capacity import view_of

Ended = tuple[str, str, str]
"""A ModelCluster, and the namespace and name of a SmallModel of which nothing is left there."""

_WORKERS: Final = 4
_TELLING: Final = frozenset({ConnectionMode.PULL, ConnectionMode.BUNDLE})


class Agents:
    """All clusters of the modes Pull and Bundle."""

    def __init__(
        self,
        *,
        api: Api,
        stores: HubStores,
        hears: Callable[[str], bool],
        conflicts: Counter[str],
    ) -> None:
        """Make it; whoever made it runs the queue.

        Args:
            api: The hub's.
            stores: What is known of ModelClusters and of placements.
            hears: Tells whether the hub hears of a cluster without calling it.
            conflicts: Counts writes over something that was newer, by queue.
        """
        self._api = api
        self._stores = stores
        self._hears = hears
        self._views: dict[str, tuple[ClusterCapacity, ClusterView]] = {}
        self.queue = WorkQueue[Ended](
            "agents",
            named(self._release, _fields),
            workers=_WORKERS,
            failed=log_failure("agents", _fields, conflicts),
        )

    def views(self) -> dict[str, ClusterView]:
        """Return the clusters that are heard of, as they told of themselves last, by name."""
        return {name: view for name in self._names() if (view := self._view(name)) is not None}

    def see(self, cluster: str, key: ObjectKey) -> None:
        """Let a placement go where its cluster says that nothing is left of it."""
        if self._ended(cluster, key) is not None:
            self.queue.add((cluster, *key))

    def _names(self) -> Iterable[str]:
        return (
            name
            for name, cluster in sorted(self._stores.clusters.items())
            if cluster.spec.connection.mode in _TELLING and self._hears(name)
        )

    def _view(self, name: str) -> ClusterView | None:
        capacity = self._stores.clusters[name].status.capacity
        if capacity is None:
            return None
        known = self._views.get(name)
        if known is None or known[0] != capacity:
            # A view keeps what was worked out of it, so the same one is given for as long as it is.
            known = self._views[name] = capacity, view_of(name, capacity)
        return known[1]

    def _ended(self, cluster: str, key: ObjectKey) -> ModelPlacement | None:
        declared = self._stores.clusters.get(cluster)
        if declared is None or declared.spec.connection.mode not in _TELLING:
            return None
        placement = self._stores.placement(key, cluster)
        if placement is None or not placement.metadata.deletion_timestamp:
            return None
        held = FINALIZER in placement.metadata.finalizers
        return placement if held and placement.status.ended else None

    async def _release(self, ended: Ended) -> float | None:
        """Take the finalizer off.

        Raises:
            ApiError: It could not be; it is tried again.
        """
        cluster, *key = ended
        placement = self._ended(cluster, (key[0], key[1]))
        if placement is not None:
            await set_finalizer(self._api, MODELPLACEMENTS, placement.metadata, present=False)
        return None


def _fields(ended: Ended) -> Mapping[str, str]:
    return dict(zip(("cluster", "namespace", "model"), ended, strict=True))
