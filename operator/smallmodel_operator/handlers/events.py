"""Events on SmallModels: one for each change of what people wait for."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import SMALLMODELS
from smallmodel_operator.status.events import Event, diff_events

_LOG: Final = logging.getLogger(__name__)

_WAITING_MAX: Final = 10_000
_PAUSE_SECONDS: Final = 0.02
"""After each event, so that in a burst they give way to what serves: fifty a second at most."""
_BUSY_PAUSE_SECONDS: Final = 0.5
"""The same while many models wait to be worked on."""


class EventWriter:
    """Tells people who look at a SmallModel what changed, and keeps nobody waiting for that."""

    def __init__(self, events: Events, busy: Callable[[], bool] = lambda: False) -> None:
        """Make it.

        Args:
            events: Writes single ones.
            busy: Tells whether there is much to do that is worth more.
        """
        self._events = events
        self._busy = busy
        self._waiting: deque[tuple[About, Event]] = deque()
        self._some = asyncio.Event()

    def tell(self, metadata: ObjectMeta, before: SmallModelStatus, after: SmallModelStatus) -> None:
        """Have written what the new status of a SmallModel says that the old one did not."""
        about = About(
            ref=SMALLMODELS.ref(metadata.name, metadata.namespace), uid=metadata.uid or ""
        )
        for event in diff_events(before, after):
            if len(self._waiting) == _WAITING_MAX:
                _LOG.warning("too many events wait: %s of %s is left out", event.reason, about.ref)
                continue
            self._waiting.append((about, event))
            self._some.set()

    async def run(self) -> None:
        """Write what is told until cancelled."""
        while True:
            await self._some.wait()
            while self._waiting:
                about, event = self._waiting.popleft()
                await self._events.record(
                    about, event.reason, event.message, type_=EventType(event.type)
                )
                await asyncio.sleep(_BUSY_PAUSE_SECONDS if self._busy() else _PAUSE_SECONDS)
            self._some.clear()
