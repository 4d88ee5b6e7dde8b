"""What a copy costs: the worked examples, and each part by itself."""

from dataclasses import replace
from typing import Any

import pytest

from builders.choices import FIT, NO_CARBON, aws, cluster
from smallmodel_operator.placement.choice.calm import Rival, weigh
from smallmodel_operator.placement.choice.facts import Energy, Facts, Location, Network, Prices
from smallmodel_operator.placement.choice.money import Cost, Fit, bill, market_of, moving
from smallmodel_operator.placement.choice.wish import Demand, Incumbent, Policy, Read, Wish

FULL_POWER = Policy(utilisation=1.0)
"""The worked examples take board power at full load."""
TWENTY_CAMERAS = 36.0
"""GB per hour: 20 x 4 Mbit/s."""


def cost(place: Facts, *others: Facts, wish: Wish | None = None, **changes: object) -> Cost:
    fit = changes.pop("fit", FIT)
    policy = changes.pop("policy", NO_CARBON)
    assert isinstance(fit, Fit)
    assert isinstance(policy, Policy)
    market = market_of((place, *others))
    return bill(wish or Wish(key="team/chat"), place, fit, market, policy)


def device(product: str) -> Fit:
    return Fit(cpu=0.0, memory_bytes=0, devices=1.0, product=product)


def reads(*locations: Location, gb: float = TWENTY_CAMERAS) -> Wish:
    return Wish(key="team/chat", reads=(Read(source="video", locations=locations, gb_per_hour=gb),))


@pytest.mark.parametrize(
    ("product", "grid", "kg", "dollars"),
    [
        ("NVIDIA-L4", 276.0, 0.0238, 0.0045),
        ("NVIDIA-L40S", 600.0, 0.252, 0.048),
        ("NVIDIA-H100-80GB-HBM3", 600.0, 0.504, 0.096),
        ("NVIDIA-H100-80GB-HBM3", 11.36, 0.0095, 0.0018),
    ],
)
def test_a_device_emits_and_costs_what_the_worked_examples_say(
    product: str, grid: float, kg: float, dollars: float
) -> None:
    place = cluster("a", 0.0, energy=Energy(grid=grid, pue=1.2))

    found = cost(place, fit=device(product), policy=FULL_POWER)

    assert found.grams / 1000 == pytest.approx(kg, abs=0.0005)
    assert found.carbon == pytest.approx(dollars, abs=0.0005)


def test_carbon_outweighs_a_gap_between_prices_at_the_price_of_the_worked_example() -> None:
    dirty, clean = (
        cluster(name, 0.0, energy=Energy(grid=grid, pue=1.2))
        for name, grid in (("dirty", 600.0), ("clean", 125.0))
    )
    policy = Policy(utilisation=1.0, carbon_price_ton=1353.0)

    gap = (
        cost(dirty, fit=device("NVIDIA-L40S"), policy=policy).carbon
        - cost(clean, fit=device("NVIDIA-L40S"), policy=policy).carbon
    )

    assert gap == pytest.approx(0.27, abs=0.001)


@pytest.mark.parametrize(("price", "dollars"), [(0.02, 0.72), (0.09, 3.24), (0.12, 4.32)], ids=str)
def test_twenty_cameras_cost_what_their_bytes_cost(price: float, dollars: float) -> None:
    source = cluster("edge", network=Network(egress_gb={"cloud": price}))

    found = cost(cluster("cloud"), source, wish=reads(Location(cluster="edge")))

    assert found.data == pytest.approx(dollars)


def test_a_request_a_second_of_text_costs_next_to_nothing() -> None:
    source = cluster("edge", network=Network(egress_gb={"cloud": 0.02}))

    found = cost(cluster("cloud"), source, wish=reads(Location(cluster="edge"), gb=0.072))

    assert found.data == pytest.approx(0.0014, abs=0.0001)


@pytest.mark.parametrize(("price", "gb"), [(0.02, 13.5), (0.09, 3.0)])
def test_reads_eat_a_gap_between_prices_at_the_rate_of_the_worked_example(
    price: float, gb: float
) -> None:
    source = cluster("edge", network=Network(egress_gb={"cloud": price}))

    found = cost(cluster("cloud"), source, wish=reads(Location(cluster="edge"), gb=gb))

    assert found.data == pytest.approx(0.27)


@pytest.mark.parametrize(("price", "dollars"), [(0.02, 0.32), (0.09, 1.44)])
def test_sixteen_gb_of_weights_are_paid_once(price: float, dollars: float) -> None:
    home = cluster("hub", network=Network(egress_gb={"a": price}))
    place = cluster("a")
    fit = replace(FIT, weights_bytes=16_000_000_000, digest="w")
    wish = Wish(key="team/chat", weights_home=Location(cluster="hub"))

    assert moving(wish, place, fit, market_of((place, home))) == pytest.approx(dollars)
    assert cost(place, home, wish=wish, fit=fit).one_time == pytest.approx(dollars / 168)


def test_weights_that_are_there_or_run_there_or_are_public_cost_nothing() -> None:
    home = cluster("hub", network=Network(egress_gb={"a": 1.0}))
    fit = replace(FIT, weights_bytes=16_000_000_000, digest="w")
    there = cluster("a", weights=frozenset({"w"}))
    wish = Wish(key="team/chat", weights_home=Location(cluster="hub"))
    runs = replace(wish, incumbents=(Incumbent(cluster="a", seconds=0.0),))

    assert cost(there, home, wish=wish, fit=fit).one_time == 0
    assert cost(cluster("a"), home, wish=runs, fit=fit).one_time == 0
    assert cost(cluster("a"), home, fit=fit).one_time == 0


def test_data_costs_nothing_at_its_own_place_and_less_where_a_share_is_cached() -> None:
    source = cluster("edge", network=Network(egress_gb={"cloud": 0.1}))
    wish = reads(Location(cluster="edge"))

    assert cost(source, wish=wish).data == 0
    cached = cluster("cloud", cached={"video": 0.75})
    assert cost(cached, source, wish=wish).data == pytest.approx(0.9)
    more_than_all = cluster("cloud", cached={"video": 2.0})
    assert cost(more_than_all, source, wish=wish).data == 0


def test_of_several_locations_the_cheapest_is_read() -> None:
    dear = cluster("dear", network=Network(egress_gb={"cloud": 0.5}))
    cheap = cluster("cheap", network=Network(egress_gb={"cloud": 0.1}))
    wish = reads(Location(cluster="dear"), Location(cluster="cheap"), gb=10.0)

    assert cost(cluster("cloud"), dear, cheap, wish=wish).data == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({}, ("aws", "eu-central-1", "eu-central-1a", "munich")),
        ({"zone": "eu-central-1b"}, ("aws", "eu-central-1", "eu-central-1b", "munich")),
        ({"region": "eu-central-1"}, ("aws", "eu-central-1", "eu-central-1a", "munich")),
        ({"region": "eu-west-1"}, ("aws", "eu-west-1", None, "munich")),
        ({"provider": "gcp"}, ("gcp", "eu-central-1", "eu-central-1a", "munich")),
        ({"site": "ulm"}, ("aws", "eu-central-1", "eu-central-1a", "ulm")),
    ],
    ids=str,
)
def test_data_in_a_cluster_is_where_the_cluster_is_unless_more_is_known_of_it(
    said: dict[str, Any], where: tuple[str, str, str | None, str]
) -> None:
    own = Location(provider="aws", region="eu-central-1", zone="eu-central-1a", site="munich")
    market = market_of((cluster("a", where=own),))
    here, there = (Location(cluster=name, **said) for name in ("a", "b"))

    assert market.located(here) == Location("a", *where)
    assert market.located(there) == there


def test_a_volume_in_another_zone_than_its_cluster_is_read_for_nothing_in_that_zone() -> None:
    near, far = (
        cluster(
            name, where=Location(provider="aws", region="eu-central-1", zone=f"eu-central-1{z}")
        )
        for name, z in (("near", "b"), ("far", "c"))
    )
    home = cluster("home", where=Location(provider="aws", region="eu-central-1"))
    wish = reads(Location(cluster="home", zone="eu-central-1b"))

    assert cost(near, home, wish=wish).data == 0.0
    assert cost(far, home, wish=wish).data > 0.0
    assert cost(home, wish=wish).data == 0.0


def test_data_of_no_known_location_is_never_free() -> None:
    assert cost(cluster("cloud"), wish=reads(gb=10.0)).data == pytest.approx(1.2)


def test_answers_are_paid_on_their_way_to_the_clients() -> None:
    place = aws("a", "eu-central-1")
    wish = Wish(
        key="team/chat",
        answers_gb_per_hour=10.0,
        clients=(Location(provider="gcp", region="europe-west3"), Location(cluster="a")),
    )

    assert cost(place, wish=wish).answers == pytest.approx(0.9)
    assert cost(place, wish=replace(wish, clients=())).answers == 0


def test_replicas_and_a_new_pools_head_are_counted() -> None:
    fit = replace(FIT, memory_bytes=2_000_000_000, head_cpu=0.5, head_memory_bytes=1_000_000_000)
    place = cluster("a", prices=Prices(cpu_hour=1.0, memory_gb_hour=0.1))
    wish = Wish(key="team/chat", demand=Demand(least=3, most=5))

    assert cost(place, fit=fit, wish=wish).compute == pytest.approx(3 * 1.2 + 0.6)


def test_hardware_that_is_paid_for_costs_its_electricity_and_not_nothing() -> None:
    place = cluster(
        "a", prices=Prices(cpu_hour=9.0, paid_kwh=0.30), energy=Energy(grid=100.0, pue=2.0)
    )

    found = cost(place, fit=device("NVIDIA-L4"), policy=FULL_POWER)

    assert found.compute == pytest.approx(0.072 * 2.0 * 0.30)


@pytest.mark.parametrize(
    ("rate", "replicas"),
    [(None, 1), (0.0, 1), (1.6, 1), (1.7, 2), (100.0, 4)],
)
def test_as_many_replicas_are_expected_as_the_autoscaler_would_make(
    rate: float | None, replicas: int
) -> None:
    demand = Demand(most=4, target_ongoing=2, requests_per_second=rate)

    assert demand.replicas == replicas


def test_the_parts_of_a_cost_are_all_of_it() -> None:
    found = Cost(compute=1.0, data=2.0, answers=3.0, carbon=4.0, one_time=5.0, grams=6.0)

    assert found.total == sum(found.parts) == 15.0
    assert found.steady == 10.0


def test_a_move_is_repaid_by_what_is_saved_in_an_hour_and_not_by_its_own_bytes() -> None:
    here = Cost(compute=1.0, data=0, answers=0, carbon=0, one_time=0, grams=0)
    there = Cost(compute=0.5, data=0, answers=0, carbon=0, one_time=0, grams=0)
    dear = Rival(cluster="b", cost=there, moving=84.0, fewer_preferences_broken=False)
    policy = replace(NO_CARBON, evaluations=1, disruption=0.0)
    incumbent = Incumbent(cluster="a", seconds=7200.0)

    stays = weigh(incumbent, here, dear, None, policy)
    goes = weigh(incumbent, here, replace(dear, moving=83.9), None, policy)

    assert not stays.moves
    assert "in 168 h it would save 84.00 USD, and the move costs 84.00" in stays.why_not
    assert goes.moves
