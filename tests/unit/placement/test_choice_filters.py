"""What speaks against a cluster, whatever it costs."""

from dataclasses import replace
from typing import Any

import pytest

from builders.choices import cluster, decided, law, of, running
from smallmodel_operator.api.where import TaintEffect, Tier
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import Decision, Verdict
from smallmodel_operator.placement.choice.facts import (
    Energy,
    Link,
    Location,
    Network,
    Taint,
)
from smallmodel_operator.placement.choice.wish import Bounds, Read, Toleration, Wish

ASKED: dict[str, Any] = {"gateway": "https://a.example.com"}
DEDICATED = Taint(key="dedicated", value="vision")
NO_NEW = replace(DEDICATED, effect=TaintEffect.NO_SELECT_IF_NEW)


def wish(**changes: Any) -> Wish:
    return Wish(key="team/chat", **changes)


def bounds(**changes: Any) -> Wish:
    return wish(bounds=Bounds(**changes))


def reads(gb: float, cluster_name: str = "edge") -> Wish:
    location = Location(cluster=cluster_name)
    return wish(reads=(Read(source="video", locations=(location,), gb_per_hour=gb),))


def verdict(asked: Wish, **facts: Any) -> Verdict:
    return of(decided(cluster("a", **facts), wish=asked), "a")


CASES: dict[str, tuple[Wish, dict[str, Any], Code, tuple[str, ...]]] = {
    "a law of another country": (
        wish(laws=(law("FR", "SE"),)),
        {},
        Code.RESIDENCY_FORBIDDEN,
        ("a is in DE", "records may be read in FR, SE only", "data's owner"),
    ),
    "a law, and nobody says where the cluster is": (
        wish(laws=(law("DE"),)),
        {"jurisdiction": None},
        Code.RESIDENCY_FORBIDDEN,
        ("unknown is never allowed", "ModelCluster"),
    ),
    "two laws that contradict each other": (
        wish(laws=(law("DE"), law("FR", source="video"))),
        {},
        Code.RESIDENCY_FORBIDDEN,
        ("records, video contradict", "records allows DE; video allows FR"),
    ),
    "it is being removed": (wish(), {"link": Link.TERMINATING}, Code.TERMINATING, ("removed",)),
    "it lets nobody in": (
        wish(),
        {"link": Link.CREDENTIAL_ERROR},
        Code.CREDENTIAL_ERROR,
        ("Renew them",),
    ),
    "it does not answer": (wish(), {"link": Link.UNREACHABLE}, Code.UNREACHABLE, ("not gone",)),
    "nothing serves there": (
        wish(),
        {"missing_api": "Install KubeRay."},
        Code.API_MISSING,
        ("Install KubeRay.",),
    ),
    "of another tier": (
        bounds(tiers=frozenset({Tier.EDGE, Tier.ON_PREM})),
        {"tier": Tier.CLOUD},
        Code.NOT_SELECTED,
        ("tier Cloud", "Edge, OnPrem"),
    ),
    "of no known tier": (
        bounds(tiers=frozenset({Tier.EDGE})),
        {},
        Code.NOT_SELECTED,
        ("tier unknown",),
    ),
    "without a label": (
        bounds(labels={"team": "vision"}),
        {"labels": {"team": "text"}},
        Code.NOT_SELECTED,
        ("no label team=vision",),
    ),
    "with a taint": (
        wish(),
        {"taints": (DEDICATED,)},
        Code.TAINTED,
        ("dedicated=vision:NoSelect", "tolerations"),
    ),
    "with another taint than the one that is tolerated": (
        bounds(tolerations=(Toleration(key="dedicated", value="text"),)),
        {"taints": (DEDICATED,)},
        Code.TAINTED,
        (),
    ),
    "isolated from its data": (
        reads(1.0),
        {"network": Network(isolated=True), "weights": frozenset({"w"})},
        Code.AIR_GAP,
        ("video lies elsewhere",),
    ),
    "isolated without weights": (
        wish(digests=frozenset({"w"})),
        {"network": Network(isolated=True), "weights": frozenset({"other"})},
        Code.AIR_GAP,
        ("no weights of this model",),
    ),
    "its line is too thin": (
        reads(36.0),
        {"network": Network(uplink_mbit=100.0)},
        Code.UPLINK_CAPACITY,
        ("80 Mbit/s", "line of a", "100 Mbit/s", "70%"),
    ),
    "too far": (
        wish(bounds=Bounds(max_rtt_ms=20.0), clients=(Location(region="eu-west-1"),)),
        {"network": Network(rtt_ms={"eu-west-1": 21.0}), **ASKED},
        Code.LATENCY_BOUND,
        ("from eu-west-1 to a is 21 ms", "maxRoundTrip is 20 ms", "Raise it"),
    ),
    "too far from one of several": (
        wish(
            bounds=Bounds(max_rtt_ms=20.0),
            clients=(Location(cluster="a"), Location(region="eu-west-1")),
        ),
        {"network": Network(rtt_ms={"eu-west-1": 21.0}), **ASKED},
        Code.LATENCY_BOUND,
        ("from eu-west-1 to a is 21 ms",),
    ),
    "callers elsewhere cannot ask it": (
        wish(clients=(Location(cluster="a"), Location(cluster="munich"))),
        {},
        Code.NOT_REACHABLE,
        ("Callers in munich cannot reach a", "spec.gateway.address", "An administrator sets it"),
    ),
    "callers of no cluster cannot ask it": (
        wish(clients=(Location(region="eu-west-1"),)),
        {},
        Code.NOT_REACHABLE,
        ("Callers in eu-west-1 cannot reach a",),
    ),
    "nobody knows how far": (
        wish(bounds=Bounds(max_rtt_ms=20.0), clients=(Location(region="eu-west-1"),)),
        ASKED,
        Code.LATENCY_BOUND,
        ("is not known", "spec.network.roundTrips"),
    ),
    "nobody knows where the clients are": (
        bounds(max_rtt_ms=20.0),
        {},
        Code.LATENCY_BOUND,
        ("from the clients",),
    ),
    "a dirty grid": (
        bounds(max_grid=99.0),
        {},
        Code.CARBON_CAP,
        ("100 g/kWh, and", "maxGridIntensity is 99"),
    ),
    "a grid that is assumed to be dirty": (
        bounds(max_grid=99.0),
        {"energy": Energy()},
        Code.CARBON_CAP,
        ("380.95 g/kWh (table grid, DE, assumed)",),
    ),
    "nobody looked for long": (wish(), {"capacity_age": 301.0}, Code.STALE_FACTS, ("301 s ago",)),
    "nobody ever looked": (wish(), {"capacity_age": None}, Code.STALE_FACTS, ("never seen",)),
    "it would cost too much": (
        bounds(max_cost_hour=0.9),
        {},
        Code.COST_CAP,
        ("1.00 USD/h", "maxCostPerHour is 0.90"),
    ),
}


@pytest.mark.parametrize(("asked", "facts", "code", "parts"), CASES.values(), ids=CASES)
def test_a_cluster_is_refused(
    asked: Wish, facts: dict[str, Any], code: Code, parts: tuple[str, ...]
) -> None:
    found = verdict(asked, **facts)

    assert (found.selected, found.code) == (False, code)
    for part in parts:
        assert part in found.message


ALLOWED: dict[str, tuple[Wish, dict[str, Any]]] = {
    "a law that allows it": (wish(laws=(law("DE", "FR"),)), {}),
    "two laws that both allow it": (wish(laws=(law("DE", "FR"), law("DE", source="video"))), {}),
    "a law that is only preferred": (wish(laws=(law("FR", required=False),)), {}),
    "a slow line": (wish(), {"link": Link.DEGRADED}),
    "the tier that is asked for": (bounds(tiers=frozenset({Tier.EDGE})), {"tier": Tier.EDGE}),
    "the label that is asked for": (
        bounds(labels={"team": "vision"}),
        {"labels": {"team": "vision"}},
    ),
    "a taint that is tolerated": (
        bounds(tolerations=(Toleration(key="dedicated"),)),
        {"taints": (DEDICATED,)},
    ),
    "isolated with the weights": (
        wish(digests=frozenset({"w"})),
        {"network": Network(isolated=True), "weights": frozenset({"w"})},
    ),
    "isolated beside its data": (
        replace(reads(1.0, "a"), digests=frozenset({"w"})),
        {"network": Network(isolated=True), "weights": frozenset({"w"})},
    ),
    "a line that suffices": (reads(36.0), {"network": Network(uplink_mbit=115.0)}),
    "a line of which nobody says anything": (reads(36.0), {}),
    "near enough": (
        wish(bounds=Bounds(max_rtt_ms=20.0), clients=(Location(region="eu-west-1"),)),
        {"network": Network(rtt_ms={"eu-west-1": 20.0}), **ASKED},
    ),
    "the hub, which callers of no cluster ask first": (
        wish(clients=(Location(region="eu-west-1"),)),
        {"is_hub": True},
    ),
    "the clients are there": (
        wish(bounds=Bounds(max_rtt_ms=20.0), clients=(Location(cluster="a"),)),
        {},
    ),
    "a grid that is clean enough": (bounds(max_grid=100.0), {}),
    "cheap enough": (bounds(max_cost_hour=1.0), {}),
}


@pytest.mark.parametrize(("asked", "facts"), ALLOWED.values(), ids=ALLOWED)
def test_a_cluster_is_not_refused(asked: Wish, facts: dict[str, Any]) -> None:
    assert verdict(asked, **facts).code is Code.LOWEST_COST


def test_the_line_of_where_the_data_is_counts_too() -> None:
    edge = cluster("edge", network=Network(uplink_mbit=50.0), labels={"gpu": "no"})
    asked = replace(reads(36.0), bounds=Bounds(labels={"gpu": "yes"}))

    found = of(decided(cluster("a", labels={"gpu": "yes"}), edge, wish=asked), "a")

    assert found.code is Code.UPLINK_CAPACITY
    assert "line of edge" in found.message


HOLDING: dict[str, dict[str, Any]] = {
    "it does not answer": {"link": Link.UNREACHABLE},
    "it lets nobody in": {"link": Link.CREDENTIAL_ERROR},
    "nobody looked for long": {"capacity_age": 9999.0},
    "KubeRay is away": {"missing_api": "Install KubeRay."},
    "new ones are kept away": {"taints": (NO_NEW,)},
}


@pytest.mark.parametrize("facts", HOLDING.values(), ids=HOLDING)
def test_a_copy_that_runs_stays_though_a_new_one_would_not_go_there(facts: dict[str, Any]) -> None:
    found = decided(cluster("a", **facts), cluster("b", 0.01), wish=running("a"))

    assert found.clusters == ("a",)
    assert found.chosen[0].fit is None
    assert of(found, "a").code is Code.HELD
    assert "The copy there stays" in of(found, "a").message
    assert of(decided(cluster("a", **facts), wish=wish()), "a").selected is False


@pytest.mark.parametrize(("substitutes", "says"), [(False, "Keep"), (True, "Substitute")])
def test_a_copy_that_cannot_be_reached_is_said_to_stay(substitutes: bool, says: str) -> None:
    asked = running("a", substitutes=substitutes)
    found = decided(cluster("a", link=Link.UNREACHABLE), cluster("b", 0.01), wish=asked)

    assert f"what runs there stays (whenUnreachable: {says})" in of(found, "a").message


MOVING: dict[str, dict[str, Any]] = {
    "a law": {"jurisdiction": "US"},
    "its removal": {"link": Link.TERMINATING},
    "a taint": {"taints": (DEDICATED,)},
    "a law, though the cluster does not answer": {
        "jurisdiction": "US",
        "link": Link.UNREACHABLE,
    },
    "its removal, though nothing of it is known": {
        "taints": (DEDICATED,),
        "capacity_age": None,
    },
}


def _under_law(*places: Any) -> Decision:
    return decided(*places, wish=running("a", laws=(law("DE"),)))


@pytest.mark.parametrize("facts", MOVING.values(), ids=MOVING)
def test_a_copy_leaves_for(facts: dict[str, Any]) -> None:
    found = _under_law(cluster("a", 0.01, **facts), cluster("b"))

    assert found.clusters == ("b",)
    assert found.ended == ("a",)


def test_a_copy_with_nowhere_to_go_stays_unless_a_law_forbids_it() -> None:
    tainted = _under_law(cluster("a", taints=(DEDICATED,)))
    forbidden = _under_law(cluster("a", jurisdiction="US"))

    assert (tainted.clusters, tainted.missing, tainted.ended) == (("a",), 0, ())
    assert (forbidden.clusters, forbidden.missing) == ((), 1)
    assert (forbidden.ended, forbidden.forbidden) == (("a",), ("a",))


def test_a_round_trip_that_the_other_end_declares_counts_too() -> None:
    munich = cluster("munich", gateway="https://m", network=Network(rtt_ms={"a": 15.0}))
    asked = wish(bounds=Bounds(max_rtt_ms=20.0), clients=(Location(cluster="munich"),))
    there = cluster("a", core=0.5, **ASKED)

    assert of(decided(there, munich, wish=asked), "a").code is Code.LOWEST_COST
    nearer = replace(asked, bounds=Bounds(max_rtt_ms=14.0))
    assert "is 15 ms" in of(decided(there, munich, wish=nearer), "a").message
