"""What an hour, a kWh or a GB costs at a place: declared, out of a table, or assumed.

What is unknown is taken from the tables and never from other clusters, so that a cluster that
comes, goes or changes its price moves nothing but itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.placement.choice.egress_table import EgressRow
from smallmodel_operator.placement.choice.facts import Facts, Location, Network
from smallmodel_operator.placement.choice.tables import Tables
from smallmodel_operator.placement.once import Once

_INTERNET = "internet"
_DECLARED = "declared"


@dataclass(frozen=True, slots=True)
class Known:
    """A number, and how it is known."""

    value: float
    source: str
    """`declared`, or the table and the row."""
    assumed: bool = False
    """True: nothing says it of this very place."""


_HERE: Final = Known(0.0, "the same place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A number that went into a cost."""

    name: str
    value: float
    source: str
    assumed: bool


def input_of(name: str, known: Known) -> Input:
    """Return a number under the name that people read."""
    return Input(name=name, value=known.value, source=known.source, assumed=known.assumed)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What counts at one cluster."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    facts: Facts
    tables: Tables
    cpu_hour: Known
    memory_gb_hour: Known
    grid: Known
    pue: Known

    def accelerator_hour(self, product: str) -> Known:
        """Return the price of one device."""
        declared = self.facts.prices.accelerator_hour.get(product)
        if declared is not None:
            return Known(declared, _DECLARED)
        listed = self.tables.accelerator_hour.get(product)
        if listed is not None:
            return Known(listed, f"table prices, {product}", assumed=True)
        any_of_them = self.tables.any_accelerator_hour
        return Known(any_of_them, "table prices, any accelerator", assumed=True)

    def watts(self, product: str) -> Known:
        """Return the power of one device; of an unknown product the most of any in the table."""
        found = [name for name in self.tables.watts if name in product]
        if found:
            name = max(found, key=lambda one: (len(one), one))
            return Known(self.tables.watts[name], f"table watts, {name}")
        most = max(self.tables.watts.values())
        return Known(most, "table watts, the most of any product", assumed=True)

    def inputs(self, product: str | None) -> tuple[Input, ...]:
        """Return what the hours of a model are counted from that takes devices of a product."""
        known = self._known_inputs.get(product)
        if known is None:
            known = self._known_inputs[product] = tuple(self._inputs(product))
        return known

    def _inputs(self, product: str | None) -> Iterator[Input]:
        paid = self.facts.prices.paid_kwh
        yield input_of("grid g/kWh", self.grid)
        yield input_of("pue", self.pue)
        if paid is not None:
            yield input_of("electricity /kWh", Known(paid, _DECLARED))
        else:
            yield input_of("cpu /h", self.cpu_hour)
            yield input_of("memory /GB/h", self.memory_gb_hour)
            if product is not None:
                yield input_of(f"{product} /h", self.accelerator_hour(product))
        if product is not None:
            yield input_of(f"{product} W", self.watts(product))

    @Once
    def _known_inputs(self) -> dict[str | None, tuple[Input, ...]]:
        return {}


def rates_of(facts: Facts, tables: Tables) -> Rates:
    """Return what counts at a cluster."""
    return Rates(
        facts=facts,
        tables=tables,
        cpu_hour=_or_table(facts.prices.cpu_hour, tables.cpu_hour, "table prices, CPU"),
        memory_gb_hour=_or_table(
            facts.prices.memory_gb_hour, tables.memory_gb_hour, "table prices, memory"
        ),
        grid=_grid(facts, tables),
        pue=_pue(facts, tables),
    )


def egress_gb(source: Location, network: Network, target: Location, tables: Tables) -> Known:
    """Return the price of a GB from one place to another.

    Args:
        source: Where the bytes leave, and are paid for.
        network: What is declared there.
        target: Where they go.
        tables: For what is not declared.
    """
    return declared_egress(source, network, target) or listed_egress(source, target, tables)


def declared_egress(source: Location, network: Network, target: Location) -> Known | None:
    """Return the price of a GB from one place to another where it is declared, or surely nothing.

    Args:
        source: Where the bytes leave, and are paid for.
        network: What is declared there.
        target: Where they go.
    """
    if is_same_place(source, target):
        return _HERE
    declared = network.egress_gb
    if not declared:
        return None
    for name in target.names:
        if name in declared:
            return Known(declared[name], _DECLARED)
    if _INTERNET in declared and source.provider != target.provider:
        return Known(declared[_INTERNET], _DECLARED)
    return None


def is_same_place(one: Location, other: Location) -> bool:
    """Return whether both are surely at one place, between whose parts nothing is charged."""
    if one.cluster is not None and one.cluster == other.cluster:
        return True
    if one.site is not None and one.site == other.site:
        return True
    zone = (one.provider, one.region, one.zone)
    return None not in zone and zone == (other.provider, other.region, other.zone)


def rtt_ms(facts: Facts, other: Location) -> float | None:
    """Return the round trip between a cluster and a place, or None where nobody says it."""
    if is_same_place(facts.location, other):
        return 0.0
    declared = (facts.network.rtt_ms.get(name) for name in other.names)
    return next((found for found in declared if found is not None), None)


def _or_table(declared: float | None, listed: float, row: str) -> Known:
    if declared is not None:
        return Known(declared, _DECLARED)
    return Known(listed, row, assumed=True)


def _grid(facts: Facts, tables: Tables) -> Known:
    if facts.energy.grid is not None:
        return Known(facts.energy.grid, _DECLARED)
    country = facts.jurisdiction
    if country is not None and country in tables.grid:
        return Known(tables.grid[country], f"table grid, {country}", assumed=True)
    return Known(tables.world_grid, "table grid, the world", assumed=True)


def _pue(facts: Facts, tables: Tables) -> Known:
    if facts.energy.pue is not None:
        return Known(facts.energy.pue, _DECLARED)
    provider = facts.where.provider
    if provider is not None and provider in tables.pue:
        return Known(tables.pue[provider], f"table pue, {provider}", assumed=True)
    return Known(tables.any_pue, "table pue, unknown", assumed=True)


def listed_egress(source: Location, target: Location, tables: Tables) -> Known:
    """Return what the tables say of a GB from one place to another, by provider and region."""
    rows = tables.egress.get(source.provider or "", ())
    if not rows:
        return Known(tables.any_egress_gb, "table egress, unknown provider", assumed=True)
    row = _row(rows, source.region)
    row_name = f"table egress, {source.provider} {source.region or 'of an unknown region'}"
    if row is None:
        most = max(one.internet for one in rows)
        return Known(most, f"{row_name}, the most of any region", assumed=True)
    if target.provider is None:
        return Known(row.internet, f"{row_name} to the internet", assumed=True)
    if target.provider != source.provider:
        return Known(row.internet, f"{row_name} to the internet")
    inside, what = _inside(row, source, target)
    if inside is None:
        return Known(row.internet, f"{row_name} to the internet", assumed=True)
    return Known(inside, f"{row_name} {what}")


def _row(rows: tuple[EgressRow, ...], region: str | None) -> EgressRow | None:
    return next((row for row in rows if region is not None and row.covers(region)), None)


def _inside(row: EgressRow, source: Location, target: Location) -> tuple[float | None, str]:
    if target.region is None:
        return None, ""
    if target.region == source.region:
        if source.regional:
            # https://aws.amazon.com/s3/pricing/, data transfer: not charged in a bucket's region.
            return 0.0, "in the region of a store"
        return row.same_region, "between zones"
    if row.covers(target.region):
        return row.same_continent, "to a near region"
    return row.inter_region, "to another region"
