"""How fast copies move: what is counted over all models, and when each is looked at again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import ANNOTATION_DROPS_UNTIL
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.reconcile.copies import EVALUATE_SECONDS
from smallmodel_operator.reconcile.pace import Pace

_EARLY: Final = 1.0
"""A timer may wake a little before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """When a model was looked at last, and among what."""

    at: float
    circumstances: object


class Pacing:
    """Counts over all models; lost with the process, which then begins with an empty minute."""

    def __init__(self, stores: HubStores, now: Callable[[], str], clock: Clock = SYSTEM_CLOCK):
        self._stores = stores
        self._now = now
        self._clock = clock
        self._pace = Pace()
        self._looks: dict[ObjectKey, _Look] = {}

    def is_due(self, key: ObjectKey, around: Around | None) -> bool:
        """Return whether it is time to ask again if a model should be elsewhere."""
        last = self._looks.get(key)
        return (
            last is None
            or around is None
            or last.circumstances != around.circumstances
            or self._clock.monotonic() - last.at >= EVALUATE_SECONDS - _EARLY
        )

    def looked(self, key: ObjectKey, around: Around | None) -> None:
        """Note that a model was looked at."""
        if around is not None:
            at = self._clock.monotonic()
            self._looks[key] = _Look(at=at, circumstances=around.circumstances)

    def look_again(self, key: ObjectKey) -> None:
        """Have it be time, whenever a model was looked at last."""
        self._looks.pop(key, None)

    def forget(self, key: ObjectKey) -> None:
        """Forget a model that is no more."""
        self._looks.pop(key, None)
        self._pace = self._pace.content(key)

    def pause(self) -> str | None:
        """Return why no copy begins to move now; None: one may."""
        most = self._stores.scales.policy.moves_per_minute
        return self._pace.pause(self._clock.monotonic(), most)

    def moved(self, count: int) -> None:
        """Note that so many copies began to move."""
        if count:
            self._pace = self._pace.moved(count, self._clock.monotonic())

    def may_drop(self, key: ObjectKey, copies: tuple[ModelPlacement, ...]) -> bool:
        """Return whether copies of a model that nobody wants any more may be taken down."""
        if not copies:
            self._pace = self._pace.content(key)
            return True
        at, count = self._clock.monotonic(), len(copies)
        if self._pace.holds_drops(count, self._stores.copies, at) and not self._allowed(copies):
            self._pace = self._pace.waits(key, at)
            return False
        self._pace = self._pace.content(key).dropped(count, at)
        return True

    def _allowed(self, copies: tuple[ModelPlacement, ...]) -> bool:
        """Return whether an administrator says that many copies may go from these clusters."""
        return all(self._allows(one.spec.cluster) for one in copies)

    def _allows(self, name: str) -> bool:
        cluster = self._stores.clusters.get(name)
        until = cluster.metadata.annotations.get(ANNOTATION_DROPS_UNTIL) if cluster else None
        try:
            return until is not None and _time(until) > _time(self._now())
        except (ValueError, TypeError):
            # Not a time, or one of no zone: nothing is allowed by a slip of the pen.
            return False


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
