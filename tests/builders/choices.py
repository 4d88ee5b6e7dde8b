"""Clusters among which a model is placed: one price for a core, and what a test says of each."""

from collections.abc import Mapping
from typing import Any

from smallmodel_operator.placement.choice.case import Rejection
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.decision import Decision, Verdict
from smallmodel_operator.placement.choice.facts import Energy, Facts, Location, Prices
from smallmodel_operator.placement.choice.money import Fit, market_of
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import Incumbent, Law, Policy, Streak, Wish

FIT = Fit(cpu=1.0, memory_bytes=0)
"""One core and nothing else, so that a cluster's price of a core is the model's."""

NO_CARBON = Policy(carbon_price_ton=0.0)
EU = frozenset({"DE", "FR", "SE"})


def prices(core: float) -> Prices:
    """A core at this price, memory for nothing."""
    return Prices(cpu_hour=core, memory_gb_hour=0.0)


def cluster(name: str, core: float | None = 1.0, **changes: Any) -> Facts:
    """A cluster in Germany with a clean grid, where everything about money is declared."""
    values: dict[str, Any] = {
        "name": name,
        "jurisdiction": "DE",
        "energy": Energy(grid=100.0, pue=1.0),
    }
    if core is not None:
        values["prices"] = prices(core)
    return Facts(**values | changes)


def aws(name: str, region: str, core: float = 1.0, **changes: Any) -> Facts:
    """One in a region of a cloud with listed egress."""
    return cluster(name, core, where=Location(provider="aws", region=region), **changes)


def law(*countries: str, source: str = "records", required: bool = True) -> Law:
    """What a data source says."""
    return Law(source=source, jurisdictions=frozenset(countries), required=required)


def decided(
    *places: Facts,
    wish: Wish | None = None,
    policy: Policy = NO_CARBON,
    fits: Mapping[str, Fit | Rejection] | None = None,
    tables: Tables = SHIPPED,
    pause: str | None = None,
) -> Decision:
    """The decision for a model of one core, which fits wherever nothing else is said."""

    def fitter(place: Facts) -> Fit | Rejection:
        return (fits or {}).get(place.name, FIT)

    market = market_of(places, tables)
    return decide(wish or Wish(key="team/chat"), market, fitter, policy, pause=pause)


def of(decision: Decision, name: str) -> Verdict:
    """What was said of one cluster."""
    return next(verdict for verdict in decision.verdicts if verdict.cluster == name)


def running(*names: str, seconds: float = 7200.0, **changes: Any) -> Wish:
    """A model whose copies run there for two hours."""
    incumbents = tuple(Incumbent(cluster=name, seconds=seconds) for name in names)
    values: dict[str, Any] = {"copies": len(names), "incumbents": incumbents}
    return Wish(key="team/chat", **values | changes)


def streak(incumbent: str, challenger: str, count: int = 2) -> Streak:
    """What the last decisions remembered."""
    return Streak(incumbent=incumbent, challenger=challenger, count=count)
