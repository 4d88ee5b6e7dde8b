"""What is said of a cluster: a code, a sentence, and the numbers that went into it."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import Verdict
from smallmodel_operator.placement.choice.facts import Facts
from smallmodel_operator.placement.choice.judge import Judged, Offer, Rank, Refused, domain_of
from smallmodel_operator.placement.choice.money import (
    PARTS,
    Cost,
    Fit,
    Market,
    remote_gb,
)
from smallmodel_operator.placement.choice.pick import Picked
from smallmodel_operator.placement.choice.rates import Input
from smallmodel_operator.placement.choice.wish import Policy, Wish
from smallmodel_operator.placement.choice.words import money, signed
from smallmodel_operator.placement.once import Once

_WORTH_SAYING: Final = 0.00005
"""An amount that is not written as zero."""


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What a cluster is compared with."""

    wish: Wish
    market: Market
    policy: Policy
    selected: tuple[Judged, ...]
    """The best first."""
    picked: Picked

    @Once
    def names(self) -> frozenset[str]:
        """Those of the selected."""
        return frozenset(one.name for one in self.selected)

    @Once
    def offers(self) -> tuple[Offer, ...]:
        """Those of the selected that were priced."""
        return tuple(one for one in self.selected if isinstance(one, Offer))

    @Once
    def dearest(self) -> Rank | None:
        """Of the worst of these."""
        return max((one.rank for one in self.offers), default=None)

    @Once
    def domains(self) -> frozenset[str]:
        """What fails together with them."""
        return frozenset(domain_of(one) for one in self.selected)


def code_of(one: Judged, around: Circumstances) -> Code:
    """Return what is said of a cluster in one word."""
    is_selected = one.name in around.names
    if isinstance(one, Refused):
        return Code.HELD if is_selected else one.rejection.code
    if is_selected:
        return _why_selected(one, around)
    if one.name == around.picked.rival:
        return Code.NOT_WORTH_A_MOVE
    dearest = around.dearest or one.rank
    if one.rank < dearest:
        return Code.SPREAD_LIMIT if domain_of(one) in around.domains else Code.NOT_WORTH_A_MOVE
    return Code.LESS_PREFERRED if one.rank[0] > dearest[0] else Code.COST_HIGHER


def _why_selected(one: Offer, around: Circumstances) -> Code:
    beside = around.picked.ones[len(around.picked.ones) - around.picked.beside :]
    if any(other.name == one.name for other in beside):
        return Code.STANDS_IN
    return Code.KEPT if around.wish.has(one.name) else Code.LOWEST_COST


def verdict(one: Judged, code: Code, around: Circumstances) -> Verdict:
    """Return what is said of a cluster.

    Args:
        one: The cluster, and what came of it.
        code: The one word.
        around: What it is compared with.
    """
    is_selected = one.name in around.names
    if isinstance(one, Refused):
        message = one.rejection.message
        if is_selected:
            message = f"The copy there stays, and a new one would not go there: {message}"
        return Verdict(
            cluster=one.name,
            selected=is_selected,
            code=code,
            message=message,
            against=one.rejection.code,
            waits=one.rejection.waits,
        )
    return Verdict(
        cluster=one.name,
        selected=is_selected,
        code=code,
        message=costs(one.cost, around.policy) if is_selected else _why_not(one, code, around),
        cost=one.cost,
        inputs=inputs_of(around.wish, one.place, one.fit, around.market),
    )


def _why_not(one: Offer, code: Code, around: Circumstances) -> str:
    if one.name == around.picked.rival:
        return f"Not worth a move: {around.picked.calm.why_not}"
    if code is Code.SPREAD_LIMIT:
        same = (other for other in around.selected if domain_of(other) == domain_of(one))
        return f"{domain_of(one)} has a copy already, on {next(same).name}"
    if code is Code.LESS_PREFERRED:
        return f"It is outside of {one.rank[0]} preferred laws, more than where copies are"
    if not around.offers:
        return costs(one.cost, around.policy)
    return against(one.cost, around.offers[0], around.policy)


def costs(cost: Cost, policy: Policy) -> str:
    """Return a cost with its parts."""
    named = zip(PARTS, cost.parts, strict=True)
    parts = ", ".join(f"{name} {money(part)}" for name, part in named if _says(part))
    total = f"{money(cost.total)} {policy.currency}/h"
    return f"{total}: {parts or 'nothing'}; {cost.grams:.3g} g CO2e/h"


def against(cost: Cost, best: Offer, policy: Policy) -> str:
    """Return what makes a cluster dearer than the best one, the largest difference first."""
    differences = [
        (-abs(more), part, more)
        for part, here, there in zip(PARTS, cost.parts, best.cost.parts, strict=True)
        if _says(more := here - there)
    ]
    listed = ", ".join([f"{part} {signed(more)}" for _, part, more in sorted(differences)])
    total = f"{signed(cost.total - best.cost.total)} {policy.currency}/h against {best.name}"
    return f"{total}: {listed or 'a tie, broken by a hash'}"


def inputs_of(wish: Wish, place: Facts, fit: Fit, market: Market) -> tuple[Input, ...]:
    """Return the numbers that a cost was computed from, and how each of them is known."""
    hours = market.rates[place.name].inputs(fit.product)
    reads = [
        market.way(read, place).said for read in wish.reads if remote_gb(read, place, market) > 0
    ]
    return (*hours, *reads)


def _says(amount: float) -> bool:
    return abs(amount) >= _WORTH_SAYING
