"""A keyed work queue: one run per key at a time, duplicates merged, failures tried again later.

The same rules as client-go's work queue, in one event loop: a key that is added while it waits is
one key, and a key that is added while it is worked on is worked on once more afterwards.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")

_LOG: Final = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 60.0
_GIVES_WAY: Final = 20
"""How many other keys go before one that was added for later."""
_JITTER: Final = 0.3
"""Share by which pauses differ, so that keys that failed together do not come back together."""


class WorkQueue(Generic[Key]):
    """Keys that wait to be worked on."""

    def __init__(
        self,
        name: str,
        work: Callable[[Key], Awaitable[float | None]],
        *,
        workers: int,
        rest: float = 0.0,
        failed: Callable[[Key, Exception], None] | None = None,
    ) -> None:
        """Make it; `run` starts the workers.

        Args:
            name: For logs and metrics.
            work: Works on one key, and returns after how many seconds it wants the key again.
            workers: How many keys are worked on at the same time.
            rest: Seconds for which a key is left alone after it was worked on, so that what is
                added meanwhile is one key; what comes after a quiet time never waits.
            failed: Told of each failure, before the key waits for its next try.
        """
        self.name = name
        self._work = work
        self._workers = workers
        self._failed = failed
        self._waiting: deque[Key] = deque()
        self._later: dict[Key, None] = {}
        """Keys that give way to those in `_waiting`, in their order."""
        self._low: set[Key] = set()
        """Wanted keys that give way, also those that are worked on or rest."""
        self._given_way = 0
        self._dirty: set[Key] = set()
        self._busy: set[Key] = set()
        self._rest = rest
        self._resting: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._some = asyncio.Event()

    @property
    def depth(self) -> int:
        """Keys that wait."""
        return len(self._waiting) + len(self._later) + len(self._dirty & self._resting.keys())

    @property
    def busy(self) -> int:
        """Keys that are worked on."""
        return len(self._busy)

    def idle(self) -> bool:
        """Return whether nothing waits and nothing is worked on; timers do not count."""
        return not self.depth and not self._busy

    def is_wanted(self, key: Key) -> bool:
        """Return whether the key waits to be worked on, once more where it is worked on now."""
        return key in self._dirty

    def add(self, key: Key, *, later: bool = False) -> None:
        """Have the key worked on as soon as a worker is free.

        Args:
            key: What is to be worked on.
            later: It gives way to keys that were added without this, though not for ever.
        """
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._dirty:
            if not later and key in self._low:
                self._low.discard(key)
                if key in self._later:
                    del self._later[key]
                    self._enqueue(key)
            return
        self._dirty.add(key)
        if later:
            self._low.add(key)
        if key not in self._busy and key not in self._resting:
            self._enqueue(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have the key worked on after some time, or earlier where that is wanted already."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._worker(), name=f"{self.name} {number}")
        finally:
            for timers in (self._timers, self._resting):
                for timer in timers.values():
                    timer.cancel()
                timers.clear()

    async def _worker(self) -> None:
        while True:
            while not self._waiting and not self._later:
                self._some.clear()
                await self._some.wait()
            key = self._next()
            self._dirty.discard(key)
            self._low.discard(key)
            self._busy.add(key)
            try:
                again = await self._work(key)
            except Exception as error:
                again = self._pause_after_failure(key, error)
            else:
                self._failures.pop(key, None)
            finally:
                self._busy.discard(key)
                self._let_rest(key)
            if again is not None and key not in self._dirty:
                self.add_after(key, again)

    def _next(self) -> Key:
        """Return the key whose turn it is."""
        if self._waiting and (not self._later or self._given_way < _GIVES_WAY):
            self._given_way += bool(self._later)
            return self._waiting.popleft()
        self._given_way = 0
        key = next(iter(self._later))
        del self._later[key]
        return key

    def _enqueue(self, key: Key) -> None:
        if key in self._low:
            self._later[key] = None
        else:
            self._waiting.append(key)
        self._some.set()

    def _let_rest(self, key: Key) -> None:
        if self._rest:
            loop = asyncio.get_running_loop()
            self._resting[key] = loop.call_later(self._rest, self._rested, key)
        elif key in self._dirty:
            self._enqueue(key)

    def _rested(self, key: Key) -> None:
        del self._resting[key]
        if key in self._dirty:
            self._enqueue(key)

    def _pause_after_failure(self, key: Key, error: Exception) -> float:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        if self._failed is not None:
            self._failed(key, error)
        else:
            _LOG.warning("%s %s failed: %s", self.name, key, error)
        pause = min(_FIRST_PAUSE * 2.0**count, _LONGEST_PAUSE)
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not for secrets
