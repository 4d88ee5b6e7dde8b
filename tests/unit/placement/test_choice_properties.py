"""What holds of every decision, whatever the clusters, prices, laws and links."""

from collections.abc import Sequence
from dataclasses import fields, replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders.choices import cluster, decided, law
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.choice.egress_table import ROWS
from smallmodel_operator.placement.choice.facts import (
    Energy,
    Facts,
    Link,
    Location,
    Network,
    Prices,
)
from smallmodel_operator.placement.choice.law import allowed_by
from smallmodel_operator.placement.choice.tables import SHIPPED, in_currency
from smallmodel_operator.placement.choice.wish import Bounds, Incumbent, Policy, Read, Wish

COUNTRIES = ["DE", "FR", "US"]
NAMES = [f"c{number}" for number in range(6)]

amounts = st.integers(1, 40).map(lambda number: number / 8)
maybe = st.none() | amounts
countries = st.none() | st.sampled_from(COUNTRIES)
links = st.sampled_from([link for link in Link if link is not Link.UNDECLARED])


@st.composite
def places(draw: st.DrawFn, name: str) -> Facts:
    region = draw(st.sampled_from(["eu-central-1", "eu-west-1", "ap-south-1", None]))
    provider = draw(st.sampled_from(["aws", "gcp", None]))
    return cluster(
        name,
        None,
        where=Location(provider=provider, region=region),
        jurisdiction=draw(countries),
        prices=Prices(cpu_hour=draw(maybe), memory_gb_hour=0.0),
        energy=Energy(grid=draw(maybe), pue=draw(maybe)),
        network=Network(egress_gb={"internet": draw(amounts)} if draw(st.booleans()) else {}),
        link=draw(st.just(Link.CONNECTED) | links),
    )


@st.composite
def markets(draw: st.DrawFn) -> list[Facts]:
    return [draw(places(name)) for name in NAMES[: draw(st.integers(1, 6))]]


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    laws = tuple(
        law(*draw(st.sets(st.sampled_from(COUNTRIES))), source=f"s{number}", required=required)
        for number, required in enumerate(draw(st.lists(st.booleans(), max_size=3)))
    )
    data = Location(cluster=draw(st.sampled_from(NAMES)))
    reads = (Read(source="video", locations=(data,), gb_per_hour=draw(amounts)),)
    bounds = Bounds(
        max_grid=draw(st.none() | st.just(300.0)), max_cost_hour=draw(st.none() | st.just(9.0))
    )
    return Wish(
        key=f"team/model-{draw(st.integers(0, 9))}",
        copies=draw(st.integers(1, 3)),
        laws=laws,
        reads=reads if draw(st.booleans()) else (),
        bounds=bounds,
    )


@st.composite
def running_wishes(draw: st.DrawFn) -> Wish:
    there = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    seconds = draw(st.sampled_from([0.0, 9999.0]))
    incumbents = tuple(Incumbent(cluster=name, seconds=seconds) for name in there)
    return replace(draw(wishes()), incumbents=incumbents)


def changed(place: Facts, **changes: object) -> Facts:
    values = {field.name: getattr(place, field.name) for field in fields(place)}
    return Facts(**values | changes)


def dearer(place: Facts, by: float) -> Facts:
    prices = place.prices
    known = prices.cpu_hour if prices.cpu_hour is not None else SHIPPED.cpu_hour
    return changed(place, prices=replace(prices, cpu_hour=known + by))


def place_in(decision: Decision, name: str) -> int:
    """Where a cluster stands, 0 the best."""
    return [verdict.cluster for verdict in decision.verdicts].index(name)


@given(found=markets(), wish=running_wishes(), data=st.data())
def test_the_order_of_clusters_changes_nothing(
    found: list[Facts], wish: Wish, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(found))

    assert decided(*shuffled, wish=wish) == decided(*found, wish=wish)


@given(found=markets(), wish=running_wishes())
def test_equal_inputs_give_equal_bytes(found: list[Facts], wish: Wish) -> None:
    assert repr(decided(*found, wish=wish)) == repr(decided(*found, wish=wish))


@given(found=markets(), wish=wishes(), by=amounts, which=st.integers(0, 5))
def test_a_higher_price_never_makes_a_cluster_rank_better(
    found: list[Facts], wish: Wish, by: float, which: int
) -> None:
    wish = replace(wish, copies=1)
    at = which % len(found)
    raised = [dearer(place, by) if n == at else place for n, place in enumerate(found)]
    name = found[at].name

    before, after = decided(*found, wish=wish), decided(*raised, wish=wish)

    if name in after.clusters:
        assert name in before.clusters
    if before.verdicts[place_in(before, name)].cost and after.verdicts[place_in(after, name)].cost:
        assert place_in(after, name) >= place_in(before, name)


@given(found=markets(), wish=running_wishes(), extra=places("other"))
def test_a_cluster_that_is_not_chosen_changes_nothing(
    found: list[Facts], wish: Wish, extra: Facts
) -> None:
    """Adding or losing one that is ineligible or worse moves no model."""
    with_it = decided(*found, extra, wish=wish)
    assume("other" not in with_it.clusters)
    code = next((v.code for v in with_it.verdicts if v.cluster == "other"), None)
    assume(code is not Code.NOT_WORTH_A_MOVE)

    without = decided(*found, wish=wish)

    assert without.clusters == with_it.clusters
    assert without.streak == with_it.streak
    assert [v for v in with_it.verdicts if v.cluster != "other"] == list(without.verdicts)


def scaled(place: Facts, by: float) -> Facts:
    prices, network = place.prices, place.network
    core = prices.cpu_hour
    return changed(
        place,
        prices=replace(prices, cpu_hour=core * by if core is not None else None),
        network=replace(
            network, egress_gb={to: price * by for to, price in network.egress_gb.items()}
        ),
    )


@given(found=markets(), wish=wishes(), by=st.sampled_from([0.5, 2.0, 4.0]))
def test_the_currency_changes_no_ranking(found: list[Facts], wish: Wish, by: float) -> None:
    """All prices times a number: powers of two, so that no rounding comes in between."""
    wish = replace(wish, bounds=replace(wish.bounds, max_cost_hour=None))
    tables = in_currency(SHIPPED, by)
    policy = Policy(carbon_price_ton=190.0)
    other = replace(policy, carbon_price_ton=190.0 * by)

    before = decided(*found, wish=wish, policy=policy)
    after = decided(*[scaled(place, by) for place in found], wish=wish, policy=other, tables=tables)

    def order(decision: Decision) -> Sequence[tuple[str, Code]]:
        return [(verdict.cluster, verdict.code) for verdict in decision.verdicts]

    assert order(before) == order(after)


@given(found=markets(), wish=wishes(), core=amounts, there=st.integers(1, 3))
def test_nothing_moves_for_less_than_the_threshold(
    found: list[Facts], wish: Wish, core: float, there: int
) -> None:
    """However long it lasts, and without a law or a bound that says otherwise."""
    level = [
        changed(
            place,
            prices=Prices(cpu_hour=core + number * 0.05 / len(found), memory_gb_hour=0.0),
            network=Network(),
            link=Link.CONNECTED,
        )
        for number, place in enumerate(found)
    ]
    here = tuple(Incumbent(cluster=place.name, seconds=9999.0) for place in found[:there])
    calm = replace(wish, incumbents=here, copies=len(here), laws=(), bounds=Bounds(), reads=())
    for _ in range(4):
        found_now = decided(*level, wish=calm)
        assert set(found_now.clusters) == {one.cluster for one in here}
        calm = replace(calm, streak=found_now.streak)


@given(found=markets(), wish=running_wishes())
def test_every_cluster_that_is_not_chosen_has_a_reason(found: list[Facts], wish: Wish) -> None:
    decision = decided(*found, wish=wish)

    assert len(decision.verdicts) == len(found)
    assert len(decision.chosen) + sum(count for _, count in decision.counts) == len(found)
    for verdict in decision.verdicts:
        assert verdict.message
        assert verdict.selected == (verdict.cluster in decision.clusters)
    assert len(decision.chosen) + decision.missing == wish.copies


@given(found=markets(), wish=running_wishes())
def test_no_copy_is_outside_of_what_a_required_law_allows(found: list[Facts], wish: Wish) -> None:
    wish = replace(wish, laws=(*wish.laws, law("DE", "FR", source="always")))

    decision = decided(*found, wish=wish)

    allowed = allowed_by(wish) or frozenset()
    where = {place.name: place.jurisdiction for place in found}
    assert all(where[name] in allowed for name in decision.clusters)


@given(
    region=st.sampled_from(
        [(name, region) for name, rows in ROWS.items() for row in rows for region in row.regions]
    ),
    gb=amounts,
    more=amounts,
)
def test_more_bytes_never_cost_less(region: tuple[str, str], gb: float, more: float) -> None:
    source = cluster("edge", 99.0, where=Location(provider=region[0], region=region[1]))
    away = cluster("cloud", 0.0)

    def data(rate: float) -> float:
        read = Read(source="video", locations=(Location(cluster="edge"),), gb_per_hour=rate)
        decision = decided(source, away, wish=Wish(key="team/chat", copies=2, reads=(read,)))
        cost = next(one.cost for one in decision.chosen if one.cluster == "cloud")
        assert cost is not None
        return cost.data

    assert data(gb) < data(gb + more)


class Histories(RuleBasedStateMachine):
    """Prices, links, capacity and laws change, one after another; copies follow decisions."""

    @initialize(found=markets(), wish=wishes())
    def begin(self, found: list[Facts], wish: Wish) -> None:
        self.places = {place.name: place for place in found}
        self.wish = wish
        self.started: tuple[str, ...] = ()
        self._decide()

    @rule(which=st.sampled_from(NAMES), core=maybe)
    def price(self, which: str, core: float | None) -> None:
        self._change(which, prices=Prices(cpu_hour=core, memory_gb_hour=0.0))

    @rule(which=st.sampled_from(NAMES), link=links)
    def link(self, which: str, link: Link) -> None:
        self._change(which, link=link)

    @rule(which=st.sampled_from(NAMES), age=st.sampled_from([0.0, 9999.0, None]))
    def capacity(self, which: str, age: float | None) -> None:
        self._change(which, capacity_age=age)

    @rule(allowed=st.sets(st.sampled_from(COUNTRIES)), required=st.booleans())
    def new_law(self, allowed: set[str], required: bool) -> None:
        self.wish = replace(self.wish, laws=(law(*allowed, required=required),))
        self._decide()

    @rule(which=st.sampled_from(NAMES), country=countries)
    def moved_border(self, which: str, country: str | None) -> None:
        self._change(which, jurisdiction=country)

    def _change(self, which: str, **changes: object) -> None:
        if which in self.places:
            self.places[which] = changed(self.places[which], **changes)
        self._decide()

    def _decide(self) -> None:
        decision = decided(*self.places.values(), wish=self.wish)
        before = {one.cluster: one for one in self.wish.incumbents}
        self.started = tuple(name for name in decision.clusters if name not in before)
        self.wish = replace(
            self.wish,
            incumbents=tuple(
                before.get(name) or Incumbent(cluster=name, seconds=9999.0)
                for name in decision.clusters
            ),
            streak=decision.streak,
        )

    @invariant()
    def no_copy_is_outside_of_the_law(self) -> None:
        allowed = allowed_by(self.wish)
        for one in self.wish.incumbents:
            assert allowed is None or self.places[one.cluster].jurisdiction in allowed

    @invariant()
    def nothing_starts_where_nobody_sees(self) -> None:
        for name in self.started:
            facts = self.places[name]
            assert facts.link in (Link.CONNECTED, Link.DEGRADED, Link.BUNDLED)
            assert facts.capacity_age == 0.0


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestHistories = Histories.TestCase
