"""Leadership by a Lease: one operator at a time acts, and another takes over when it is gone.

As in client-go, clocks of different machines are never compared: a Lease has run out when it did
not change for its duration, by the clock of the one who watches it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock, micro_time
from smallmodel_operator.clusters.ref import LEASES, Manifest, Ref

_log = logging.getLogger(__name__)

DURATION: Final = 15.0
"""Seconds that a Lease is good for after its last renewal, as in Kubernetes' own programs."""
_LONGEST_PAUSE: Final = 1.0
"""Between looks at a Lease that another holds, and between tries to renew."""

Lost = Callable[[str], None]
"""Called once with the reason when leadership ends without having been given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    holder: str
    renewed: str
    duration: float
    transitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    record: _Record
    at: float


class Leadership:
    """One candidate for a Lease.

    Args:
        api: Where the Lease lies.
        ref: The Lease.
        identity: Of this candidate. A Lease that already names it is taken over at once, so no
            two processes that can run at the same time may share it. A pod's name is such: its
            container runs again only after it ended.
        duration: Seconds that the Lease is good for; a whole number, at least 1.
        clock: For tests.
    """

    def __init__(
        self,
        api: Api,
        ref: Ref,
        identity: str,
        *,
        duration: float = DURATION,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._api = api
        self._ref = ref
        self._identity = identity
        self._duration = duration
        self._clock = clock
        self._seen: _Seen | None = None
        self._version = ""
        self._renewed_at: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether nobody else can hold the Lease now."""
        if self._renewed_at is None:
            return False
        return self._clock.monotonic() < self._renewed_at + self._duration

    async def acquire(self) -> None:
        """Return once the Lease is held, however long that takes."""
        told = ""
        while True:
            try:
                if await self._try():
                    _log.info("%s is held by %s", self._ref, self._identity)
                    return
                state = f"{self._ref} is held by {self._holder()}; waiting for it"
            except errors.ApiError as error:
                state = f"{self._ref} cannot be taken: {error}"
            if state != told:
                _log.info("%s", state)
                told = state
            await self._clock.sleep(self._pause)

    async def keep(self, lost: Lost) -> None:
        """Renew the Lease again and again, and call `lost` when that did not succeed in time."""
        try:
            while True:
                # A renewal that took long leaves the less time until the next one.
                due = (self._renewed_at or 0.0) + self._duration / 3
                await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
                reason = await self._renew_in_time()
                if reason is not None:
                    break
        except Exception as error:
            # Whatever it was, nobody renews any more.
            _log.exception("renewing %s failed", self._ref)
            reason = f"renewing failed: {error!r}"
        self._renewed_at = None
        lost(f"{self._ref} is lost: {reason}")

    async def release(self) -> None:
        """Give the Lease up, so that another candidate need not wait for its end."""
        if not self.is_held:
            return
        self._renewed_at = None
        spec = {"holderIdentity": "", "renewTime": micro_time(self._clock.now())}
        try:
            async with asyncio.timeout(self._duration / 3):
                await self._patch(spec)
        except (errors.ApiError, TimeoutError) as error:
            _log.warning("%s could not be given up, and runs out by itself: %s", self._ref, error)

    @property
    def _pause(self) -> float:
        return min(_LONGEST_PAUSE, self._duration / 6)

    def _holder(self) -> str:
        return self._seen.record.holder if self._seen else "another"

    async def _try(self) -> bool:
        lease = await self._api.get(self._ref)
        if lease is None:
            return await self._make()
        record = _record_of(lease)
        if self._seen is None or self._seen.record != record:
            self._seen = _Seen(record=record, at=self._clock.monotonic())
        if record.holder not in {"", self._identity}:
            # A record without a duration is no reason to be hasty.
            quiet = self._clock.monotonic() - self._seen.at
            if quiet < (record.duration or self._duration):
                return False
        self._version = lease["metadata"]["resourceVersion"]
        return await self._take(record)

    async def _make(self) -> bool:
        begun = self._clock.monotonic()
        now = micro_time(self._clock.now())
        try:
            made = await self._api.create(
                {
                    "apiVersion": LEASES.api_version,
                    "kind": LEASES.kind,
                    "metadata": {
                        "name": self._ref.name,
                        "namespace": self._ref.namespace,
                        "labels": {LABEL_MANAGED_BY: MANAGER},
                    },
                    "spec": self._spec(now) | {"acquireTime": now, "leaseTransitions": 0},
                }
            )
        except errors.AlreadyExists:
            return False
        self._hold(made, begun)
        return True

    async def _take(self, record: _Record) -> bool:
        begun = self._clock.monotonic()
        now = micro_time(self._clock.now())
        changes = {"acquireTime": now, "leaseTransitions": record.transitions + 1}
        try:
            taken = await self._patch(self._spec(now) | changes)
        except (errors.Conflict, errors.NotFound):
            return False
        self._hold(taken, begun)
        return True

    async def _renew_in_time(self) -> str | None:
        """Return None when the Lease was renewed, else why not."""
        # The last third is for the process to end in, before anybody else can be the leader.
        deadline = (self._renewed_at or 0.0) + self._duration * 2 / 3
        last = "there was no time to try"
        while (remaining := deadline - self._clock.monotonic()) > 0:
            try:
                async with asyncio.timeout(remaining):
                    return await self._renew()
            except TimeoutError:
                last = "the API server did not answer in time"
            except errors.ApiError as error:
                last = str(error)
            _log.warning("%s was not renewed: %s", self._ref, last)
            await self._clock.sleep(self._pause)
        return f"it was not renewed for {self._duration * 2 / 3:g} s: {last}"

    async def _renew(self) -> str | None:
        begun = self._clock.monotonic()
        try:
            renewed = await self._patch(self._spec(micro_time(self._clock.now())))
        except errors.Conflict:
            # Somebody wrote it. It may have been this candidate, in a call without an answer.
            holder = await self._look_again()
            if holder in {None, self._identity}:
                raise
            return f"{holder or 'nobody'} holds it now"
        except errors.NotFound:
            return None if await self._make() else "it was deleted, and another made it anew"
        self._hold(renewed, begun)
        return None

    async def _look_again(self) -> str | None:
        """Return who holds the Lease; None where there is none any more."""
        lease = await self._api.get(self._ref)
        if lease is None:
            return None
        self._version = lease["metadata"]["resourceVersion"]
        return _record_of(lease).holder

    def _spec(self, now: str) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._duration),
            "renewTime": now,
        }

    async def _patch(self, spec: Mapping[str, Any]) -> Manifest:
        patch = {"metadata": {"resourceVersion": self._version}, "spec": spec}
        return await self._api.merge_patch(self._ref, patch)

    def _hold(self, lease: Manifest, begun: float) -> None:
        self._version = lease["metadata"]["resourceVersion"]
        # Counted from before the call: others may have seen the new record before its answer came.
        self._renewed_at = begun


def _record_of(lease: Mapping[str, Any]) -> _Record:
    spec = lease.get("spec") or {}
    return _Record(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )


@asynccontextmanager
async def hold(
    api: Api,
    namespace: str,
    name: str,
    identity: str,
    lost: Lost,
    *,
    duration: float = DURATION,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncIterator[Leadership]:
    """Wait for the Lease, hold it inside the block, and give it up after it.

    Args:
        api: Where the Lease lies.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: See `Leadership`.
        lost: Called where leadership ends by itself. The process has to end at once: others may
            act a third of `duration` later.
        duration: Seconds that the Lease is good for.
        clock: For tests.
    """
    leadership = Leadership(
        api, LEASES.ref(name, namespace), identity, duration=duration, clock=clock
    )
    await leadership.acquire()
    renewing = asyncio.create_task(leadership.keep(lost))
    try:
        yield leadership
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing
        await leadership.release()
