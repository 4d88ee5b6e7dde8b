"""The link to a cluster between which and the hub nothing but files goes."""

import logging
from typing import Final

from smallmodel_operator.api.modelcluster import LinkState, ModelCluster, ModelClusterStatus
from smallmodel_operator.clusters import errors
from smallmodel_operator.handlers.link import Link
from smallmodel_operator.status.carried import carried_link
from smallmodel_operator.status.cluster import summarise_link
from smallmodel_operator.status.link import Canary

_LOG: Final = logging.getLogger(__name__)


class BundledLink(Link):
    """One of mode Bundle: `slm bundle import` writes what came, and here it only grows old."""

    @property
    def state(self) -> LinkState | None:
        """How the hub and the cluster get on; None: no file ever came."""
        link = self.cluster.status.link
        return link.state if link is not None else None

    async def look(self) -> None:
        """See how old the last file is."""
        link = carried_link(self.cluster, self._hub.now())
        self.uid = link.cluster_uid if link is not None else None
        if link is not None and link.state is not self.state:
            _LOG.warning("cluster %s is %s: %s", self.name, link.state, link.message)
        try:
            await self._report()
        except errors.ApiError as error:
            _LOG.warning("the status of cluster %s could not be written: %s", self.name, error)
        if link is not None and link.state is LinkState.BUNDLED:
            self._open()
        else:
            self._shut()

    async def _canary(self) -> Canary | None:
        return None

    def _open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._peers.heard()

    def _shut(self) -> None:
        self.is_open = False

    async def _close(self) -> None:
        return

    def _status(self, cluster: ModelCluster) -> ModelClusterStatus:
        now = self._hub.now()
        return summarise_link(cluster, carried_link(cluster, now), now)
