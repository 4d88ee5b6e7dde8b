"""The link to a cluster whose agent calls the hub: the hub listens, and calls nobody there."""

import logging
from typing import Any, Final

from smallmodel_operator.api.modelcluster import LinkState, ModelCluster
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
from smallmodel_operator.clusters.guard import apply_owned
from smallmodel_operator.clusters.ref import LEASES
from smallmodel_operator.handlers.link import Hub, Link, Objection, Peers
from smallmodel_operator.status.heartbeat import Heard, Heartbeat, hear
from smallmodel_operator.status.link import Canary, Failure

_LOG: Final = logging.getLogger(__name__)
_STEP: Final = (
    "look at the agent's log in the cluster, at its /readyz, and at the line from there to the "
    "hub's API server"
)


class PulledLink(Link):
    """One of mode Pull."""

    def __init__(self, cluster: ModelCluster, hub: Hub, peers: Peers, objection: Objection) -> None:
        super().__init__(cluster, hub, peers, objection)
        self._heard: Heard | None = None
        self._accepted: Heartbeat | None = None

    @property
    def request(self) -> str | None:
        """For a certificate of the cluster's gateway, by an agent that was accepted."""
        return self._accepted.request if self.is_open and self._accepted is not None else None

    async def _canary(self) -> Canary | None:
        """Return what was heard of the agent.

        What the hub itself did not let be read says nothing of the cluster.
        """
        namespace = placement_namespace(self.name)
        try:
            lease = await self._hub.api.get(LEASES.ref(AGENT_LEASE, namespace))
            if lease is None and self._heard is None:
                await self._prepare(namespace)
        except errors.ApiError as error:
            _LOG.warning("the agent of cluster %s cannot be heard: %s", self.name, error)
            return None
        now = self._hub.clock.monotonic()
        self._heard = hear(self._heard, _heartbeat(lease), now)
        return self._judged(self._heard, now)

    def _judged(self, heard: Heard, now: float) -> Canary | None:
        if heard.is_silent(now):
            if self.state is None and not heard.beats:
                # No agent ever called: that is no loss.
                return None
            message = (
                f"Nothing was heard of the cluster's agent for {heard.silent_for(now):.0f} s, and "
                f"it calls every 10 s; {_STEP}"
            )
            failure = Failure(LinkState.UNREACHABLE, Reason.UNREACHABLE, message)
            return Canary(failure=failure, by_agent=True)
        if not heard.beats or heard.last is None:
            # What lies there may be of before.
            return None
        uid = heard.last.cluster_uid
        return Canary(cluster_uid=uid, failure=self._objection(self, uid), by_agent=True)

    async def _prepare(self, namespace: str) -> None:
        """Have the namespace there that the agent reads.

        Raises:
            NameConflict: It is another installation's.
            ApiError: It could not be read or made.
        """
        labels = {LABEL_HUB: self._hub.name.hub_id, LABEL_MANAGED_BY: MANAGER}
        metadata = {"name": namespace, "labels": labels}
        await apply_owned(
            self._hub.api,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            self._hub.name.hub_id,
        )

    def _open(self) -> None:
        is_news, before = not self.is_open, self.request
        self._accepted = self._heard.last if self._heard is not None else None
        self.is_open = True
        if is_news:
            self._peers.heard()
        elif self.request != before:
            self._peers.asked(self.name)

    def _shut(self) -> None:
        self.is_open = False

    async def _close(self) -> None:
        self._heard = None


def _heartbeat(lease: dict[str, Any] | None) -> Heartbeat | None:
    metadata = (lease or {}).get("metadata") or {}
    said = metadata.get("annotations") or {}
    uid = said.get(ANNOTATION_CLUSTER_UID)
    if not uid:
        # Nobody's agent wrote it.
        return None
    return Heartbeat(metadata["resourceVersion"], uid, said.get(ANNOTATION_GATEWAY_REQUEST))
