"""What placing among clusters returns: where the copies are, and what was said of each cluster."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.money import Cost, Fit
from smallmodel_operator.placement.choice.rates import Input
from smallmodel_operator.placement.choice.wish import Streak

SHOWN_MAX: Final = 20
"""Clusters of which a decision says more than that they were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of one cluster."""

    cluster: str
    selected: bool
    code: Code
    message: str
    cost: Cost | None = None
    """None where it was not asked."""
    inputs: tuple[Input, ...] = ()
    against: Code | None = None
    """What speaks against it; also where a copy stays there all the same."""
    waits: bool = False
    """True: that may pass by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A cluster that serves a copy."""

    cluster: str
    code: Code
    fit: Fit | None
    """How; None where what runs there is kept without being looked at."""
    cost: Cost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a model's copies are to be, and why."""

    chosen: tuple[Chosen, ...]
    missing: int
    """Copies for which there is no cluster."""
    ended: tuple[str, ...]
    """Clusters on which a copy runs that is not wanted there any more, by name."""
    forbidden: tuple[str, ...]
    """Those of them that a law forbids: their copies end at once, with or without another."""
    verdicts: tuple[Verdict, ...]
    """The selected ones first, then the nearest misses; at most `SHOWN_MAX`."""
    counts: tuple[tuple[Code, int], ...]
    """Of all clusters that were not selected, by what was said of them; the most frequent first."""
    streak: Streak | None = None
    """To be handed to the next decision."""

    @property
    def clusters(self) -> tuple[str, ...]:
        """Where the copies are to be."""
        return tuple(one.cluster for one in self.chosen)

    @property
    def summary(self) -> str:
        """All of it in one line."""
        total = len(self.chosen) + sum(count for _, count in self.counts)
        said = ", ".join(f"{count} {code}" for code, count in self.counts)
        return f"{len(self.chosen)}/{total} selected" + (f"; {said}" if said else "")
