"""The clusters that serve copies: those that run, new ones where copies lack, or a better one."""

from collections.abc import Sequence
from dataclasses import dataclass

from smallmodel_operator.placement.choice.calm import STAYS, Calm, Rival, weigh
from smallmodel_operator.placement.choice.codes import Code
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


def pick(
    wish: Wish, market: Market, judged: Sequence[Judged], policy: Policy, *, may_move: bool
) -> Picked:
    """Return the clusters that serve copies of a model.

    Args:
        wish: The model.
        market: All clusters.
        judged: What came of each of them.
        policy: How things are weighed.
        may_move: Whether the installation has a move left that is for money only.
    """
    offers = sorted((one for one in judged if isinstance(one, Offer)), key=rank_of)
    refused = sorted(
        (one for one in judged if isinstance(one, Refused) and wish.has(one.name)),
        key=lambda one: one.name,
    )
    stay = [one for one in offers if wish.has(one.name)]
    held = [one for one in refused if one.rejection.holds]
    kept: list[Judged] = [*stay, *held]
    kept = kept[: wish.copies]
    if len(kept) < wish.copies:
        filled = _filled(wish.copies, kept, offers)
        return Picked(ones=(*filled, *_stranded(wish.copies - len(filled), refused, filled)))
    return _calmed(wish, market, kept, offers, policy, may_move=may_move)


def _filled(copies: int, kept: Sequence[Judged], offers: Sequence[Offer]) -> tuple[Judged, ...]:
    """Return the kept copies and new ones: over many failure domains first, then anywhere."""
    picked = {one.name: one for one in kept}
    taken = {domain_of(one) for one in kept}
    for one in offers:
        if len(picked) < copies and domain_of(one) not in taken:
            picked[one.name] = one
            taken.add(domain_of(one))
    for one in offers:
        if len(picked) < copies:
            picked.setdefault(one.name, one)
    return tuple(picked.values())


def _stranded(
    lacking: int, refused: Sequence[Refused], picked: Sequence[Judged]
) -> tuple[Refused, ...]:
    """Return copies that something speaks against and that have nowhere to go: they stay.

    Not those that a law forbids: these end.
    """
    names = {one.name for one in picked}
    left = (
        one
        for one in refused
        if one.name not in names and one.rejection.code is not Code.RESIDENCY_FORBIDDEN
    )
    return tuple(left)[:lacking]


def _calmed(
    wish: Wish,
    market: Market,
    kept: Sequence[Judged],
    offers: Sequence[Offer],
    policy: Policy,
    *,
    may_move: bool,
) -> Picked:
    """Return the copies that run, or with one of them moved to where it is clearly better."""
    stays = Picked(ones=tuple(kept))
    movable = [one for one in kept if isinstance(one, Offer)]
    if not movable:
        return stays
    worst = max(movable, key=rank_of)
    others = [one for one in kept if one is not worst]
    taken = {domain_of(one) for one in others}
    names = {one.name for one in kept}
    better = (
        one
        for one in offers
        if one.name not in names and domain_of(one) not in taken and one.rank[:2] < worst.rank[:2]
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
        may_move=may_move,
    )
    if calm.moves:
        return Picked(ones=(*others, rival), calm=calm)
    return Picked(ones=tuple(kept), calm=calm, rival=rival.name)
