"""What the laws of a model's data allow: a filter, and what else hangs on them."""

from functools import reduce

from smallmodel_operator.placement.choice.case import Case, Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.facts import Facts
from smallmodel_operator.placement.choice.wish import Wish
from smallmodel_operator.placement.choice.words import listed


def allowed_by(wish: Wish) -> frozenset[str] | None:
    """Return the countries that all required laws together allow; None: no law is required."""
    required = [law.jurisdictions for law in wish.laws if law.required]
    return reduce(frozenset.intersection, required) if required else None


def residency_allows(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster outside what all required laws together allow."""
    allowed, here = case.allowed, place.jurisdiction
    if allowed is None or here in allowed:
        return None
    if not allowed:
        return Rejection(code=Code.RESIDENCY_FORBIDDEN, message=_contradiction(case.wish))
    where = f"is in {here}" if here else "has no jurisdiction, and unknown is never allowed"
    step = (
        "Choose another cluster, or have the data's owner allow it."
        if here
        else "An administrator sets it on the ModelCluster."
    )
    return Rejection(
        code=Code.RESIDENCY_FORBIDDEN,
        message=f"{place.name} {where}; {case.lawful} only. {step}",
    )


def _contradiction(wish: Wish) -> str:
    required = sorted((law for law in wish.laws if law.required), key=lambda law: law.source)
    sources = ", ".join(law.source for law in required)
    each = "; ".join(f"{law.source} allows {listed(law.jurisdictions)}" for law in required)
    return (
        f"The laws of {sources} contradict each other, so no cluster is allowed: {each}. Their "
        "owners have to agree on a jurisdiction."
    )


def grace_of(wish: Wish, place: Facts) -> float:
    """Return for how many seconds a copy may go on at a place that the law came to forbid."""
    required = [law for law in wish.laws if law.required]
    broken = [law for law in required if place.jurisdiction not in law.jurisdictions]
    return min((law.grace_seconds for law in broken), default=0.0)


def preferences_broken(wish: Wish, place: Facts) -> int:
    """Return how many of the preferred laws a cluster is outside of."""
    if not wish.preferred:
        return 0
    return sum(place.jurisdiction not in law.jurisdictions for law in wish.preferred)
