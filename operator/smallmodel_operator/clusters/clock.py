"""The clock of this room, so that tests can turn it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time, and waiting for it to pass."""

    def monotonic(self) -> float:
        """Return seconds since any moment, never going back."""
        ...

    def now(self) -> datetime:
        """Return the time that this machine believes it is."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return seconds since the machine's start."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the machine's time."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


def micro_time(moment: datetime) -> str:
    """Return a moment as Kubernetes' MicroTime: always six digits after the point."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
