"""Events for people who look at an object: one per change, and none twice within ten minutes."""

import logging
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from smallmodel_operator.api.names import MANAGER, bounded
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock, micro_time
from smallmodel_operator.clusters.ref import EVENTS, Manifest, Ref, ref_of

_log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 600.0
_REMEMBERED: Final = 10_000
# Limits of events.k8s.io/v1: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
_NOTE_BYTES: Final = 1024
_WORD: Final = 128
_NAME: Final = 253
_DEFAULT_NAMESPACE: Final = "default"
"""Events of objects without a namespace are written there, as Kubernetes' own are."""


class EventType(StrEnum):
    """Whether somebody should care."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an event is about."""

    ref: Ref
    uid: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "About":
        """Return the object of a manifest that was read from an API server."""
        return cls(ref=ref_of(manifest), uid=manifest["metadata"].get("uid", ""))


class Events:
    """Writes events.

    Attributes:
        written: How many were written.
        failed: How many could not be, by the kind of error.

    Args:
        api: Where.
        instance: Which operator: a pod's name.
        clock: For tests.
    """

    def __init__(self, api: Api, instance: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._recent: OrderedDict[tuple[About, str, str], float] = OrderedDict()
        self.written = 0
        self.failed: Counter[str] = Counter()

    async def record(
        self,
        about: About,
        reason: str,
        message: str,
        *,
        action: str = "Reconcile",
        type_: EventType = EventType.NORMAL,
    ) -> None:
        """Write one event, unless the same one was written a short while ago.

        A failure is logged and counted: an event is never a reason not to go on.

        Args:
            about: The object.
            reason: One CamelCase word.
            message: For people.
            action: What was done, as one CamelCase word.
            type_: Whether somebody should care.
        """
        key = (about, reason, message)
        now = self._clock.monotonic()
        self._forget_before(now - QUIET_SECONDS)
        if key in self._recent:
            return
        # Noted before the call, so that two callers in one moment write one event.
        self._recent[key] = now
        try:
            await self._api.create(self._event(about, reason, message, action, type_))
        except errors.ApiError as error:
            del self._recent[key]
            self.failed[type(error).__name__] += 1
            _log.warning("event %s of %s was not written: %s", reason, about.ref, error)
        else:
            self.written += 1

    def _forget_before(self, moment: float) -> None:
        while self._recent:
            key, at = next(iter(self._recent.items()))
            if at >= moment and len(self._recent) < _REMEMBERED:
                return
            del self._recent[key]

    def _event(
        self, about: About, reason: str, message: str, action: str, type_: EventType
    ) -> Manifest:
        ref = about.ref
        ending = f".{uuid.uuid4().hex[:16]}"
        regarding = {
            "apiVersion": ref.resource.api_version,
            "kind": ref.resource.kind,
            "name": ref.name,
            "uid": about.uid,
        }
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": bounded(ref.name, _NAME - len(ending)) + ending,
                "namespace": ref.namespace or _DEFAULT_NAMESPACE,
            },
            "eventTime": micro_time(self._clock.now()),
            "type": type_.value,
            "reason": reason[:_WORD],
            "action": action[:_WORD],
            "note": _cut(message, _NOTE_BYTES),
            "regarding": regarding | ({"namespace": ref.namespace} if ref.namespace else {}),
            "reportingController": f"smallmodel.dev/{MANAGER}",
            "reportingInstance": self._instance[:_WORD],
        }


def _cut(text: str, limit: int) -> str:
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    mark = "…"
    return encoded[: limit - len(mark.encode())].decode(errors="ignore") + mark
