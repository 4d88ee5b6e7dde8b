"""Waiting for what another process does, with a deadline instead of a sleep."""

import asyncio
import time
from collections.abc import Callable


async def eventually(condition: Callable[[], bool], what: str, within: float = 10.0) -> None:
    """Return when the condition holds, and fail when it does not within that many seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.01)
