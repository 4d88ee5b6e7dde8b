"""What counts at a place: declared before listed, listed before assumed, and never zero."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.placement.choice.egress_table import ROWS
from smallmodel_operator.placement.choice.facts import Energy, Facts, Location, Network, Prices
from smallmodel_operator.placement.choice.rates import Known, egress_gb, rates_of, rtt_ms
from smallmodel_operator.placement.choice.tables import SHIPPED

AWS = Location(provider="aws", region="eu-central-1", zone="eu-central-1a")
HOME = Location(site="munich")
NOTHING = Network()


def gb(source: Location, target: Location, network: Network = NOTHING) -> tuple[float, bool]:
    known = egress_gb(source, network, target, SHIPPED)
    return known.value, known.assumed


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (AWS, AWS, (0.0, False)),
        (HOME, HOME, (0.0, False)),
        (Location(cluster="a"), Location(cluster="a", region="x"), (0.0, False)),
        (AWS, Location(provider="aws", region="eu-central-1", zone="eu-central-1b"), (0.01, False)),
        (AWS, Location(provider="aws", region="eu-west-1"), (0.02, False)),
        (AWS, Location(provider="aws", region="ap-south-1"), (0.02, False)),
        (AWS, Location(provider="gcp", region="europe-west3"), (0.09, False)),
        (AWS, HOME, (0.09, True)),
        (AWS, Location(provider="aws"), (0.09, True)),
        (Location(provider="aws", region="mars-1"), HOME, (0.154, True)),
        (Location(provider="aws"), HOME, (0.154, True)),
        (Location(provider="gcp", region="us-east1"), AWS, (0.12, False)),
        (
            Location(provider="gcp", region="europe-west3"),
            Location(provider="gcp", region="europe-north1"),
            (0.02, False),
        ),
        (
            Location(provider="gcp", region="europe-west3"),
            Location(provider="gcp", region="us-east1"),
            (0.08, False),
        ),
        (
            Location(provider="azure", region="westeurope"),
            Location(provider="azure", region="northeurope"),
            (0.0875, True),
        ),
        (
            Location(provider="azure", region="westeurope"),
            Location(provider="azure", region="westeurope"),
            (0.0, False),
        ),
        (HOME, AWS, (0.12, True)),
        (Location(provider="a-garage"), AWS, (0.12, True)),
        (Location(), Location(), (0.12, True)),
    ],
)
def test_a_gb_between_two_places_costs(
    source: Location, target: Location, expected: tuple[float, bool]
) -> None:
    assert gb(source, target) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Location(cluster="b", region="eu-west-1", provider="aws"), 0.5),
        (Location(region="eu-west-1", provider="aws"), 0.4),
        (HOME, 0.3),
    ],
)
def test_what_is_declared_of_a_pair_counts_the_most_precise_name_first(
    target: Location, expected: float
) -> None:
    network = Network(egress_gb={"b": 0.5, "eu-west-1": 0.4, "internet": 0.3})

    assert gb(AWS, target, network) == (expected, False)


def test_a_declared_price_of_the_internet_is_not_one_between_a_providers_regions() -> None:
    near = Location(provider="aws", region="eu-west-1")

    assert gb(AWS, near, Network(egress_gb={"internet": 0.3})) == (0.02, False)


locations = st.builds(
    Location,
    cluster=st.sampled_from([None, "a", "b"]),
    provider=st.sampled_from([None, "aws", "gcp", "azure", "a-garage"]),
    region=st.sampled_from([None, "eu-central-1", "ap-south-1", "europe-west3", "westeurope", "x"]),
    zone=st.sampled_from([None, "1"]),
    site=st.sampled_from([None, "munich"]),
)


@given(source=locations, target=locations)
def test_only_the_same_place_and_listed_zones_are_free(source: Location, target: Location) -> None:
    known = egress_gb(source, NOTHING, target, SHIPPED)

    if known.value == 0:
        assert not known.assumed
        same_site = None is not source.site == target.site
        same_cluster = None is not source.cluster == target.cluster
        same_region = None is not source.region == target.region
        assert same_site or same_cluster or same_region
    assert known.value >= 0


@pytest.mark.parametrize("provider", sorted(ROWS))
def test_a_row_never_asks_more_inside_than_to_the_internet(provider: str) -> None:
    for row in ROWS[provider]:
        inside = [row.same_region, row.same_continent, row.inter_region]
        known = [price for price in inside if price is not None]
        assert known == sorted(known)
        assert max(known) <= row.internet


def test_what_is_declared_of_a_cluster_counts_and_is_not_assumed() -> None:
    rates = rates_of(
        Facts(
            name="a",
            prices=Prices(cpu_hour=1.0, memory_gb_hour=2.0, accelerator_hour={"NVIDIA-L4": 3.0}),
            energy=Energy(grid=4.0, pue=1.1),
        ),
        SHIPPED,
    )

    assert rates.cpu_hour == Known(1.0, "declared")
    assert rates.memory_gb_hour == Known(2.0, "declared")
    assert rates.accelerator_hour("NVIDIA-L4") == Known(3.0, "declared")
    assert rates.grid == Known(4.0, "declared")
    assert rates.pue == Known(1.1, "declared")


def test_what_nobody_declared_is_assumed_and_never_zero() -> None:
    rates = rates_of(Facts(name="a"), SHIPPED)

    for known in (
        rates.cpu_hour,
        rates.memory_gb_hour,
        rates.accelerator_hour("NVIDIA-X1"),
        rates.grid,
        rates.pue,
        rates.watts("NVIDIA-X1"),
    ):
        assert known.assumed
        assert known.value > 0
        assert known.source.startswith("table ")


def test_a_country_and_a_provider_are_better_than_the_world() -> None:
    facts = Facts(name="a", jurisdiction="FR", where=Location(provider="gcp"))
    rates = rates_of(facts, SHIPPED)

    assert rates.grid == Known(56.04, "table grid, FR", assumed=True)
    assert rates.pue == Known(1.12, "table pue, gcp", assumed=True)
    elsewhere = rates_of(Facts(name="a", jurisdiction="AQ", where=HOME), SHIPPED)
    assert elsewhere.grid.value == SHIPPED.world_grid
    nowhere = rates_of(Facts(name="a", where=Location(provider="a-garage")), SHIPPED)
    assert nowhere.pue.value == SHIPPED.any_pue


def test_the_price_of_a_product_can_be_put_into_the_tables() -> None:
    from dataclasses import replace

    tables = replace(SHIPPED, accelerator_hour={"NVIDIA-L4": 0.8})

    found = rates_of(Facts(name="a"), tables).accelerator_hour("NVIDIA-L4")
    assert found == Known(0.8, "table prices, NVIDIA-L4", assumed=True)


@pytest.mark.parametrize(
    ("product", "watts"),
    [("NVIDIA-L4", 72), ("NVIDIA-L40S", 350), ("NVIDIA-L40", 300), ("NVIDIA-GH200-480GB", 700)],
)
def test_the_longest_name_in_a_product_says_its_power(product: str, watts: float) -> None:
    assert rates_of(Facts(name="a"), SHIPPED).watts(product).value == watts


def test_a_round_trip_is_declared_nothing_at_the_same_place_or_unknown() -> None:
    facts = Facts(name="a", where=HOME, network=Network(rtt_ms={"eu-central-1": 12.0}))

    assert rtt_ms(facts, AWS) == 12.0
    assert rtt_ms(facts, HOME) == 0.0
    assert rtt_ms(facts, Location(region="us-east-1")) is None


def test_every_table_names_its_source_licence_and_date() -> None:
    assert {origin.table for origin in SHIPPED.origins} == {
        "prices", "egress", "grid", "watts", "pue",
    }  # fmt: skip
    for origin in SHIPPED.origins:
        assert all((origin.source, origin.licence, origin.as_of, origin.method))


def test_a_place_is_described_by_its_most_precise_name() -> None:
    assert Location(cluster="a", site="munich").described == "a"
    assert HOME.described == "munich"
    assert Location(provider="aws").described == "an unnamed place"
