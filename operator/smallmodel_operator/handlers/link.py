"""One cluster's link: how the hub and the cluster get on, and who is told of it."""

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from smallmodel_operator.api.credential_providers import CredentialProvider
from smallmodel_operator.api.modelcluster import LinkState, ModelCluster, ModelClusterStatus
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.plugins import Plugins
from smallmodel_operator.clusters.ref import MODELCLUSTERS
from smallmodel_operator.handlers.canary import HubName
from smallmodel_operator.status.cluster import summarise_link
from smallmodel_operator.status.link import (
    PERIOD_SECONDS,
    USABLE,
    Canary,
    Failure,
    History,
    follow,
    recalled,
)

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Who is told of links.

    Attributes:
        connected: Called when a cluster may be worked on, with the client to do it by. Its calls
            fail at once while the cluster may not be.
        disconnected: Called when it may not be any more.
        heard: Called when a cluster whose agent calls the hub may be decided for.
        asked: Called when the agent of one asks for another certificate of its gateway, or no more.
    """

    connected: Callable[[str, Api], None]
    disconnected: Callable[[str], None]
    heard: Callable[[], None] = lambda: None
    asked: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The operator's own cluster, and its name in others."""

    api: Api
    name: HubName
    now: Callable[[], str]
    clock: Clock = SYSTEM_CLOCK
    providers: Sequence[CredentialProvider] = ()
    """Programs that give tokens for clusters of ClusterProfiles."""
    plugins: Plugins = field(default_factory=Plugins)


class Link(ABC):
    """One ModelCluster's link.

    Attributes:
        cluster: The ModelCluster as it was seen last.
        uid: Of the cluster that it leads to, once that was accepted.
        seconds: How long the last canary took that was answered.
        jurisdiction: The cluster's, as its own administrator wrote it there; None: nobody did.
        failures: Canaries that failed.
        is_open: The cluster may be worked on.
    """

    def __init__(
        self,
        cluster: ModelCluster,
        hub: Hub,
        peers: Peers,
        objection: "Objection",
    ) -> None:
        self.cluster = cluster
        self.name = cluster.metadata.name
        self.uid = cluster.status.link.cluster_uid if cluster.status.link else None
        self.seconds: float | None = None
        self.jurisdiction: str | None = None
        self.failures = 0
        self.is_open = False
        self._hub = hub
        self._peers = peers
        self._objection = objection
        self._history = recalled(cluster.status.link)

    @property
    def state(self) -> LinkState | None:
        """How the hub and the cluster get on; None: that is not known yet."""
        return self._history.link.state if self._history.link else None

    @property
    def expected_uid(self) -> str | None:
        """The UID that the cluster must have; None: any."""
        return self.cluster.spec.connection.cluster_uid or self.uid

    def begin_anew(self) -> None:
        """Forget what was known of the cluster: something else connects it now."""
        self._history, self.uid = History(), None

    async def run(self) -> None:
        """Look at it again and again until cancelled."""
        # Links begin together, and would look in one moment for ever: their first pauses differ.
        period = PERIOD_SECONDS * random.random()  # noqa: S311 - no secret
        try:
            while True:
                began = self._hub.clock.monotonic()
                try:
                    await self.look()
                except Exception:
                    # Nothing that one cluster says may end the operator.
                    _LOG.exception("the link to %s failed by a defect of this program", self.name)
                took = self._hub.clock.monotonic() - began
                await self._hub.clock.sleep(max(0.0, period - took))
                period = PERIOD_SECONDS
        finally:
            self._shut()
            await self._close()

    async def look(self) -> None:
        """Look at it once and act on what came of it."""
        canary = await self._canary()
        if canary is not None:
            self._take(canary)
        try:
            await self._report()
        except errors.ApiError as error:
            _LOG.warning("the status of cluster %s could not be written: %s", self.name, error)

    @abstractmethod
    async def _canary(self) -> Canary | None:
        """Return what came of a look; None: nothing can be said of the cluster."""

    @abstractmethod
    def _open(self) -> None:
        """Have the cluster worked on, which just answered."""

    @abstractmethod
    def _shut(self) -> None:
        """Have it left alone."""

    @abstractmethod
    async def _close(self) -> None:
        """Let go of what is open."""

    def _take(self, canary: Canary) -> None:
        before = self.state
        self._history = follow(self._history, canary, self._hub.now())
        if canary.failure is None:
            self.seconds = canary.seconds
            self.jurisdiction = canary.jurisdiction
        else:
            self.failures += 1
        link = self._history.link
        if link is not None and link.state is not before:
            level = logging.INFO if link.state is LinkState.CONNECTED else logging.WARNING
            _LOG.log(level, "cluster %s is %s: %s", self.name, link.state, link.message)
        if self.state not in USABLE:
            self._shut()
        elif canary.failure is None:
            # Only credentials that were seen to work replace others.
            self._open()

    async def _report(self) -> None:
        """Write the status, where it is not what is known now.

        Raises:
            ApiError: It could not be; it is tried again at the next look.
        """
        if self._status(self.cluster) == self.cluster.status:
            return
        try:
            await self._write_status()
        except errors.Conflict:
            # What was seen of the cluster itself was written in this moment.
            await self._write_status()

    async def _write_status(self) -> None:
        ref = MODELCLUSTERS.ref(self.name)
        manifest = await self._hub.api.get(ref)
        if manifest is None:
            return
        cluster = ModelCluster.model_validate(manifest)
        status = self._status(cluster)
        if status != cluster.status:
            values = status.model_dump(mode="json", exclude_none=True, by_alias=True)
            version = cluster.metadata.resource_version
            manifest = await self._hub.api.patch_status(ref, values, resource_version=version)
            cluster = ModelCluster.model_validate(manifest)
        self.cluster = cluster

    def _status(self, cluster: ModelCluster) -> ModelClusterStatus:
        return summarise_link(cluster, self._history.link, self._hub.now())


Objection = Callable[[Link, str], Failure | None]
"""What speaks against the cluster of that UID behind a link."""


class NoLink(Link):
    """That of a ModelCluster which says that it is the operator's own, and is not."""

    def __init__(
        self, cluster: ModelCluster, hub: Hub, peers: Peers, objection: "Objection"
    ) -> None:
        super().__init__(cluster, hub, peers, objection)
        self.begin_anew()

    async def _canary(self) -> Canary | None:
        return None

    def _open(self) -> None:
        # Nobody is asked, so nobody answers.
        return

    def _shut(self) -> None:
        return

    async def _close(self) -> None:
        return
