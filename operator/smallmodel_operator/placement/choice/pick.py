"""The clusters that serve copies: those that run, new ones where copies lack, or a better one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from smallmodel_operator.placement.choice.calm import STAYS, Calm, Rival, weigh
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.facts import Facts, Link
from smallmodel_operator.placement.choice.filters import is_stale
from smallmodel_operator.placement.choice.judge import Judged, Offer, Refused, domain_of, rank_of
from smallmodel_operator.placement.choice.money import Market, moving
from smallmodel_operator.placement.choice.wish import Policy, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The clusters that serve copies."""

    ones: tuple[Judged, ...]
    calm: Calm = STAYS
    rival: str | None = None
    """A better cluster that was not picked for calm."""
    beside: int = 0
    """How many more copies are wanted than the model asks for: they stand in for others."""


def pick(
    wish: Wish,
    market: Market,
    judged: Sequence[Judged],
    policy: Policy,
    *,
    pause: str | None = None,
) -> Picked:
    """Return the clusters that serve copies of a model.

    Args:
        wish: The model.
        market: All clusters.
        judged: What came of each of them.
        policy: How things are weighed.
        pause: Why nothing of the installation moves now, the law aside; None: it may.
    """
    offers = sorted((one for one in judged if isinstance(one, Offer)), key=rank_of)
    refused = sorted(
        (one for one in judged if isinstance(one, Refused) and wish.has(one.name)),
        key=lambda one: one.name,
    )
    staying: list[Judged] = [one for one in offers if wish.has(one.name)] if wish.clusters else []
    staying += (one for one in refused if one.rejection.holds)
    kept = [one for one in staying if one.name not in wish.stand_ins][: wish.copies]
    if len(kept) < wish.copies:
        picked = Picked(ones=_completed(wish, kept, offers, refused, pause))
    else:
        picked = _calmed(wish, market, kept, offers, policy, pause=pause)
    beside = [one for one in staying if one.name in wish.stand_ins]
    return _with_stand_ins(wish, picked, beside, offers, policy, pause)


def _completed(
    wish: Wish,
    kept: Sequence[Judged],
    offers: Sequence[Offer],
    refused: Sequence[Refused],
    pause: str | None,
) -> tuple[Judged, ...]:
    """Return the kept copies, new ones for those that lack, and at most one in place of another.

    Copies that something but a law speaks against are replaced one after another, since a copy
    moves only once the one that is to follow it was begun. What has nowhere to go stays.
    """
    leavers = [
        one
        for one in refused
        if not one.rejection.holds and one.rejection.code is not Code.RESIDENCY_FORBIDDEN
    ]
    running = len(kept) + len(leavers)
    replaced = 1 if leavers and running <= wish.copies and pause is None else 0
    begun = max(0, wish.copies - running) + replaced
    filled = _filled(min(wish.copies, len(kept) + begun), wish, kept, offers)
    names = {one.name for one in filled}
    stranded = [one for one in leavers if one.name not in names]
    return (*filled, *stranded[: wish.copies - len(filled)])


def _filled(
    copies: int, wish: Wish, kept: Sequence[Judged], offers: Sequence[Offer]
) -> tuple[Judged, ...]:
    """Return the kept copies and others: those that run, then over many domains, then anywhere."""
    picked = {one.name: one for one in kept}
    taken = {domain_of(one) for one in kept}
    there = (one for one in offers if wish.has(one.name))
    elsewhere = (one for one in offers if domain_of(one) not in taken)
    for one in chain(there, elsewhere, offers):
        if len(picked) >= copies:
            break
        picked.setdefault(one.name, one)
        taken.add(domain_of(one))
    return tuple(picked.values())


def _with_stand_ins(
    wish: Wish,
    picked: Picked,
    beside: Sequence[Judged],
    offers: Sequence[Offer],
    policy: Policy,
    pause: str | None,
) -> Picked:
    """Return the picked copies and, beside each that is cut off, one that stands in for it."""
    names = {one.name for one in picked.ones}
    there = [one for one in beside if one.name not in names]
    lacking = sum(_is_cut_off(one.place, policy) for one in picked.ones) if wish.substitutes else 0
    stay = there[:lacking]
    ones = (*picked.ones, *stay)
    if lacking > len(stay) and pause is None:
        ones = _filled(len(ones) + lacking - len(stay), wish, ones, offers)
    return replace(picked, ones=ones, beside=len(ones) - len(picked.ones))


def _is_cut_off(place: Facts, policy: Policy) -> bool:
    """Return whether a cluster was not seen for so long that a copy there may get another."""
    return place.link is Link.UNREACHABLE and is_stale(place, policy)


def _calmed(
    wish: Wish,
    market: Market,
    kept: Sequence[Judged],
    offers: Sequence[Offer],
    policy: Policy,
    *,
    pause: str | None,
) -> Picked:
    """Return the copies that run, or with one of them moved to where it is clearly better."""
    stays = Picked(ones=tuple(kept))
    movable = [one for one in kept if isinstance(one, Offer)]
    if not movable or len(wish.clusters - wish.stand_ins) > wish.copies:
        # One copy moves at a time.
        return stays
    worst = max(movable, key=rank_of)
    others = [one for one in kept if one is not worst]
    taken = {domain_of(one) for one in others}
    better = (
        one
        for one in offers
        if not wish.has(one.name) and domain_of(one) not in taken and one.rank[:2] < worst.rank[:2]
    )
    rival = next(better, None)
    if rival is None:
        return stays
    calm = weigh(
        next(one for one in wish.incumbents if one.cluster == worst.name),
        worst.cost,
        Rival(
            cluster=rival.name,
            cost=rival.cost,
            moving=moving(wish, rival.place, rival.fit, market),
            fewer_preferences_broken=rival.rank[0] < worst.rank[0],
        ),
        wish.streak,
        policy,
        counts=wish.counts,
        pause=pause,
    )
    if calm.moves:
        return Picked(ones=(*others, rival), calm=calm)
    return Picked(ones=tuple(kept), calm=calm, rival=rival.name)
