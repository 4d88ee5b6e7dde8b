"""What an agent is told by its hub of other gateways, and the certificate of its own.

All of it is kept in the cluster, too: an agent that restarts needs no hub. What cannot be read
changes nothing.
"""

import base64
import contextlib
import datetime
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.names import (
    LABEL_HUB,
    LABEL_MANAGED_BY,
    MANAGER,
    gateway_identity,
    placement_namespace,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import Held, held_leaf, hold_leaf
from smallmodel_operator.clusters.certificates import (
    CertificateUnreadable,
    Pair,
    ends_at,
    make_request,
    why_renew,
)
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.ref import CONFIGMAPS
from smallmodel_operator.plan.gateway.config_map import InvalidSnapshot, entries_of
from smallmodel_operator.plan.gateway.secret_files import CERTIFICATE, TRUSTED
from smallmodel_operator.plan.gateway.told import (
    TOLD_ENTRY,
    TOLD_NAME,
    InvalidTold,
    Told,
    read_told,
)

_LOG: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 5.0
"""A copy that moves away answers for 30 s more: others have heard of that long before."""
_LOOK_SECONDS: Final = 3600.0
"""Somebody may have deleted the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose agent it is, and where things lie."""

    cluster: str
    """The ModelCluster on the hub."""
    hub_id: str
    namespace: str
    """The agent's own, where its gateway is, too."""


class Hearing:
    """Asks the hub again and again.

    Attributes:
        problem: Why what the hub says cannot be used; None: it can, or the hub is away.
        ends: When the certificate of the gateway ends, as it was seen last; None: there is none.
    """

    def __init__(
        self,
        api: Api,
        hub: Api,
        asker: Asker,
        taken: Callable[[Told], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make it.

        Args:
            api: The cluster's.
            hub: The hub's.
            asker: Whose agent it is.
            taken: Told of what the hub says now.
            clock: For pauses.
        """
        self._api = api
        self._hub = hub
        self._asker = asker
        self._taken = taken
        self._clock = clock
        self._identity = gateway_identity(asker.cluster, asker.hub_id)
        self._kept: bytes | None = None
        """The entry of which a copy is in the cluster."""
        self._asked: Pair | None = None
        """A request, and its key, which is in no object before it has its certificate."""
        self._looked_at: tuple[Mapping[str, bytes], float] | None = None
        self.problem: str | None = None
        self.ends: datetime.datetime | None = None

    @property
    def request(self) -> str | None:
        """For another certificate of the gateway, as PEM; None: it has what it needs."""
        return self._asked.certificate.decode() if self._asked is not None else None

    async def recall(self) -> None:
        """Take what the hub said last, as it was kept.

        Raises:
            ApiError: It could not be read.
        """
        self._note_end((await held_leaf(self._api, self._asker.namespace)).leaf)
        live = await self._api.get(CONFIGMAPS.ref(TOLD_NAME, self._asker.namespace))
        try:
            entries = entries_of(live or {})
            said = read_told(entries)
        except (InvalidSnapshot, InvalidTold) as error:
            _LOG.warning("the copy of what the hub said last is left out: %s", error)
            return
        self._kept = entries.get(TOLD_ENTRY)
        if said is not None:
            self._taken(said)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # Nothing that a hub says may end what serves.
                _LOG.exception("hearing of other gateways failed by a defect of this program")
            await self._clock.sleep(_PERIOD_SECONDS)

    async def look(self) -> None:
        """Ask the hub once, where it can be asked; why what it says cannot be used is told once."""
        try:
            problem = await self._look()
        except errors.Unreachable:
            # The line tells of that.
            return
        except errors.Forbidden as error:
            problem = f"{error}; {self._join()}"
        except (errors.ApiError, InvalidSnapshot, InvalidTold, CertificateUnreadable) as error:
            problem = str(error)
        if problem is not None and problem != self.problem:
            _LOG.warning("gateways of other clusters: %s", problem)
        self.problem = problem

    async def _look(self) -> str | None:
        """Do it, and return what is wrong.

        Raises:
            ApiError: The hub or the cluster did not do what was asked of it.
            InvalidSnapshot: What the hub says is damaged.
            InvalidTold: As above.
            CertificateUnreadable: As above.
        """
        ref = CONFIGMAPS.ref(TOLD_NAME, placement_namespace(self._asker.cluster))
        live = await self._hub.get(ref)
        if live is None:
            return f"the hub has no {ref}; {self._join()}"
        entries = entries_of(live)
        said = read_told(entries)
        if said is not None and entries[TOLD_ENTRY] != self._kept:
            await self._keep(entries[TOLD_ENTRY])
            self._taken(said)
        if entries.get(TRUSTED):
            await self._keep_certificate(entries)
        return None

    async def _keep(self, entry: bytes) -> None:
        await self._api.apply(
            {
                "apiVersion": CONFIGMAPS.api_version,
                "kind": CONFIGMAPS.kind,
                "metadata": {
                    "name": TOLD_NAME,
                    "namespace": self._asker.namespace,
                    "labels": {LABEL_HUB: self._asker.hub_id, LABEL_MANAGED_BY: MANAGER},
                },
                "binaryData": {TOLD_ENTRY: base64.b64encode(entry).decode()},
            }
        )
        self._kept = entry

    async def _keep_certificate(self, entries: Mapping[str, bytes]) -> None:
        """Ask for a certificate where the gateway needs another one, and take what was signed."""
        shown = {name: entries.get(name, b"") for name in (CERTIFICATE, TRUSTED)}
        now = datetime.datetime.now(datetime.UTC)
        if self._asked is None and not await self._needs_another(shown, now):
            return
        self._asked = self._asked or make_request(self._identity)
        signed = Pair(certificate=shown[CERTIFICATE], key=self._asked.key)
        if why_renew(signed, shown[TRUSTED], self._identity, now) is None:
            held = Held(leaf=signed, trusted=shown[TRUSTED])
            await hold_leaf(self._api, self._asker.namespace, held)
            _LOG.info("the gateway has another certificate, for 90 days")
            self._asked = None
            self._note_end(signed)

    async def _needs_another(self, shown: Mapping[str, bytes], now: datetime.datetime) -> bool:
        """Look at the certificate that is there, where the hub shows another or an hour is over."""
        looked = self._looked_at
        if looked and looked[0] == shown and self._clock.monotonic() - looked[1] < _LOOK_SECONDS:
            return False
        held = await held_leaf(self._api, self._asker.namespace)
        why = why_renew(held.leaf, shown[TRUSTED], self._identity, now)
        if why is None and held.trusted != shown[TRUSTED]:
            why = "it lacks its authority"
        self._note_end(held.leaf)
        if why is None:
            self._looked_at = shown, self._clock.monotonic()
            return False
        _LOG.info("the gateway needs another certificate: %s", why)
        return True

    def _note_end(self, leaf: Pair) -> None:
        self.ends = None
        with contextlib.suppress(CertificateUnreadable):
            self.ends = ends_at(leaf)

    def _join(self) -> str:
        cluster = self._asker.cluster
        return f"run `slm cluster join {cluster} --mode pull` again, with the hub's own version"
