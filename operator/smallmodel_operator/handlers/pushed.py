"""The link to a cluster whose API server the hub calls: credentials, and canaries."""

import logging
from typing import Final

from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.handlers.canary import LIMITS, send_canary
from smallmodel_operator.handlers.link import Hub, Link, Objection, Peers
from smallmodel_operator.handlers.ways import way_to
from smallmodel_operator.status.link import Canary, Failure

_LOG: Final = logging.getLogger(__name__)


class PushedLink(Link):
    """One of mode Push."""

    def __init__(self, cluster: ModelCluster, hub: Hub, peers: Peers, objection: Objection) -> None:
        super().__init__(cluster, hub, peers, objection)
        self._declared = cluster.spec.connection
        self._way = way_to(cluster, hub)
        self._credentials: Credentials | None = None
        self._prober: Api | None = None
        self._api: Api | None = None
        self._served_by: Credentials | None = None

    async def _canary(self) -> Canary | None:
        """Return what came of a canary; None: the hub itself did not let one be sent."""
        try:
            refused = await self._read_credentials()
        except errors.ApiError as error:
            _LOG.warning("the credentials of cluster %s could not be read: %s", self.name, error)
            refused = None
        if refused is not None:
            return Canary(failure=refused)
        if self._prober is None:
            return None
        canary = await send_canary(
            self._prober,
            self._hub.name,
            self._hub.clock,
            lambda uid: self._objection(self, uid),
        )
        if canary.failure is not None and canary.failure.reason is Reason.UNAUTHORIZED:
            self._way.refuse()
        return canary

    async def _read_credentials(self) -> Failure | None:
        """Have the client of the canaries use what the way into the cluster gives now.

        Returns:
            Why it cannot be used. Whoever works on the cluster goes on with the credentials from
            before, until that was so for as long as any failure.

        Raises:
            ApiError: The hub could not read it.
        """
        declared = self.cluster.spec.connection
        if declared != self._declared:
            self._way, self._declared = way_to(self.cluster, self._hub), declared
        credentials = await self._way.read()
        if isinstance(credentials, Failure):
            return credentials
        if self._prober is None:
            self._prober = Api.of(credentials, limits=LIMITS)
        elif credentials != self._credentials:
            self._prober.renew(credentials, limits=LIMITS)
        self._credentials = credentials
        return None

    def _open(self) -> None:
        assert self._credentials is not None  # noqa: S101 - a canary was just sent with them
        if self._api is None:
            self._api = Api.of(self._credentials, around=self._through)
        elif self._served_by != self._credentials:
            self._api.renew(self._credentials)
            _LOG.info("cluster %s is called with new credentials", self.name)
        self._served_by = self._credentials
        if not self.is_open:
            self.is_open = True
            self._peers.connected(self.name, self._api)

    def _shut(self) -> None:
        if self.is_open:
            self.is_open = False
            self._peers.disconnected(self.name)

    async def _through(self, request: Request, send: Send) -> Answer:
        """Send a call of whoever works on the cluster, unless it is known to be in vain."""
        if not self.is_open:
            raise errors.Unreachable(
                f"{request.what}: cluster {self.name} is {self.state or 'not connected'}, and is "
                "not called before it answers again"
            )
        return await send(request)

    async def _close(self) -> None:
        for api in filter(None, (self._prober, self._api)):
            await api.close()
        self._prober = self._api = self._credentials = self._served_by = None
