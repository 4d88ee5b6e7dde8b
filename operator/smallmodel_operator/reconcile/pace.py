"""How much may change at a time: moves in a minute, and copies that are taken down together.

Both are counted over all models of the installation, in the memory of whoever decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

_WINDOW_SECONDS: Final = 60.0
_DROPS_MAX: Final = 10
_DROPS_SHARE: Final = 0.2
_DROPS_LEAST: Final = 3
"""Of few copies a fifth is less than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What was begun lately. Times are seconds of one clock that never goes back."""

    moves: tuple[float, ...] = ()
    drops: tuple[float, ...] = ()
    waiting: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When each model last asked in vain to have a copy taken down."""

    def pause(self, now: float, most: int) -> str | None:
        """Return why no further move is begun now, or None.

        Args:
            now: The time.
            most: Moves that may be begun in a minute.
        """
        if len(_recent(self.moves, now)) < most:
            return None
        return f"{most} copies began to move within this minute, which is as many as may"

    def moved(self, count: int, now: float) -> "Pace":
        """Return it after so many moves more."""
        return replace(self, moves=(*_recent(self.moves, now), *[now] * count))

    def dropped(self, count: int, now: float) -> "Pace":
        """Return it after so many copies more were taken down."""
        return replace(self, drops=(*_recent(self.drops, now), *[now] * count))

    def holds_drops(self, count: int, copies: int, now: float) -> bool:
        """Return whether so many copies more are too many to be taken down without a word.

        Once it holds one, it holds all, until nobody asks any more: a rate limit would let a
        mistake through, only later.

        Args:
            count: Copies to be taken down.
            copies: All that there are.
            now: The time.
        """
        if any(now - at < _WINDOW_SECONDS * 2 for at in self.waiting.values()):
            return True
        return len(_recent(self.drops, now)) + count > drops_max(copies)

    def waits(self, model: tuple[str, str], now: float) -> "Pace":
        """Return it after a model asked in vain."""
        return replace(self, waiting={**self._waiting(now), model: now})

    def content(self, model: tuple[str, str]) -> "Pace":
        """Return it after a model has nothing to be taken down."""
        if model not in self.waiting:
            return self
        return replace(self, waiting={k: at for k, at in self.waiting.items() if k != model})

    def _waiting(self, now: float) -> dict[tuple[str, str], float]:
        return {key: at for key, at in self.waiting.items() if now - at < _WINDOW_SECONDS * 2}


def drops_max(copies: int) -> int:
    """Return how many copies of so many may be taken down together without a word."""
    return min(_DROPS_MAX, max(_DROPS_LEAST, int(_DROPS_SHARE * copies)))


def _recent(times: tuple[float, ...], now: float) -> tuple[float, ...]:
    return tuple(at for at in times if now - at < _WINDOW_SECONDS)
