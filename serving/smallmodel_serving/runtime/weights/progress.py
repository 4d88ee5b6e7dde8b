"""How far a fetch has come, told at a steady pace."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from smallmodel_operator.api.fetch import FetchEvent, FetchProgress, FetchWaiting

TELL_EVERY_SECONDS: Final = 0.5
"""Readers expect at most 5 events in a second and never 2 seconds without one."""


class Meter:
    """Counts bytes. Written by the thread that fetches, read by the one that tells."""

    def __init__(self) -> None:
        self.done = 0
        self.total: int | None = None
        self.resumed = 0
        self.waiting = False

    def expect(self, count: int) -> None:
        """Learn that at least `count` more bytes are to come."""
        self.total = max(self.total or 0, self.done + count)

    def take_back(self, count: int) -> None:
        """Forget bytes that turned out to be of another version."""
        self.done -= count
        self.resumed = min(self.resumed, self.done)

    def begin(self, total: int | None) -> None:
        """Start counting something of `total` bytes."""
        self.done = 0
        self.resumed = 0
        self.total = total

    def advance(self, count: int) -> None:
        """Count bytes that arrived, or were read for their digest."""
        self.done += count

    def resume(self, count: int) -> None:
        """Count bytes that an earlier, cut download left."""
        self.done += count
        self.resumed += count

    def event(self) -> FetchEvent:
        """Return what can be said now."""
        if self.waiting:
            return FetchWaiting()
        return FetchProgress(
            done_bytes=self.done, total_bytes=self.total, resumed_bytes=self.resumed
        )


class Teller:
    """Emits the meter's event at once and then every half second, until the block ends.

    A silent program looks dead, also while it hashes or while a source does not answer, so the
    pace comes from a thread and not from the arrival of bytes.
    """

    def __init__(self, meter: Meter, emit: Callable[[FetchEvent], None]) -> None:
        self._meter = meter
        self._emit = emit
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="fetch-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        while True:
            self._emit(self._meter.event())
            if self._ended.wait(TELL_EVERY_SECONDS):
                return
