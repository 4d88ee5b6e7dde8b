"""The line from an agent to its hub: a kubeconfig that may change, heartbeats, and who may call.

It mirrors a hub's link to a cluster that it calls: a real read and a real write decide, three in a
row, and while the hub does not answer nobody waits for it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.api.modelcluster import ClusterLink, LinkState
from smallmodel_operator.api.names import (
    AGENT_LEASE,
    ANNOTATION_CLUSTER_UID,
    ANNOTATION_GATEWAY_REQUEST,
    LABEL_HUB,
    LABEL_MANAGED_BY,
    MANAGER,
    placement_namespace,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock, micro_time
from smallmodel_operator.clusters.credentials import (
    Credentials,
    KubeconfigReader,
    KubeconfigRefused,
)
from smallmodel_operator.clusters.ref import LEASES, MODELCLUSTERS
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Around, Send, send_on
from smallmodel_operator.handlers.canary import CANARY_SECONDS, LIMITS, failure_of
from smallmodel_operator.status.link import (
    PERIOD_SECONDS,
    USABLE,
    Canary,
    Failure,
    History,
    follow,
)

_LOG: Final = logging.getLogger(__name__)

_NOWHERE: Final = Credentials(server="https://hub.invalid", token="none")  # noqa: S106 - nobody's
_SECONDS: Final = 10
_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentName:
    """Who calls the hub."""

    cluster: str
    """The ModelCluster there."""
    cluster_uid: str
    """Of the cluster's namespace kube-system."""
    hub_id: str
    identity: str
    """Of the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Who is told of the line.

    Attributes:
        opened: Called when the hub may be called, anew where the credentials changed.
        shut: Called when it may not be any more.
    """

    opened: Callable[[], None]
    shut: Callable[[], None]


class HubLine:
    """The line.

    Attributes:
        api: The hub's client. Its calls fail at once while the hub does not answer.
        failures: Heartbeats that failed.
        seconds: How long the last one took that was done.
    """

    def __init__(
        self,
        kubeconfig: Path,
        agent: AgentName,
        ends: Ends,
        now: Callable[[], str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        around: Around = send_on,
        request: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Make it; `run` does the work.

        Args:
            kubeconfig: The file.
            agent: Who calls.
            ends: Who is told.
            now: Tells the time as RFC 3339.
            clock: For pauses.
            around: Sees every call.
            request: Tells which certificate the hub is asked for; None: none.
        """
        self._file = kubeconfig
        self._agent = agent
        self._ends = ends
        self._now = now
        self._clock = clock
        self._around = around
        self._request = request
        self._prober = Api.of(_NOWHERE, limits=LIMITS, around=around)
        self.api = Api.of(_NOWHERE, around=self._through)
        self._reader = KubeconfigReader()
        self._read: Credentials | None = None
        self._used: Credentials | None = None
        self._history = History()
        self._is_open = False
        self.failures = 0
        self.seconds: float | None = None

    @property
    def link(self) -> ClusterLink | None:
        """How the cluster and its hub get on; None: that is not known yet."""
        return self._history.link

    @property
    def problem(self) -> str | None:
        """Return why the hub is not called, or None where it is."""
        if self.link is None:
            return "The hub was not called yet"
        return None if self.link.state in USABLE else f"{self.link.reason}: {self.link.message}"

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        try:
            while True:
                began = self._clock.monotonic()
                try:
                    await self.beat()
                except Exception:
                    # Nothing that a hub says may end what serves.
                    _LOG.exception("a heartbeat failed by a defect of this program")
                took = self._clock.monotonic() - began
                await self._clock.sleep(max(0.0, PERIOD_SECONDS - took))
        finally:
            self._shut()
            await self._prober.close()
            await self.api.close()

    async def beat(self) -> None:
        """Send one heartbeat and act on what came of it."""
        refused = self._read_credentials()
        canary = Canary(failure=refused) if refused is not None else await self._send()
        before = self.link.state if self.link else None
        self._history = follow(self._history, canary, self._now())
        self.failures += canary.failure is not None
        if canary.failure is None:
            self.seconds = canary.seconds
        link = self._history.link
        if link is not None and link.state is not before:
            level = logging.INFO if link.state is LinkState.CONNECTED else logging.WARNING
            _LOG.log(level, "the hub is %s: %s", link.state, link.message)
        if not self._history.is_usable:
            self._shut()
        elif canary.failure is None:
            # Only credentials that were seen to work replace others.
            self._open()

    def _read_credentials(self) -> Failure | None:
        """Have heartbeats use what the file says now; return why it cannot be used."""
        try:
            content = self._file.read_bytes()[:_BYTES_MAX]
        except OSError as error:
            return Failure(
                LinkState.CREDENTIAL_ERROR,
                Reason.KUBECONFIG_MISSING,
                f"The hub's kubeconfig {self._file} cannot be read ({error.strerror}); it is the "
                "key kubeconfig of the Secret that the chart's agent.hubKubeconfigSecret names, "
                f"which `slm cluster join {self._agent.cluster} --mode pull` makes",
            )
        try:
            credentials = self._reader.read(content, f"The hub's kubeconfig {self._file}")
        except KubeconfigRefused as error:
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.KUBECONFIG_REFUSED, str(error))
        if credentials != self._read:
            self._prober.renew(credentials, limits=LIMITS)
            self._read = credentials
        return None

    async def _send(self) -> Canary:
        """Read and write on the hub."""
        began = self._clock.monotonic()
        cluster = MODELCLUSTERS.ref(self._agent.cluster)
        try:
            async with asyncio.timeout(CANARY_SECONDS):
                if await self._prober.get(cluster) is None:
                    message = (
                        f"The hub has no {cluster}; join this cluster again, or give the agent the "
                        "name that it has there"
                    )
                    failure = Failure(LinkState.CREDENTIAL_ERROR, Reason.NOT_PREPARED, message)
                    return Canary(failure=failure)
                await self._prober.apply(self._lease())
        except TimeoutError:
            message = f"The hub did not answer within {CANARY_SECONDS:g} s; check the line to it"
            return Canary(failure=Failure(LinkState.UNREACHABLE, Reason.UNREACHABLE, message))
        except errors.ApiError as error:
            return Canary(failure=failure_of(error))
        return Canary(seconds=self._clock.monotonic() - began)

    def _lease(self) -> dict[str, object]:
        agent, request = self._agent, self._request()
        annotations = {ANNOTATION_CLUSTER_UID: agent.cluster_uid}
        if request is not None:
            annotations[ANNOTATION_GATEWAY_REQUEST] = request
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": AGENT_LEASE,
                "namespace": placement_namespace(agent.cluster),
                "labels": {LABEL_HUB: agent.hub_id, LABEL_MANAGED_BY: MANAGER},
                "annotations": annotations,
            },
            "spec": {
                "holderIdentity": agent.identity,
                "leaseDurationSeconds": _SECONDS,
                "renewTime": micro_time(self._clock.now()),
            },
        }

    def _open(self) -> None:
        if self._used != self._read:
            assert self._read is not None  # noqa: S101 - a heartbeat was just sent with it
            self.api.renew(self._read)
            self._shut()
            self._used = self._read
        if not self._is_open:
            self._is_open = True
            self._ends.opened()

    def _shut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._ends.shut()

    async def _through(self, request: Request, send: Send) -> Answer:
        """Send a call, unless it is known to be in vain."""
        if not self._is_open:
            state = self.link.state if self.link is not None else "not called yet"
            raise errors.Unreachable(
                f"{request.what}: the hub is {state}, and is asked again once it answers"
            )
        return await self._around(request, send)
