"""Which clusters serve a model: cheapest first, spread, calm, and everything said in numbers."""

from dataclasses import replace

import pytest

from builders.choices import (
    EU,
    FIT,
    NO_CARBON,
    aws,
    cluster,
    decided,
    law,
    of,
    running,
    streak,
)
from smallmodel_operator.placement.choice.case import Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.decision import SHOWN_MAX, Decision
from smallmodel_operator.placement.choice.facts import (
    Link,
    Location,
    Network,
    Prices,
    Taint,
)
from smallmodel_operator.placement.choice.money import Market, market_of
from smallmodel_operator.placement.choice.wish import Read, Streak, Wish

WISH = Wish(key="team/chat")
FULL = Rejection(code=Code.MEMORY_FIT, message="It needs 4 GiB and has 2.", waits=True)


def test_the_cheapest_is_taken_and_the_others_know_by_how_much_they_lost() -> None:
    found = decided(cluster("dear", 1.61), cluster("cheap"))

    assert found.clusters == ("cheap",)
    assert of(found, "cheap").message == "1.00 USD/h: compute 1.00; 0.21 g CO2e/h"
    assert of(found, "dear").code is Code.COST_HIGHER
    assert of(found, "dear").message == "+0.61 USD/h against cheap: compute +0.61"
    assert found.summary == "1/2 selected; 1 CostHigher"


def test_the_model_lands_beside_its_data_though_the_cloud_is_cheaper() -> None:
    edge = cluster("edge", 1.21, network=Network(egress_gb={"internet": 0.02}))
    cloud = aws("cloud", "eu-north-1", 1.10)
    video = Read(source="video", locations=(Location(cluster="edge"),), gb_per_hour=36.0)

    found = decided(cloud, edge, wish=replace(WISH, reads=(video,)))

    assert found.clusters == ("edge",)
    assert of(found, "cloud").message == (
        "+0.61 USD/h against edge: data reads +0.72, compute -0.11"
    )
    egress = next(one for one in of(found, "cloud").inputs if "egress" in one.name)
    assert (egress.value, egress.source, egress.assumed) == (0.02, "declared", False)


def test_a_law_keeps_the_model_at_home_though_the_cloud_is_cheaper() -> None:
    home, cloud = cluster("home", 2.0), cluster("cloud", 0.1, jurisdiction="US")

    found = decided(home, cloud, wish=replace(WISH, laws=(law(*EU),)))

    assert found.clusters == ("home",)
    assert of(found, "cloud").code is Code.RESIDENCY_FORBIDDEN


def test_the_only_lawful_cluster_is_full_and_the_model_waits() -> None:
    home, cloud = cluster("home"), cluster("cloud", 0.1, jurisdiction="US")

    found = decided(home, cloud, wish=replace(WISH, laws=(law("DE"),)), fits={"home": FULL})

    assert (found.clusters, found.missing) == ((), 1)
    assert found.summary == "0/2 selected; 1 ResidencyForbidden, 1 MemoryFit"
    assert [one.cluster for one in found.verdicts] == ["home", "cloud"]
    assert of(found, "home").waits
    assert of(found, "home").message == "It needs 4 GiB and has 2."


def test_a_preferred_law_comes_before_money_and_after_room() -> None:
    inside, outside = cluster("inside", 9.0), cluster("outside", 1.0, jurisdiction="US")
    wish = replace(WISH, laws=(law("DE", required=False),))

    found = decided(inside, outside, wish=wish)
    assert found.clusters == ("inside",)
    assert of(found, "outside").code is Code.LESS_PREFERRED
    assert "outside of 1 preferred laws" in of(found, "outside").message

    assert decided(inside, outside, wish=wish, fits={"inside": FULL}).clusters == ("outside",)


def test_an_unknown_price_is_assumed_and_said_so() -> None:
    found = decided(cluster("unknown", None))

    assumed = {one.name: one.value for one in of(found, "unknown").inputs if one.assumed}
    assert assumed == {"cpu /h": 0.031611, "memory /GB/h": 0.004237}
    assert found.chosen[0].cost is not None
    assert found.chosen[0].cost.total > 0


def test_inputs_name_devices_and_paid_electricity() -> None:
    device = replace(FIT, devices=1.0, product="NVIDIA-L4")
    rented = of(decided(cluster("a"), fits={"a": device}), "a")
    paid = of(decided(cluster("a", prices=Prices(paid_kwh=0.3)), fits={"a": device}), "a")

    assert {"NVIDIA-L4 /h", "NVIDIA-L4 W", "cpu /h"} <= {one.name for one in rented.inputs}
    assert {one.name for one in paid.inputs} == {
        "grid g/kWh", "pue", "electricity /kWh", "NVIDIA-L4 W",
    }  # fmt: skip


def test_a_model_that_costs_nothing_says_so() -> None:
    assert of(decided(cluster("a", 0.0)), "a").message.startswith("0.0000 USD/h: nothing;")


def test_ties_are_broken_by_a_hash_and_not_by_the_alphabet() -> None:
    places = [cluster(name) for name in "abcdefgh"]
    winners = {
        decided(*places, wish=Wish(key=f"team/model-{number}")).clusters[0] for number in range(60)
    }

    assert winners == set("abcdefgh")
    found = decided(*places)
    assert "a tie, broken by a hash" in found.verdicts[1].message


def test_copies_are_spread_over_failure_domains_and_then_go_anywhere() -> None:
    frankfurt = [aws(f"fra-{number}", "eu-central-1", core) for number, core in enumerate((1, 2))]
    munich = cluster("muc", 5.0, where=Location(site="munich"))
    wish = replace(WISH, copies=2)

    found = decided(*frankfurt, munich, wish=wish)
    assert found.clusters == ("fra-0", "muc")
    assert of(found, "fra-1").code is Code.SPREAD_LIMIT
    assert of(found, "fra-1").message == "region eu-central-1 has a copy already, on fra-0"

    everywhere = decided(*frankfurt, munich, wish=replace(WISH, copies=3))
    assert everywhere.clusters == ("fra-0", "fra-1", "muc")
    too_many = decided(*frankfurt, wish=replace(WISH, copies=3))
    assert (too_many.clusters, too_many.missing) == (("fra-0", "fra-1"), 1)


def test_of_too_many_copies_the_dearest_end() -> None:
    wish = replace(running("a", "b", "c"), copies=1)

    found = decided(cluster("a", 3), cluster("b", 1), cluster("c", 2), wish=wish)

    assert (found.clusters, found.ended) == (("b",), ("a", "c"))


def test_a_copy_that_lacks_joins_those_that_run() -> None:
    wish = replace(running("a"), copies=2)

    found = decided(cluster("a", 3), cluster("b", 1), cluster("c", 2), wish=wish)

    assert set(found.clusters) == {"a", "b"}
    assert (of(found, "a").code, of(found, "b").code) == (Code.KEPT, Code.LOWEST_COST)
    assert of(found, "c").code is Code.NOT_WORTH_A_MOVE
    assert of(found, "c").message == "+1.00 USD/h against b: compute +1.00"


def test_a_clear_gain_that_lasts_moves_the_model() -> None:
    places = cluster("a", 1.0), cluster("b", 0.5)
    wish = running("a")
    seen: list[Streak | None] = []
    for _ in range(2):
        found = decided(*places, wish=wish)
        assert found.clusters == ("a",)
        seen.append(found.streak)
        wish = replace(wish, streak=found.streak)

    assert seen == [streak("a", "b", 1), streak("a", "b", 2)]
    moved = decided(*places, wish=wish)
    assert (moved.clusters, moved.ended, moved.streak) == (("b",), ("a",), None)


@pytest.mark.parametrize(
    ("core", "why"),
    [
        (0.86, "it would save 0.14 USD/h, and a move has to save 0.15"),
        (0.5, "it was better 1 times in a row, and has to be 3 times"),
    ],
)
def test_a_cheaper_cluster_that_is_not_worth_a_move_says_why(core: float, why: str) -> None:
    found = decided(cluster("a", 1.0), cluster("b", core), wish=running("a"))

    assert found.clusters == ("a",)
    assert of(found, "a").code is Code.KEPT
    assert of(found, "b").code is Code.NOT_WORTH_A_MOVE
    assert of(found, "b").message == f"Not worth a move: {why}"


def test_a_small_absolute_gain_is_not_worth_a_move_however_large_its_share() -> None:
    found = decided(cluster("a", 0.05), cluster("b", 0.01), wish=running("a"))

    assert "it would save 0.0400 USD/h, and a move has to save 0.0500" in of(found, "b").message


def test_a_model_stays_a_while_where_it_is_and_where_no_move_is_left() -> None:
    places = cluster("a", 1.0), cluster("b", 0.5)
    young = running("a", seconds=1799.0, streak=streak("a", "b"))
    old = running("a", streak=streak("a", "b"))

    assert "stays 1800 s at least" in of(decided(*places, wish=young), "b").message
    spent = decided(*places, wish=old, pause="no move is left for now")
    assert "no move is left for now" in of(spent, "b").message
    assert spent.streak == streak("a", "b", 3)
    assert decided(*places, wish=old).clusters == ("b",)


def test_another_challenger_begins_anew() -> None:
    wish = running("a", streak=streak("a", "c"))

    found = decided(cluster("a", 1.0), cluster("b", 0.5), cluster("c", 0.6), wish=wish)

    assert found.streak == streak("a", "b", 1)


def test_a_better_kept_law_is_a_reason_to_move_whatever_it_costs() -> None:
    wish = running("a", laws=(law("FR", required=False),), streak=streak("a", "b"))

    found = decided(cluster("a", 1.0), cluster("b", 9.0, jurisdiction="FR"), wish=wish)

    assert found.clusters == ("b",)


def test_of_several_copies_the_dearest_moves_and_not_into_anothers_domain() -> None:
    places = (
        aws("fra-0", "eu-central-1", 1.0),
        aws("fra-1", "eu-central-1", 0.2),
        cluster("muc", 5.0, where=Location(site="munich")),
        cluster("ber", 3.0, where=Location(site="berlin")),
    )
    wish = running("fra-0", "muc", streak=streak("muc", "ber"))

    found = decided(*places, wish=wish)

    assert set(found.clusters) == {"fra-0", "ber"}
    assert of(found, "fra-1").code is Code.SPREAD_LIMIT


def test_a_held_copy_is_not_weighed_against_anything() -> None:
    wish = running("a", streak=streak("a", "b"))
    away = cluster("a", 9.0, link=Link.UNREACHABLE)

    found = decided(away, cluster("b", 0.1), wish=wish)

    assert (found.clusters, found.streak) == (("a",), None)
    assert of(found, "b").message == "0.10 USD/h: compute 0.10; 0.21 g CO2e/h"


def test_one_of_two_that_have_nowhere_to_go_stays() -> None:
    taint = (Taint(key="away"),)
    places = cluster("a", taints=taint), cluster("b", taints=taint), cluster("c", 5.0)

    found = decided(*places, wish=running("a", "b"))

    assert set(found.clusters) == {"a", "c"}
    assert (found.missing, found.ended) == (0, ("b",))


def test_many_clusters_are_counted_and_the_nearest_misses_are_told_of() -> None:
    places = [cluster(f"c-{number:02}", 1.0 + number) for number in range(30)]
    places += [cluster(f"us-{number:02}", jurisdiction="US") for number in range(10)]

    found = decided(*places, wish=replace(WISH, laws=(law(*EU),)))

    assert found.summary == "1/40 selected; 29 CostHigher, 10 ResidencyForbidden"
    assert [one.cluster for one in found.verdicts] == [f"c-{n:02}" for n in range(SHOWN_MAX)]


def test_carbon_at_a_realistic_price_is_told_and_hardly_counts() -> None:
    policy = replace(NO_CARBON, carbon_price_ton=190.0)
    clean, dirty = cluster("clean", 1.10), cluster("dirty", 1.0, jurisdiction="PL")

    found = decided(clean, dirty, policy=policy)

    assert found.clusters == ("dirty",)
    cost = found.chosen[0].cost
    assert cost is not None
    assert 0 < cost.carbon < 0.001


def test_a_cluster_that_nobody_declares_keeps_its_copy_and_no_law_can_tell() -> None:
    unknown = cluster("gone", link=Link.UNDECLARED, jurisdiction=None)

    found = decided(unknown, cluster("home"), wish=running("gone", laws=(law("DE"),)))

    assert found.clusters == ("gone",)
    assert of(found, "gone").code is Code.HELD
    assert of(found, "gone").against is Code.NOT_DECLARED


def test_tainted_copies_are_replaced_one_after_another_and_not_during_a_pause() -> None:
    taint = (Taint(key="away"),)
    places = (
        cluster("a", taints=taint),
        cluster("b", taints=taint),
        cluster("c", 5.0),
        cluster("d", 6.0),
    )

    assert set(decided(*places, wish=running("a", "b")).clusters) == {"a", "c"}
    moving = replace(running("a", "b", "c"), copies=2)
    assert set(decided(*places, wish=moving).clusters) == {"a", "c"}
    paused = decided(*places, wish=running("a", "b"), pause="wait")
    assert set(paused.clusters) == {"a", "b"}


def test_a_stand_in_is_made_for_what_was_not_seen_for_long_and_none_during_a_pause() -> None:
    away = cluster("a", link=Link.UNREACHABLE, capacity_age=301.0)
    short = cluster("a", link=Link.UNREACHABLE, capacity_age=300.0)
    wish = running("a", substitutes=True)

    found = decided(away, cluster("b", 0.1), wish=wish)
    assert found.clusters == ("b", "a")
    assert (of(found, "b").code, found.missing) == (Code.STANDS_IN, 0)
    assert decided(short, cluster("b", 0.1), wish=wish).clusters == ("a",)
    assert decided(away, cluster("b", 0.1), wish=wish, pause="wait").clusters == ("a",)
    assert decided(away, cluster("b", 0.1), wish=running("a")).clusters == ("a",)


def test_a_decision_a_moment_later_makes_no_streak_longer() -> None:
    places = cluster("a", 1.0), cluster("b", 0.5)
    wish = running("a", streak=streak("a", "b", 1), counts=False)

    assert decided(*places, wish=wish).streak == streak("a", "b", 1)


def test_what_is_remembered_of_the_clusters_changes_no_decision() -> None:
    edge = cluster("edge", network=Network(egress_gb={"cloud": 0.1}), cached={"records": 0.5})
    market = market_of((edge, aws("cloud", "eu-west-1"), aws("far", "us-east-1")))
    data = Read(source="records", locations=(Location(cluster="edge"),), gb_per_hour=3.0)
    other = Read(source="video", locations=(Location(cluster="edge"),), gb_per_hour=3.0)
    wishes = [Wish(key="team/chat", reads=reads) for reads in ((data,), (other,), (data, other))]

    def decisions(*markets: Market) -> list[Decision]:
        return [
            decide(wish, one, lambda place: FIT, NO_CARBON)
            for wish, one in zip(wishes, markets, strict=True)
        ]

    remembered = decisions(market, market, market)

    assert decisions(market, market, market) == remembered
    assert remembered == decisions(*(market_of(market.places) for _ in wishes))
    assert remembered[0] != remembered[1]
