"""A decision among clusters, as a SmallModel's status has it."""

from typing import Final

from smallmodel_operator.api import where as api
from smallmodel_operator.placement.choice.decision import Decision, Verdict
from smallmodel_operator.placement.choice.money import Cost
from smallmodel_operator.placement.choice.words import money

_MESSAGE_MAX: Final = 512
_ASSUMED_MAX: Final = 16


def summarise_decision(decision: Decision, currency: str) -> api.Decision:
    """Return a decision with its numbers as texts, as Kubernetes has quantities.

    Args:
        decision: What was decided.
        currency: Of its costs.
    """
    return api.Decision(
        summary=decision.summary[:_MESSAGE_MAX],
        candidates=tuple(_candidate(verdict, currency) for verdict in decision.verdicts),
    )


def _candidate(verdict: Verdict, currency: str) -> api.Candidate:
    cost = verdict.cost
    assumed = [f"{one.name} {one.value:g} ({one.source})" for one in verdict.inputs if one.assumed]
    return api.Candidate(
        cluster=verdict.cluster,
        selected=verdict.selected,
        reason=verdict.code,
        message=verdict.message[:_MESSAGE_MAX],
        cost=_cost(cost, currency) if cost else None,
        grams_co2e_per_hour=f"{cost.grams:.3g}" if cost else None,
        assumed=tuple(assumed[:_ASSUMED_MAX]),
    )


def _cost(cost: Cost, currency: str) -> api.CandidateCost:
    return api.CandidateCost(
        currency=currency,
        total=money(cost.total),
        compute=money(cost.compute),
        data=money(cost.data),
        carbon=money(cost.carbon),
        one_time=money(cost.one_time),
    )
