"""The last good routes stay where the new ones lack models that nobody deleted."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from smallmodel_operator.plan.gateway.snapshot import (
    RouteKey,
    SnapshotInput,
    Withheld,
    withhold,
)

_LOG: Final = logging.getLogger(__name__)

WITHHELD_RETRY: Final = 5.0
"""Seconds until routes that were withheld are looked at again."""

Tell: TypeAlias = Callable[[Withheld], Awaitable[None]]


async def nobody(_: Withheld) -> None:
    """Tell nobody but the log."""


class LastGood:
    """What was written last, and whether something else may take its place."""

    def __init__(self, all_pools_read: Callable[[], bool]) -> None:
        """Make it.

        Args:
            all_pools_read: Tells whether everything was read once since this process started.
        """
        self._all_pools_read = all_pools_read
        self._before: frozenset[RouteKey] | None = None
        self._deleted: set[RouteKey] = set()
        self._since: float | None = None
        self.withheld: Withheld | None = None
        """Why the last good routes stay, or None where they do not."""

    def note_deleted(self, key: RouteKey) -> None:
        """Remember that a SmallModel was seen to be deleted."""
        self._deleted.add(key)

    async def may_be_replaced(
        self,
        after: frozenset[RouteKey],
        *,
        going: frozenset[RouteKey] = frozenset(),
        found: Callable[[], frozenset[RouteKey]],
        tell: Tell = nobody,
    ) -> bool:
        """Tell whether new routes may be written; why not is told once.

        Args:
            after: What the new routes lead to.
            going: Models that are being deleted: whoever begins now did not see it begin.
            found: Returns what the routes of an earlier process lead to.
            tell: Tells people, besides the log.
        """
        given = SnapshotInput(
            before=found() if self._before is None else self._before,
            after=after,
            deleted=frozenset(self._deleted | going),
            all_pools_read=self._all_pools_read(),
            withheld_for=time.monotonic() - self._since if self._since else 0.0,
        )
        told, self.withheld = self.withheld, withhold(given)
        if self.withheld is None:
            self._since = None
            return True
        self._since = self._since or time.monotonic()
        if told != self.withheld:
            await self.keep(self.withheld, tell)
        return False

    async def keep(self, why: Withheld, tell: Tell = nobody) -> None:
        """Have the last good routes stay, and tell why."""
        self.withheld = why
        _LOG.warning("%s", why.message, extra={"reason": why.reason})
        await tell(why)

    def replaced(self, after: frozenset[RouteKey]) -> None:
        """Remember what the routes that were written lead to."""
        self._before = after
        self._deleted &= after
