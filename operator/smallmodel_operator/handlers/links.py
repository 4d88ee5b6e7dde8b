"""The links to other clusters: who may be worked on, and who may be decided for.

Each link is a task with connections of its own, so that a cluster which hangs delays no other.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Final

from smallmodel_operator.api.modelcluster import ConnectionMode, LinkState, ModelCluster
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.handlers.bundled import BundledLink
from smallmodel_operator.handlers.link import Hub, Link, NoLink, Peers
from smallmodel_operator.handlers.pulled import PulledLink
from smallmodel_operator.handlers.pushed import PushedLink
from smallmodel_operator.status.link import PERIOD_SECONDS, Failure

_LOG: Final = logging.getLogger(__name__)

_KINDS: Final[Mapping[ConnectionMode, type[Link]]] = {
    ConnectionMode.LOCAL: NoLink,
    ConnectionMode.PUSH: PushedLink,
    ConnectionMode.PULL: PulledLink,
    ConnectionMode.BUNDLE: BundledLink,
}


class Links:
    """All links, by the names of their ModelClusters."""

    def __init__(self, hub: Hub, peers: Peers) -> None:
        self._hub = hub
        self._peers = peers
        self._links: dict[str, Link] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._own_uid: str | None = None
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[Link]:
        """Return every link, for metrics."""
        return iter(self._links.values())

    def jurisdiction(self, name: str) -> str | None:
        """Return the jurisdiction of a cluster by its own settings; None: they do not say."""
        link = self._links.get(name)
        return link.jurisdiction if link is not None else None

    def see(self, cluster: ModelCluster) -> None:
        """Take a ModelCluster as it is now."""
        name = cluster.metadata.name
        if name == LOCAL_CLUSTER:
            return
        kind = _KINDS[cluster.spec.connection.mode]
        known = self._links.get(name)
        if known is not None and type(known) is kind:
            known.cluster = cluster
            return
        made = kind(cluster, self._hub, self._peers, self._objection)
        if known is not None:
            self.forget(name)
            made.begin_anew()
        self._links[name] = made
        self._start(name)

    def hears(self, name: str) -> bool:
        """Return whether the hub may decide for a cluster of which it hears without calling it."""
        link = self._links.get(name)
        return isinstance(link, PulledLink | BundledLink) and link.is_open

    def gateway_request(self, name: str) -> str | None:
        """Return the certificate that an agent asks for its gateway, as PEM; None: it asks none."""
        link = self._links.get(name)
        return link.request if isinstance(link, PulledLink) else None

    def forget(self, name: str) -> None:
        """Let go of a ModelCluster that is no more."""
        self._links.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def run(self) -> None:
        """Keep all links until cancelled."""
        # Before that is known, the operator's own cluster could be taken for another.
        await self._learn_own_uid()
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self._links:
                self._start(name)
            await asyncio.Event().wait()

    def _start(self, name: str) -> None:
        if self._group is not None and name not in self._tasks:
            link = self._links[name]
            self._tasks[name] = self._group.create_task(link.run(), name=f"link {name}")

    async def _learn_own_uid(self) -> None:
        while self._own_uid is None:
            try:
                self._own_uid = await cluster_uid(self._hub.api)
            except errors.ApiError as error:
                _LOG.warning("the operator's own cluster does not say its UID: %s", error)
                await self._hub.clock.sleep(PERIOD_SECONDS)

    def _objection(self, link: Link, uid: str) -> Failure | None:
        """Return what speaks against the cluster behind a link, by its UID; None: nothing does."""
        expected = link.expected_uid
        if expected not in {None, uid}:
            return Failure(
                LinkState.CREDENTIAL_ERROR,
                Reason.ANOTHER_CLUSTER,
                f"The cluster at this address has the UID {uid}, and {expected} is expected; "
                "nothing is written there. Where it was made anew, set "
                f"spec.connection.clusterUID of ModelCluster {link.name} to {uid}; otherwise "
                "correct the kubeconfig or the ClusterProfile",
            )
        if uid == self._own_uid:
            return _duplicate(LOCAL_CLUSTER, uid)
        for other in self._links.values():
            if other is not link and other.uid == uid:
                return _duplicate(other.name, uid)
        link.uid = uid
        return None


def _duplicate(other: str, uid: str) -> Failure:
    return Failure(
        LinkState.CREDENTIAL_ERROR,
        Reason.DUPLICATE_CLUSTER,
        f"ModelCluster {other} leads to the same cluster (UID {uid}), and one cluster is one "
        "ModelCluster; delete this one, or correct its kubeconfig or "
        "ClusterProfile",
    )
