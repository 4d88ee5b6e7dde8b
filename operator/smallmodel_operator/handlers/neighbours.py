"""What the hub tells the agents of clusters that it cannot call, for their gateways.

One ConfigMap for each in its namespace: where models answer, and the certificate that the gateway
shows to others, signed for a key that never leaves the cluster. `slm cluster join` makes it empty,
so that the hub needs no right to make ConfigMaps.
"""

import base64
import contextlib
import datetime
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from smallmodel_operator.api.modelcluster import ConnectionMode, ModelCluster
from smallmodel_operator.api.names import gateway_identity, placement_namespace
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import Issued
from smallmodel_operator.clusters.certificates import (
    CertificateUnreadable,
    end_of,
    ends_at,
    is_for,
    sign_request,
    why_sign,
)
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.ref import CONFIGMAPS, Manifest
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.secret_files import CERTIFICATE, TRUSTED
from smallmodel_operator.plan.gateway.told import TOLD_ENTRY, TOLD_NAME, told, told_entry

_LOG: Final = logging.getLogger(__name__)

_WORKERS: Final = 4
_REST: Final = 1.0
_LOOK_SECONDS: Final = 300.0
"""Somebody may have changed it."""
_RETRY_SECONDS: Final = 60.0


_Facts: TypeAlias = tuple[tuple[ModelCluster, int], ...]


@dataclass(frozen=True, slots=True)
class _Made:
    of: _Facts
    entry: bytes
    at: float


@dataclass(frozen=True, slots=True)
class _Written:
    entry: bytes
    request: bytes | None
    at: float


class Calls(Protocol):
    """Which agents call the hub, and what they ask for."""

    def hears(self, name: str) -> bool:
        """Return whether the agent of that cluster calls."""

    def gateway_request(self, name: str) -> str | None:
        """Return the certificate that it asks for its gateway, as PEM; None: it asks none."""


class Neighbours:
    """Those of all clusters of mode Pull."""

    def __init__(
        self,
        *,
        api: Api,
        stores: HubStores,
        certificates: Certificates,
        links: Calls,
        conflicts: Counter[str],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make it; whoever made it runs the queue.

        Args:
            api: The hub's.
            stores: What is known of ModelClusters and of placements.
            certificates: Who signs.
            links: Which agents call the hub, and what they ask for.
            conflicts: Counts writes over something that was newer, by queue.
            clock: For how old what was made is.
        """
        self._api = api
        self._clock = clock
        self._stores = stores
        self._certificates = certificates
        self._links = links
        self._written: dict[str, _Written] = {}
        self._made: _Made | None = None
        self._said: dict[str, str] = {}
        self.queue = WorkQueue[str](
            "neighbours",
            self.work,
            workers=_WORKERS,
            rest=_REST,
            failed=log_failure("neighbours", _fields, conflicts),
        )

    def lead(self) -> None:
        """Have all agents learn where requests go now."""
        for name, cluster in self._stores.clusters.items():
            if cluster.spec.connection.mode is ConnectionMode.PULL and self._links.hears(name):
                self.queue.add(name)

    async def work(self, cluster: str) -> float | None:
        """Tell one agent, and return after how many seconds it is looked at again.

        Raises:
            ApiError: The ConfigMap could not be read or written.
        """
        if not self._links.hears(cluster):
            self._written.pop(cluster, None)
            return None
        entry, is_fresh = self._entry()
        again = await self._bring(cluster, entry)
        return again if is_fresh else _REST

    async def _bring(self, cluster: str, entry: bytes) -> float:
        """Have it there, and return after how many seconds it is looked at again."""
        asked = self._links.gateway_request(cluster)
        request = asked.encode() if asked is not None else None
        before = self._written.get(cluster)
        if before is not None and (before.entry, before.request) == (entry, request):
            left = before.at + _LOOK_SECONDS - self._clock.monotonic()
            if left > 0:
                return left
        ref = CONFIGMAPS.ref(TOLD_NAME, placement_namespace(cluster))
        live = await self._api.get(ref)
        if live is None:
            self._tell(
                cluster,
                f"{ref} is not there, so its agent does not learn where other gateways are; run "
                f"`slm cluster join {cluster} --mode pull` again",
            )
            return _LOOK_SECONDS
        problem = None
        try:
            shown = await self._shown(cluster, live, request)
        except (errors.ApiError, CertificateUnreadable) as error:
            shown, problem = {}, f"its gateway gets no certificate: {error}"
        await self._write(live, entry, shown)
        self._tell(cluster, problem)
        if problem is not None:
            return _RETRY_SECONDS
        self._written[cluster] = _Written(entry, request, self._clock.monotonic())
        return _LOOK_SECONDS

    def _entry(self) -> tuple[bytes, bool]:
        """Return what all agents are told, and whether it has the facts of this moment.

        Thousands of models take tens of milliseconds: it is made once for all agents, and no
        more often than each of them is told.
        """
        known = self._stores.clusters
        of = tuple(
            (known[name], self._stores.placements_on(name).changes) for name in sorted(known)
        )
        now, made = self._clock.monotonic(), self._made
        if made is not None and _same(made.of, of):
            return made.entry, True
        if made is not None and now - made.at < _REST:
            return made.entry, False
        entry = told_entry(told(known.values(), self._stores.all_placements()))
        self._made = _Made(of, entry, now)
        return entry, True

    async def _shown(self, cluster: str, live: Manifest, request: bytes | None) -> dict[str, str]:
        """Return the certificate of the gateway, where it has one, and of who signed it.

        Raises:
            ApiError: The authority cannot be read.
            CertificateUnreadable: The authority is damaged, or the request.
        """
        now = datetime.datetime.now(datetime.UTC)
        identity = gateway_identity(cluster, self._stores.hub_id)
        signer = await self._certificates.signer(now)
        shown = ((live.get("data") or {}).get(CERTIFICATE) or "").encode()
        if request is not None and (
            not is_for(shown, request)
            or why_sign(shown, signer.certificate, identity, now) is not None
        ):
            shown = sign_request(signer, request, identity, now)
            _LOG.info(
                "the gateway of cluster %s has a new certificate, as its agent asked for",
                cluster,
                extra=_fields(cluster),
            )
        with contextlib.suppress(CertificateUnreadable):
            issued = Issued(authority=ends_at(signer), leaf=end_of(shown))
            self._certificates.issued[cluster] = issued
        entries = {CERTIFICATE: shown, TRUSTED: signer.certificate}
        return {name: text.decode() for name, text in entries.items() if text}

    async def _write(self, live: Manifest, entry: bytes, shown: dict[str, str]) -> None:
        """Write what is not there yet, over the version that was read.

        Raises:
            ApiError: It could not be written.
        """
        texts, binary = live.get("data") or {}, live.get("binaryData") or {}
        wanted = {TOLD_ENTRY: base64.b64encode(entry).decode()}
        if texts | shown == texts and binary | wanted == binary:
            return
        metadata = live["metadata"]
        ref = CONFIGMAPS.ref(metadata["name"], metadata["namespace"])
        version = {"resourceVersion": metadata["resourceVersion"]}
        patch = {"metadata": version, "data": shown, "binaryData": wanted}
        await self._api.merge_patch(ref, patch)

    def _tell(self, cluster: str, problem: str | None) -> None:
        """Log what is wrong, once."""
        if problem is not None and self._said.get(cluster) != problem:
            _LOG.warning("cluster %s: %s", cluster, problem, extra=_fields(cluster))
        self._said[cluster] = problem or ""


def _same(before: _Facts, now: _Facts) -> bool:
    """Return whether it is made of the very same objects."""
    return len(before) == len(now) and all(
        one[0] is other[0] and one[1] == other[1] for one, other in zip(before, now, strict=True)
    )


def _fields(cluster: str) -> Mapping[str, str]:
    return {"cluster": cluster}
