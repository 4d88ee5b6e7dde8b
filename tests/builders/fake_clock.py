"""A fake clock: time passes only when a test turns it."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Sleepers wake when time was turned past their moment.

    Args:
        skew: Seconds by which its time of day is wrong.
    """

    def __init__(self, skew: float = 0.0) -> None:
        self._seconds = 1000.0
        self._start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=skew)
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds - 1000.0)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        sleeper = (self._seconds + seconds, woken)
        self._sleepers.append(sleeper)
        try:
            await woken.wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    @property
    def sleeping(self) -> int:
        """How many wait for time to pass."""
        return len(self._sleepers)

    def turn(self, seconds: float, *, wake: bool = True) -> None:
        """Let time pass.

        Args:
            seconds: How much.
            wake: False: nobody wakes yet, as in a process that is held up.
        """
        self._seconds += seconds
        if not wake:
            return
        for sleeper in [one for one in self._sleepers if one[0] <= self._seconds]:
            self._sleepers.remove(sleeper)
            sleeper[1].set()
