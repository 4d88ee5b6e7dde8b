"""The decision: which clusters serve a model. The same inputs give the same bytes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from smallmodel_operator.placement.choice.case import Case
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import SHOWN_MAX, Chosen, Decision
from smallmodel_operator.placement.choice.filters import Questions
from smallmodel_operator.placement.choice.judge import Fitter, Judged, Offer, Refused, judge
from smallmodel_operator.placement.choice.law import allowed_by
from smallmodel_operator.placement.choice.money import Market
from smallmodel_operator.placement.choice.pick import Picked, pick
from smallmodel_operator.placement.choice.verdicts import Circumstances, code_of, verdict
from smallmodel_operator.placement.choice.wish import Policy, Wish

_ORDER: Final = {code: number for number, code in enumerate(Code)}


def decide(
    wish: Wish, market: Market, fitter: Fitter, policy: Policy, *, pause: str | None = None
) -> Decision:
    """Return where a model's copies are to be, and what was said of each cluster.

    Args:
        wish: The model.
        market: All clusters.
        fitter: How the model would run in one of them.
        policy: How things are weighed.
        pause: Why nothing of the installation moves now, the law aside; None: it may.
    """
    case = Case(wish=wish, market=market, policy=policy, allowed=allowed_by(wish))
    asked = Questions(case=case)
    judged = [judge(asked, place, fitter) for place in market.places]
    picked = pick(wish, market, judged, policy, pause=pause)
    return _decision(wish, market, judged, picked, policy)


def _decision(
    wish: Wish, market: Market, judged: Sequence[Judged], picked: Picked, policy: Policy
) -> Decision:
    selected = _in_order(picked.ones)
    names = {one.name for one in selected}
    around = Circumstances(
        wish=wish, market=market, policy=policy, selected=tuple(selected), picked=picked
    )
    codes = {one.name: code_of(one, around) for one in judged}
    others = _in_order([one for one in judged if one.name not in names], codes)
    ended = sorted(one.name for one in others if wish.has(one.name))
    counts = Counter(codes[one.name] for one in others)
    return Decision(
        chosen=tuple(
            Chosen(
                cluster=one.name,
                code=codes[one.name],
                fit=one.fit if isinstance(one, Offer) else None,
                cost=one.cost if isinstance(one, Offer) else None,
            )
            for one in selected
        ),
        missing=wish.copies + picked.beside - len(selected),
        ended=tuple(ended),
        forbidden=tuple(name for name in ended if codes[name] is Code.RESIDENCY_FORBIDDEN),
        verdicts=tuple(
            verdict(one, codes[one.name], around) for one in [*selected, *others][:SHOWN_MAX]
        ),
        counts=tuple(sorted(counts.items(), key=lambda pair: (-pair[1], _ORDER[pair[0]]))),
        streak=picked.calm.streak,
    )


def _in_order(
    found: Sequence[Judged], codes: Mapping[str, Code] = MappingProxyType({})
) -> list[Judged]:
    """Return the affordable first, the best of them before others, then the refused.

    Args:
        found: Clusters.
        codes: What was said of them; those that came furthest through the questions go first.
    """
    offers = [one for one in found if isinstance(one, Offer)]
    refused = [one for one in found if isinstance(one, Refused)]

    def nearness(one: Judged) -> tuple[int, str]:
        code = codes.get(one.name)
        return -_ORDER[code] if code else 0, one.name

    return [
        *sorted(offers, key=lambda one: (one.rank, nearness(one))),
        *sorted(refused, key=nearness),
    ]
