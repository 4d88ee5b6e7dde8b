"""How a measurement is described, and what it gets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.values import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement gets."""

    runs: int
    quick: bool
    """True: the loads are a fraction of what they should be."""
    folder: Path
    """Temporary; removed in the end."""
    say: Callable[[str], None]
    """Tells whoever waits how far it is."""

    def amount(self, full: int) -> int:
        """Return how much of something to do: a fifth in a quick run, and at least one."""
        return max(1, full // 5) if self.quick else full

    def seconds(self, full: float) -> float:
        """Return how long to do something: less in a quick run, but at least a second."""
        return max(1.0, full / 5) if self.quick else full

    def new_folder(self, name: str) -> Path:
        """Make an empty folder below the temporary one."""
        number = len(list(self.folder.iterdir()))
        path = self.folder / f"{number}-{name}"
        path.mkdir()
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One thing to measure."""

    name: str
    about: str
    measure: Callable[[Bench], Awaitable[Report]]
