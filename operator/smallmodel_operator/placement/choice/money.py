"""Dollars per hour of one copy at one place: what it takes, reads, sends and emits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.placement.choice.facts import Facts, Location, Network
from smallmodel_operator.placement.choice.rates import (
    Input,
    Known,
    Rates,
    declared_egress,
    egress_gb,
    input_of,
    is_same_place,
    listed_egress,
    rates_of,
    rtt_ms,
)
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import Policy, Read, Wish
from smallmodel_operator.placement.cluster import Spot
from smallmodel_operator.placement.once import Once

GB: Final = 1e9
PARTS: Final = ("compute", "data reads", "answers", "carbon", "moving there")
"""What a cost is made of, as people read it."""
_GRAMS_PER_TON: Final = 1e6
_NOWHERE: Final = Network()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a model would run in a cluster: what one replica takes, and a pool around it."""

    cpu: float
    memory_bytes: int
    devices: float = 0.0
    """Of one product; a part of one where the model shares it."""
    product: str | None = None
    head_cpu: float = 0.0
    """Of a pool's head that would have to be made; 0 where the model joins a pool."""
    head_memory_bytes: int = 0
    weights_bytes: int = 0
    digest: str | None = None
    """Of the weights, where it is known."""
    spot: Spot | None = None
    """What `placement.cluster` found; None in a simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one copy costs in an hour, by what it is for."""

    compute: float
    data: float
    answers: float
    carbon: float
    one_time: float
    """What a new copy costs once, spread over the horizon; 0 for one that is there."""
    grams: float
    """CO2e per hour."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.data + self.answers + self.carbon + self.one_time

    @property
    def steady(self) -> float:
        """All but what happens once."""
        return self.compute + self.data + self.answers + self.carbon

    @property
    def parts(self) -> tuple[float, ...]:
        """Each part, in the order of `PARTS`."""
        return self.compute, self.data, self.answers, self.carbon, self.one_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How data comes to a cluster."""

    remote: float
    """The share that has to come over a line: all that no copy there has."""
    price: Known
    """Of a GB from the cheapest location."""
    said: Input
    """The price, as it is told with a cost."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """All clusters with what counts at each of them; the same for every model."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    places: tuple[Facts, ...]
    rates: Mapping[str, Rates]
    """By cluster."""
    tables: Tables

    def located(self, location: Location) -> Location:
        """Return a location with all that is known of the cluster that it names."""
        found = self.rates.get(location.cluster or "")
        return location.within(found.facts.location) if found else location

    def way(self, read: Read, place: Facts) -> Way:
        """Return how what a model reads comes to a cluster."""
        asked = (read.source, read.locations, place.name)
        known = self._known_ways.get(asked)
        if known is None:
            known = self._known_ways[asked] = self._way(read, place)
        return known

    def _way(self, read: Read, place: Facts) -> Way:
        prices = [self.price_between(one, place) for one in read.locations]
        if prices:
            price = min(prices, key=lambda known: (known.value, known.source))
        else:
            where = "table egress, unknown location"
            price = Known(self.tables.any_egress_gb, where, assumed=True)
        cached = min(1.0, max(0.0, place.cached.get(read.source, 0.0)))
        is_there = any(is_same_place(place.location, one) for one in read.locations)
        return Way(
            remote=0.0 if is_there else 1.0 - cached,
            price=price,
            said=input_of(f"egress {read.source} /GB", price),
        )

    def price_between(self, source: Location, place: Facts) -> Known:
        """Return what a GB costs from a location to a cluster."""
        where, target = self.located(source), place.location
        declared = declared_egress(where, self.network_at(source), target)
        if declared is not None:
            return declared
        asked = (where.provider, where.region, target.provider, target.region)
        listed = self._known_listed.get(asked)
        if listed is None:
            listed = self._known_listed[asked] = listed_egress(where, target, self.tables)
        if source.cluster is not None and source.cluster not in self.rates:
            return replace(listed, source=f"no ModelCluster {source.cluster}; {listed.source}")
        return listed

    @Once
    def _known_listed(self) -> dict[tuple[str | None, ...], Known]:
        return {}

    @Once
    def _known_ways(self) -> dict[tuple[str, tuple[Location, ...], str], Way]:
        return {}

    def round_trip_ms(self, place: Facts, other: Location) -> float | None:
        """Return the round trip between a cluster and a place; None where neither declares it."""
        found = rtt_ms(place, self.located(other))
        there = self.rates.get(other.cluster or "")
        return rtt_ms(there.facts, place.location) if found is None and there else found

    def network_at(self, location: Location) -> Network:
        """Return what is declared of the line at a location."""
        found = self.rates.get(location.cluster or "")
        return found.facts.network if found else _NOWHERE


def market_of(places: tuple[Facts, ...], tables: Tables = SHIPPED) -> Market:
    """Return the clusters with what counts at each of them."""
    rates = {place.name: rates_of(place, tables) for place in places}
    return Market(places=places, rates=rates, tables=tables)


def bill(wish: Wish, place: Facts, fit: Fit, market: Market, policy: Policy) -> Cost:
    """Return what one copy costs at a place.

    Args:
        wish: The model.
        place: Where.
        fit: How it would run there.
        market: All clusters.
        policy: How things are weighed.
    """
    rates = market.rates[place.name]
    here = place.location
    kilowatts = power(wish, fit, rates, policy) * rates.pue.value
    grams = kilowatts * rates.grid.value
    answers = 0.0
    if wish.clients and wish.answers_gb_per_hour:
        # Nobody says how many of the callers are where: the dearest way counts.
        prices = (
            egress_gb(here, place.network, market.located(one), market.tables).value
            for one in wish.clients
        )
        answers = wish.answers_gb_per_hour * max(prices)
    is_new = not wish.has(place.name)
    return Cost(
        compute=_compute(wish, fit, rates, kilowatts),
        data=_reading(wish, place, market),
        answers=answers,
        carbon=grams / _GRAMS_PER_TON * policy.carbon_price_ton,
        one_time=moving(wish, place, fit, market) / policy.horizon_hours if is_new else 0.0,
        grams=grams,
    )


def moving(wish: Wish, place: Facts, fit: Fit, market: Market) -> float:
    """Return what bringing the weights to a place costs, once."""
    if wish.weights_home is None or fit.digest in place.weights:
        return 0.0
    return fit.weights_bytes / GB * market.price_between(wish.weights_home, place).value


def power(wish: Wish, fit: Fit, rates: Rates, policy: Policy) -> float:
    """Return the kW of all replicas, before the building's own."""
    devices = fit.devices * rates.watts(fit.product).value if fit.product else 0.0
    replica = devices + fit.cpu * rates.tables.cpu_watts
    watts = wish.replicas * replica + fit.head_cpu * rates.tables.cpu_watts
    return watts * policy.utilisation / 1000.0


def remote_gb(read: Read, place: Facts, market: Market) -> float:
    """Return the GB of an hour that have to come over a line."""
    return read.gb_per_hour * market.way(read, place).remote


def _reading(wish: Wish, place: Facts, market: Market) -> float:
    total = 0.0
    for read in wish.reads:
        way = market.way(read, place)
        total += read.gb_per_hour * way.remote * way.price.value
    return total


def _compute(wish: Wish, fit: Fit, rates: Rates, kilowatts: float) -> float:
    paid = rates.facts.prices.paid_kwh
    if paid is not None:
        return kilowatts * paid
    devices = fit.devices * rates.accelerator_hour(fit.product).value if fit.product else 0.0
    replica = devices + _host(fit.cpu, fit.memory_bytes, rates)
    return wish.replicas * replica + _host(fit.head_cpu, fit.head_memory_bytes, rates)


def _host(cpu: float, memory_bytes: int, rates: Rates) -> float:
    return cpu * rates.cpu_hour.value + memory_bytes / GB * rates.memory_gb_hour.value
