"""A decision among clusters, as a SmallModel's status has it."""

from builders.choices import cluster, decided, law
from smallmodel_operator.placement.choice.wish import Wish
from smallmodel_operator.status.decision import summarise_decision


def test_amounts_are_texts_and_what_is_assumed_says_from_where() -> None:
    abroad = cluster("abroad", jurisdiction="US")
    wish = Wish(key="team/chat", laws=(law("DE"),))

    shown = summarise_decision(decided(cluster("here", None), abroad, wish=wish), "USD")

    here, away = shown.candidates
    assert shown.summary == "1/2 selected; 1 ResidencyForbidden"
    assert (here.cluster, here.selected, here.reason) == ("here", True, "LowestCost")
    assert here.cost is not None
    assert (here.cost.currency, here.cost.total, here.cost.data) == ("USD", "0.0316", "0.0000")
    assert here.grams_co2e_per_hour == "0.21"
    assert here.assumed == (
        "cpu /h 0.031611 (table prices, CPU)",
        "memory /GB/h 0.004237 (table prices, memory)",
    )
    assert (away.selected, away.cost, away.assumed) == (False, None, ())


def test_what_is_too_long_for_a_status_is_cut_and_not_refused() -> None:
    names = [f"cluster-{number:03}-{'x' * 40}" for number in range(40)]
    wish = Wish(key="team/chat", laws=(law("DE", source="s" * 600),))

    shown = summarise_decision(
        decided(*[cluster(name, jurisdiction="US") for name in names], wish=wish), "USD"
    )

    assert len(shown.candidates) == 20
    assert all(len(one.message) == 512 for one in shown.candidates)
