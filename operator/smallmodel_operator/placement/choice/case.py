"""What a cluster is asked by, and what speaks against it."""

from dataclasses import dataclass
from typing import NamedTuple

from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.money import Market
from smallmodel_operator.placement.choice.wish import Policy, Read, Wish
from smallmodel_operator.placement.choice.words import listed
from smallmodel_operator.placement.once import Once


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What speaks against a cluster."""

    code: Code
    message: str
    holds: bool = False
    """True: it keeps new copies away, and one that is there stays."""
    waits: bool = False
    """True: it may pass by itself."""


class Line(NamedTuple):
    """A line, and what is read over it."""

    name: str
    uplink_mbit: float
    reads: tuple[Read, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is the same for all clusters that a model could be served in."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    wish: Wish
    market: Market
    policy: Policy
    allowed: frozenset[str] | None
    """Countries that the laws of its data allow; None: no law requires any."""

    @Once
    def lines_of_data(self) -> tuple[Line, ...]:
        """Lines that what the model reads leaves by, where there is no other way to it."""
        alone = [(read, read.locations[0]) for read in self.wish.reads if len(read.locations) == 1]
        return tuple(
            Line(name=source.described, uplink_mbit=uplink, reads=(read,))
            for read, source in alone
            if (uplink := self.market.network_at(source).uplink_mbit) is not None
        )

    @Once
    def lawful(self) -> str:
        """Where the data may be read, in words."""
        sources = sorted(law.source for law in self.wish.laws if law.required)
        return f"{', '.join(sources)} may be read in {listed(self.allowed or frozenset())}"
