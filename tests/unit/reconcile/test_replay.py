"""What is decided of a snapshot is what the operator decided, and what would be otherwise."""

from dataclasses import replace
from typing import Any

import pytest

from builders.cards import GATED, CardBuilder, catalog
from builders.clusters import gpu_node, node, view
from builders.fake_hub import FakeHub, priced, served
from builders.models import GIB
from builders.snapshots import snapshot_of
from smallmodel_operator.placement.whatif import Change, Fate
from smallmodel_operator.reconcile.replay import fates_of, replay

HOUR = 3600.0


def fates(hub: FakeHub, **change: Any) -> dict[str, Fate]:
    found = fates_of(snapshot_of(hub), Change(**change))
    return {one.name: one for one in found}


def test_what_the_operator_decided_comes_again_to_the_byte() -> None:
    hub = served("home", "cloud", "far", placement={"copies": 2}).wait(HOUR)
    hub.join(priced("cheap", "0.1")).wait(60)

    (found,) = replay(snapshot_of(hub))

    told = hub.models["chat"].status.decision
    assert told is not None
    assert told.challenge is not None
    again = found.told("USD")
    assert again is not None
    assert again.model_dump_json() == told.model_copy(update={"challenge": None}).model_dump_json()
    assert found.there == found.clusters == ("cloud", "home")


def test_the_same_snapshot_gives_the_same_decisions_in_whatever_order_it_lists_things() -> None:
    hub = served("home", "cloud").ask("mails").ask("another")
    there = snapshot_of(hub)
    turned = replace(
        there,
        models=there.models[::-1],
        clusters=there.clusters[::-1],
        placements=there.placements[::-1],
    )

    assert [one.name for one in replay(there)] == ["another", "chat", "mails"]
    assert replay(there) == replay(there) == replay(turned)


def test_a_lost_cluster_sends_its_models_to_the_next_one() -> None:
    fate = fates(served("home", "cloud"), lost=frozenset({"home"}))["chat"]

    assert (fate.now, fate.then, fate.moves) == ("home", "cloud", True)
    assert fate.why.startswith("home is lost; then LowestCost: ")
    assert fate.cost_now is not None
    assert fate.cost_then is not None
    # Two cores at twice the price, and a quarter of one for the head of a new pool.
    assert (fate.cost_now.compute, fate.cost_then.compute) == (2.0, 4.5)


def test_a_price_moves_a_model_though_it_just_came_and_was_asked_once() -> None:
    hub = served("home", "cloud")

    assert fates(hub)["chat"].then == "home"
    fate = fates(hub, factors={"home": 100.0})["chat"]
    assert (fate.now, fate.then) == ("home", "cloud")
    assert "CostHigher" in fate.why


def test_a_law_leaves_no_place_and_each_cluster_says_why() -> None:
    fate = fates(served("home", "cloud"), laws=((None, frozenset({"FR"})),))["chat"]

    assert (fate.now, fate.then, fate.cost_then) == ("home", None, None)
    assert "added-law may be read in FR only" in fate.why
    assert "nor cloud (ResidencyForbidden)" in fate.why


def test_a_law_of_another_namespace_changes_nothing() -> None:
    fate = fates(served("home"), laws=(("other", frozenset({"FR"})),))["chat"]
    assert (fate.then, fate.why[:4]) == ("home", "Kept")


def test_where_the_last_cluster_is_lost_nothing_is_left_to_say_but_that() -> None:
    assert fates(served("home"), lost=frozenset({"home"}))["chat"].why == "home is lost"


def test_what_one_model_takes_the_next_one_does_not_get() -> None:
    hub = served("home", "cloud").ask("mails").settle()
    hub.views["cloud"] = view(node(memory_bytes=6 * GIB), name="cloud")
    keeps = {"scaling": {"minReplicas": 1}, "isolation": "Dedicated"}
    hub.ask("chat", **keeps).ask("mails", **keeps).settle()

    found = fates(hub, lost=frozenset({"home"}))

    assert (found["chat"].then, found["mails"].then) == ("cloud", None)
    assert "MemoryFit" in found["mails"].why


def test_of_several_copies_those_that_stay_are_not_explained() -> None:
    hub = served("a", "b", "c", placement={"copies": 2})

    fate = fates(hub, lost=frozenset({"a"}))["chat"]

    assert (fate.now, fate.then) == ("a, b", "b, c")
    assert fate.why.startswith("a is lost; then LowestCost")
    assert fate.cost_now is not None
    assert fate.cost_then is not None
    # At 1 and 2 now; then at 2, and at 3 with a head.
    assert (fate.cost_now.compute, fate.cost_then.compute) == (6.0, 10.75)


def test_a_model_that_waits_is_told_of_where_it_would_have_a_place() -> None:
    hub = served("home").ask("dear", placement={"maxCostPerHour": "0.5"})

    assert "dear" not in fates(hub)
    fate = fates(hub, factors={"home": 0.01})["dear"]
    assert (fate.now, fate.then, fate.cost_now) == (None, "home", None)


def test_a_model_that_is_being_deleted_is_left_out() -> None:
    hub = served("home")
    metadata = hub.models["chat"].metadata.model_copy(update={"deletion_timestamp": hub.now})
    hub.models["chat"] = hub.models["chat"].model_copy(update={"metadata": metadata})

    assert replay(snapshot_of(hub)) == ()


UNDECIDED: dict[str, tuple[dict[str, Any], str]] = {
    "its card is not there": ({"model": "nobody"}, "nobody"),
    "its data is not there": ({"data": [{"name": "records"}]}, "records"),
    "its weights are to be fetched": ({"source": {"uri": "hf://a/b/c.gguf"}}, "fetched"),
    "they need a Secret, which is taken to be there": (
        {"source": {"uri": "hf://a/b/c.gguf", "secretRef": {"name": "mine"}}},
        "fetched",
    ),
}


@pytest.mark.parametrize(("fields", "why"), UNDECIDED.values(), ids=UNDECIDED)
def test_of_which_nothing_can_be_decided_stays_and_says_why(
    fields: dict[str, Any], why: str
) -> None:
    hub = served("home").ask(**fields)

    (found,) = replay(snapshot_of(hub))

    assert (found.clusters, found.decision, found.told("USD")) == (("home",), None, None)
    assert why in found.why_not
    fate = fates(hub)["chat"]
    assert (fate.then, fate.why, fate.cost_then) == ("home", found.why_not, None)


def test_a_gated_card_is_taken_to_have_its_secret() -> None:
    hub = FakeHub().join(priced("home", "1")).ask()
    gated = catalog(CardBuilder(license=GATED))

    (found,) = replay(snapshot_of(hub, catalog=gated))

    assert found.clusters == ("home",)


def test_devices_become_dearer_with_their_cluster() -> None:
    hub = served("home")
    hub.views["home"] = view(gpu_node(), name="home")

    dear = fates(hub, factors={"home": 3.0})["chat"]

    assert dear.cost_now is not None
    assert dear.cost_then is not None
    assert dear.cost_then.compute == pytest.approx(3 * dear.cost_now.compute)


def test_a_cluster_that_was_not_seen_takes_nothing_new() -> None:
    hub = served("home", "cloud")
    del hub.views["cloud"]

    fate = fates(hub, lost=frozenset({"home"}), factors={"cloud": 2.0})["chat"]

    assert fate.then is None
    assert "cloud (StaleFacts)" in fate.why


def test_a_changed_spec_of_a_copy_that_stays_takes_no_room_twice() -> None:
    hub = served("home").ask(scaling={"maxReplicas": 2})

    (found,) = replay(snapshot_of(hub))

    assert found.there == found.clusters == ("home",)
