"""The links to clusters that the operator calls: credentials, canaries, and who may be worked on.

Each link is a task with connections of its own, so that a cluster which hangs delays no other.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.modelcluster import (
    ConnectionMode,
    LinkState,
    ModelCluster,
    ModelClusterStatus,
)
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.credentials import (
    Credentials,
    KubeconfigRefused,
    read_kubeconfig,
)
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import MODELCLUSTERS, SECRETS
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.handlers.canary import LIMITS, HubName, send_canary
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
    """

    connected: Callable[[str, Api], None]
    disconnected: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The operator's own cluster, and its name in others."""

    api: Api
    name: HubName
    now: Callable[[], str]
    clock: Clock = SYSTEM_CLOCK


class Links:
    """All links, by the names of their ModelClusters."""

    def __init__(self, hub: Hub, peers: Peers) -> None:
        self._hub = hub
        self._peers = peers
        self._links: dict[str, Link] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._own_uid: str | None = None
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator["Link"]:
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
        if name in self._links:
            self._links[name].cluster = cluster
            return
        self._links[name] = Link(cluster, self._hub, self._peers, self._objection)
        self._start(name)

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

    def _objection(self, link: "Link", uid: str) -> Failure | None:
        """Return what speaks against the cluster behind a link, by its UID; None: nothing does."""
        expected = link.expected_uid
        if expected not in {None, uid}:
            return Failure(
                LinkState.CREDENTIAL_ERROR,
                Reason.ANOTHER_CLUSTER,
                f"The cluster at this address has the UID {uid}, and {expected} is expected; "
                "nothing is written there. Where it was made anew, set "
                f"spec.connection.clusterUID of ModelCluster {link.name} to {uid}; otherwise "
                "correct the kubeconfig",
            )
        if uid == self._own_uid:
            return _duplicate(LOCAL_CLUSTER, uid)
        for other in self._links.values():
            if other is not link and other.uid == uid:
                return _duplicate(other.name, uid)
        link.uid = uid
        return None


class Link:
    """One ModelCluster's link.

    Attributes:
        cluster: The ModelCluster as it was seen last.
        uid: Of the cluster that it leads to, once that was accepted.
        seconds: How long the last canary took that was answered.
        jurisdiction: The cluster's, as its own administrator wrote it there; None: nobody did.
        failures: Canaries that failed.
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
        self._hub = hub
        self._peers = peers
        self._objection = objection
        self._history = recalled(cluster.status.link)
        self._credentials: Credentials | None = None
        self._prober: Api | None = None
        self._api: Api | None = None
        self._served_by: Credentials | None = None
        self._is_open = False

    @property
    def state(self) -> LinkState | None:
        """How the hub and the cluster get on; None: that is not known yet."""
        return self._history.link.state if self._history.link else None

    @property
    def expected_uid(self) -> str | None:
        """The UID that the cluster must have; None: any."""
        return self.cluster.spec.connection.cluster_uid or self.uid

    async def run(self) -> None:
        """Send canaries until cancelled."""
        try:
            while True:
                began = self._hub.clock.monotonic()
                try:
                    await self.look()
                except Exception:
                    # Nothing that one cluster says may end the operator.
                    _LOG.exception("the link to %s failed by a defect of this program", self.name)
                took = self._hub.clock.monotonic() - began
                await self._hub.clock.sleep(max(0.0, PERIOD_SECONDS - took))
        finally:
            self._shut()
            await self._close()

    async def look(self) -> None:
        """Send one canary and act on what came of it."""
        if self.cluster.spec.connection.mode is ConnectionMode.PUSH:
            canary = await self._canary()
            if canary is not None:
                self._take(canary)
        elif self._prober is not None or self._history.link is not None:
            self._shut()
            await self._close()
            self._history, self.uid = History(), None
        try:
            await self._report()
        except errors.ApiError as error:
            _LOG.warning("the status of cluster %s could not be written: %s", self.name, error)

    async def _canary(self) -> Canary | None:
        """Return what came of a canary; None: the hub itself did not let one be sent."""
        try:
            refused = await self._read_credentials()
        except errors.ApiError as error:
            _LOG.warning("the kubeconfig of cluster %s could not be read: %s", self.name, error)
            refused = None
        if refused is not None:
            return Canary(failure=refused)
        if self._prober is None:
            return None
        return await send_canary(
            self._prober,
            self._hub.name,
            self._hub.clock,
            lambda uid: self._objection(self, uid),
        )

    async def _read_credentials(self) -> Failure | None:
        """Have the client of the canaries use what the Secret says now.

        Returns:
            Why it cannot be used. Whoever works on the cluster goes on with the credentials from
            before, until that was so for as long as any failure.

        Raises:
            ApiError: The hub could not read it.
        """
        wanted = self.cluster.spec.connection.kubeconfig_secret_ref
        assert wanted is not None  # noqa: S101 - mode Push has one
        ref = SECRETS.ref(wanted.name, self._hub.name.namespace)
        secret = await self._hub.api.get(ref)
        content = _decoded(((secret or {}).get("data") or {}).get(wanted.key))
        if content is None:
            what = f"has no key {wanted.key}" if secret is not None else "is not there"
            return Failure(
                LinkState.CREDENTIAL_ERROR,
                Reason.KUBECONFIG_MISSING,
                f"{ref} {what}, and spec.connection.kubeconfigSecretRef names it; make it, for "
                f"example by `slm cluster join {self.name}`",
            )
        try:
            credentials = read_kubeconfig(content, f"The kubeconfig in {ref} ({wanted.key})")
        except KubeconfigRefused as error:
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.KUBECONFIG_REFUSED, str(error))
        if self._prober is None:
            self._prober = Api.of(credentials, limits=LIMITS)
        elif credentials != self._credentials:
            self._prober.renew(credentials, limits=LIMITS)
        self._credentials = credentials
        return None

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

    def _open(self) -> None:
        assert self._credentials is not None  # noqa: S101 - a canary was just sent with them
        if self._api is None:
            self._api = Api.of(self._credentials, around=self._through)
        elif self._served_by != self._credentials:
            self._api.renew(self._credentials)
            _LOG.info("cluster %s is called with new credentials", self.name)
        self._served_by = self._credentials
        if not self._is_open:
            self._is_open = True
            self._peers.connected(self.name, self._api)

    def _shut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._peers.disconnected(self.name)

    async def _through(self, request: Request, send: Send) -> Answer:
        """Send a call of whoever works on the cluster, unless it is known to be in vain."""
        if not self._is_open:
            raise errors.Unreachable(
                f"{request.what}: cluster {self.name} is {self.state or 'not connected'}, and is "
                "not called before it answers again"
            )
        return await send(request)

    async def _close(self) -> None:
        for api in filter(None, (self._prober, self._api)):
            await api.close()
        self._prober = self._api = self._credentials = self._served_by = None

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


def _duplicate(other: str, uid: str) -> Failure:
    return Failure(
        LinkState.CREDENTIAL_ERROR,
        Reason.DUPLICATE_CLUSTER,
        f"ModelCluster {other} leads to the same cluster (UID {uid}), and one cluster is one "
        "ModelCluster; delete this one, or correct its kubeconfig",
    )


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except binascii.Error:
        return None
