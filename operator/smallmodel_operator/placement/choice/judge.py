"""Each cluster by itself: what it offers a model and at what price, or what speaks against it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final

from smallmodel_operator.api.names import short_hash
from smallmodel_operator.placement.choice.case import Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.facts import Facts
from smallmodel_operator.placement.choice.filters import Questions
from smallmodel_operator.placement.choice.law import preferences_broken
from smallmodel_operator.placement.choice.money import Cost, Fit, bill
from smallmodel_operator.placement.choice.words import money

Fitter = Callable[[Facts], Fit | Rejection]
"""How a model would run in a cluster; asked only where nothing else speaks against it."""

Rank = tuple[int, int, int]
"""Preferred laws broken, then money, then a hash: the least is the best."""

_SMALLEST_COIN: Final = 1e-9
"""Less is rounding, and decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A cluster that could serve a copy."""

    name: str
    """The cluster's."""
    place: Facts
    fit: Fit
    cost: Cost
    rank: Rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A cluster that something speaks against."""

    name: str
    """The cluster's."""
    place: Facts
    rejection: Rejection


Judged = Offer | Refused


def judge(asked: Questions, place: Facts, fitter: Fitter) -> Judged:
    """Return what comes of one cluster.

    Args:
        asked: What the model asks of each of them.
        place: The cluster.
        fitter: How the model would run there.
    """
    case = asked.case
    wish, policy = case.wish, case.policy
    rejection = asked.first_rejection(place)
    if rejection is not None:
        return Refused(name=place.name, place=place, rejection=rejection)
    fit = fitter(place)
    if isinstance(fit, Rejection):
        return Refused(name=place.name, place=place, rejection=fit)
    cost = bill(wish, place, fit, case.market, policy)
    cap, total = wish.bounds.max_cost_hour, cost.total
    if cap is not None and total > cap:
        message = (
            f"{place.name} would cost {money(total)} {policy.currency}/h, and "
            f"spec.placement.maxCostPerHour is {money(cap)}."
        )
        capped = Rejection(code=Code.COST_CAP, message=message)
        return Refused(name=place.name, place=place, rejection=capped)
    rank = (
        preferences_broken(wish, place),
        round(total / _SMALLEST_COIN),
        _digest(wish.key) ^ _digest(place.name),
    )
    return Offer(name=place.name, place=place, fit=fit, cost=cost, rank=rank)


@lru_cache(maxsize=8192)
def _digest(name: str) -> int:
    return int(short_hash(name, 16), 16)


rank_of: Final = attrgetter("rank")
"""What sorts offers, the best first."""


def domain_of(one: Judged) -> str:
    """Return what fails together with a cluster."""
    return one.place.failure_domain
