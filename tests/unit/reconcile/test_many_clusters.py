"""Where a model's copies are among many clusters, and how they move."""

import pytest

from builders.fake_hub import FakeHub, law, priced, served
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.names import ANNOTATION_STANDS_IN_FOR
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import CopyState
from smallmodel_operator.placement.choice.facts import Link

HOUR = 3600.0
AWAY = [{"key": "away"}]


def test_a_model_goes_where_it_costs_least_and_stays_there() -> None:
    hub = served("home", "cloud")

    assert hub.where() == ["home"]
    assert hub.said(ConditionType.READY)[0] == "True"
    assert hub.wait(HOUR).made == [("chat", "home")]


def test_a_cheaper_cluster_gets_a_second_copy_and_the_first_goes_once_that_answers() -> None:
    hub = served("home").wait(HOUR)
    hub.join(priced("cheap", "0.1"))
    hub.broken.add("cheap")

    hub.wait(240)
    assert hub.where() == ["cheap", "home"], "it has not answered yet"
    assert hub.said(ConditionType.READY)[0] == "True"
    assert hub.states() == {"cheap": CopyState.STARTING, "home": CopyState.SERVING}

    hub.broken.clear()
    hub.settle()
    assert hub.where() == ["cheap", "home"], "gateways turn from it first"
    hub.drain()
    assert hub.where() == ["cheap"]
    assert hub.dropped == [("chat", "home")]
    assert hub.said(ConditionType.READY)[0] == "True"
    assert hub.states() == {"cheap": CopyState.SERVING}


def test_a_move_needs_three_looks_that_are_a_minute_apart() -> None:
    hub = served("home").wait(HOUR)
    hub.join(priced("cheap", "0.1"))

    hub.settle(passes=20)
    assert hub.where() == ["home"], "many looks within a moment are one"
    challenge = hub.models["chat"].status.decision
    assert challenge is not None
    assert challenge.challenge is not None
    assert (challenge.challenge.challenger, challenge.challenge.count) == ("cheap", 1)
    hub.wait(60)
    assert hub.where() == ["home"]
    hub.wait(60)
    assert "cheap" in hub.where()


def test_a_new_copy_stays_half_an_hour_at_least() -> None:
    hub = served("home")
    hub.join(priced("cheap", "0.1"))

    assert hub.wait(1700).where() == ["home"]
    assert "stays 1800 s at least" in hub.candidate("cheap").message
    assert hub.wait(400).where() == ["cheap"]


def test_of_several_copies_one_moves_at_a_time() -> None:
    hub = served("a", "b", placement={"copies": 2}).wait(HOUR)
    assert hub.where() == ["a", "b"]
    hub.join(priced("c", "0.1"), priced("d", "0.2"))
    hub.broken |= {"c", "d"}

    hub.wait(300)
    assert hub.where() == ["a", "b", "c"]
    hub.broken.clear()
    hub.wait(HOUR)
    assert hub.where() == ["c", "d"]
    assert hub.made[2:] == [("chat", "c"), ("chat", "d")]


def test_a_price_that_falls_again_takes_a_move_back_before_anything_was_lost() -> None:
    hub = served("home").wait(HOUR)
    hub.join(priced("cheap", "0.1"))
    hub.broken.add("cheap")
    hub.wait(180)
    assert hub.where() == ["cheap", "home"]

    hub.join(priced("cheap", "9"))
    hub.settle()

    assert hub.where() == ["home"]
    assert hub.dropped == [("chat", "cheap")]


@pytest.mark.parametrize("link", [Link.UNREACHABLE, Link.CREDENTIAL_ERROR, Link.DEGRADED])
def test_a_cut_moves_nothing_however_long_it_is(link: Link) -> None:
    hub = served("home", "cloud")
    hub.cut("home", link=link).wait(2 * HOUR)

    assert hub.made == [("chat", "home")]
    assert hub.where() == ["home"]
    assert hub.said(ConditionType.READY)[0] == "True"


def test_a_copy_on_a_cluster_that_cannot_be_reached_is_said_to_be_what_it_was() -> None:
    hub = served("home", "cloud")

    hub.cut("home").settle()

    assert hub.states() == {"home": CopyState.UNREACHABLE}
    assert hub.candidate("home").reason == "Held"


def test_a_spec_that_changes_while_its_cluster_is_cut_off_waits_for_it() -> None:
    hub = served("home", "cloud")
    hub.cut("home").ask(scaling={"maxReplicas": 2}).settle()

    assert hub.where() == ["home"]
    assert hub.said(ConditionType.PLACED)[:2] == ("False", Reason.UNREACHABLE)
    hub.mend("home").settle()
    assert hub.said(ConditionType.READY)[0] == "True"
    assert hub.copies()[0].spec.model.generation == 2


def test_a_substitute_is_made_beside_a_copy_that_is_cut_off_and_given_back() -> None:
    hub = served("home", "cloud", placement={"whenUnreachable": "Substitute"})

    hub.cut("home").wait(300)
    assert hub.where() == ["home"], "not for a cut of five minutes"
    hub.wait(120)
    assert hub.where() == ["cloud", "home"]
    assert hub.candidate("cloud").reason == "StandsIn"
    substitute = hub.copies()[0].metadata.annotations
    assert substitute[ANNOTATION_STANDS_IN_FOR] == "home"
    hub.wait(HOUR)
    assert hub.where() == ["cloud", "home"]
    hub.ask(scaling={"maxReplicas": 2}, placement={"whenUnreachable": "Substitute"}).settle()
    assert hub.copies()[0].metadata.annotations[ANNOTATION_STANDS_IN_FOR] == "home"

    hub.mend("home").settle().drain()
    assert hub.where() == ["home"]
    assert hub.dropped == [("chat", "cloud")]


def test_a_substitute_is_the_copy_once_the_first_may_not_be_where_it_is() -> None:
    hub = served("home", "cloud", placement={"whenUnreachable": "Substitute"})
    hub.cut("home").wait(600)

    hub.join(priced("home", "1", "US"))
    hub.sources = (law("DE"),)
    hub.settle().mend("home").wait(HOUR)

    assert hub.where() == ["cloud"]
    assert hub.made == [("chat", "home"), ("chat", "cloud")]


def test_a_cluster_that_nobody_declares_any_more_keeps_its_copy() -> None:
    hub = served("home", "cloud")
    del hub.clusters["home"]
    hub.sources = (law("DE"),)

    hub.wait(HOUR)

    assert hub.where() == ["home"]
    assert hub.candidate("home").reason == "Held"
    assert "There is no ModelCluster home" in hub.candidate("home").message


def test_a_taint_moves_a_copy_once_another_answers() -> None:
    hub = served("home", "cloud")
    hub.broken.add("cloud")
    hub.join(priced("home", "1", taints=AWAY)).settle()

    assert hub.where() == ["cloud", "home"]
    hub.broken.clear()
    assert hub.settle().drain().where() == ["cloud"]


def test_copies_are_on_clusters_of_their_own_and_what_lacks_is_said() -> None:
    hub = served("a", "b", placement={"copies": 3})

    assert hub.where() == ["a", "b"]
    status, reason, message = hub.said(ConditionType.PLACED)
    assert (status, reason) == ("False", Reason.COPIES_LACKING)
    assert message.startswith("2 of 3 copies are placed, each on its own cluster. There is no")
    assert hub.said(ConditionType.AVAILABLE)[0] == "True"
    assert hub.said(ConditionType.STALLED)[0] == "False"
    hub.join(priced("c", "9")).settle()
    assert hub.where() == ["a", "b", "c"]
    assert hub.models["chat"].status.replicas == 3
    assert hub.said(ConditionType.READY)[0] == "True"


def test_copies_that_lack_say_what_the_nearest_cluster_lacks() -> None:
    hub = FakeHub(sources=(law("DE"),)).join(priced("a", "1"), priced("b", "2", "US"))

    hub.ask(placement={"copies": 2}).settle()

    assert "b is in US" in hub.said(ConditionType.PLACED)[2]


def test_fewer_copies_end_the_dearest() -> None:
    hub = served("a", "b", "c", placement={"copies": 3})

    hub.ask(placement={"copies": 1}).settle().drain()

    assert hub.where() == ["a"]


def test_a_copy_that_never_answers_is_tried_elsewhere_and_there_again_later() -> None:
    hub = FakeHub(broken={"home"}).join(priced("home", "1"), priced("cloud", "2"))
    hub.ask(placement={"progressDeadline": "5m"}).settle()
    assert hub.where() == ["home"]

    hub.wait(240)
    assert hub.where() == ["home"]
    hub.wait(120)
    assert hub.where() == ["cloud"]
    assert hub.dropped == [("chat", "home")]
    candidate = hub.candidate("home")
    assert candidate.reason == Reason.FAILED_HERE
    assert "within spec.placement.progressDeadline, once" in candidate.message

    hub.broken.clear()
    hub.wait(600)
    assert hub.candidate("home").reason != Reason.FAILED_HERE, "it may be tried again"


def test_a_copy_that_is_heard_of_by_files_alone_is_never_late() -> None:
    hub = FakeHub().join(priced("home", "1"), priced("cloud", "2")).carry("home")
    hub.ask(placement={"progressDeadline": "5m"}).settle().wait(2 * HOUR)

    assert (hub.where(), hub.dropped) == (["home"], [])
    decision = hub.models["chat"].status.decision
    assert decision is not None
    assert decision.failures is None


def test_a_copy_that_never_answers_and_has_nowhere_to_go_stays() -> None:
    hub = FakeHub(broken={"home"}).join(priced("home", "1"), priced("cloud", "2", "US"))
    hub.sources = (law("DE"),)
    hub.ask().settle().wait(2 * HOUR)

    assert (hub.where(), hub.dropped) == (["home"], [])
    failures = hub.models["chat"].status.decision
    assert failures is not None
    assert failures.failures is not None
    assert failures.failures[0].attempts > 1
    hub.broken.clear()
    hub.wait(60)
    hub.wait(60)
    assert hub.models["chat"].status.decision is not None
    assert hub.models["chat"].status.decision.failures is None


def test_a_changed_spec_is_tried_everywhere_at_once() -> None:
    hub = FakeHub(broken={"home", "cloud"}).join(priced("home", "1"), priced("cloud", "2"))
    hub.ask().settle().wait(700)
    assert hub.where() == ["cloud"]

    hub.ask(scaling={"maxReplicas": 2}).settle()

    assert hub.models["chat"].status.decision is not None
    assert hub.models["chat"].status.decision.failures is None


def test_a_copy_that_is_being_taken_down_is_waited_for_where_it_is() -> None:
    hub = served("home", "cloud")
    hub.join(priced("home", "1", taints=AWAY)).settle().drain()
    assert hub.where() == ["cloud"]
    hub.cut("cloud")
    hub.join(priced("home", "1"), priced("cloud", "2", "US"))
    hub.sources = (law("DE"),)
    hub.settle()
    assert hub.where() == ["home"]
    hub.sources, hub.clusters["home"] = (law("US"),), priced("home", "1", "DE")

    hub.settle()

    assert hub.where() == []
    assert hub.candidate("cloud").reason in {"Unreachable", Reason.LEAVING}


def test_of_many_clusters_that_cannot_serve_a_model_the_nearest_miss_is_told() -> None:
    hub = FakeHub(sources=(law("DE"),))
    hub.join(*(priced(f"us-{number}", "1", "US") for number in range(5)), priced("home", "1"))
    del hub.views["home"]

    hub.ask().settle()

    status, reason, message = hub.said(ConditionType.PLACED)
    assert (status, reason) == ("False", Reason.STALE_FACTS)
    assert message.startswith("0/6 selected; 5 ResidencyForbidden, 1 StaleFacts. The nearest: The")


def test_one_copy_of_several_that_has_an_older_decision_is_not_counted() -> None:
    hub = served("a", "b", placement={"copies": 2})
    hub.cut("b").ask(placement={"copies": 2}, scaling={"maxReplicas": 2})
    hub.look()
    hub.placements["chat", "a"] = hub.placements["chat", "a"]
    hub.mend("b").look()
    hub.look()

    status, _, message = hub.said(ConditionType.VERIFIED)
    assert status == "Unknown"
    assert message.endswith("It has not taken the last decision yet")
    hub.settle()
    assert hub.said(ConditionType.VERIFIED)[0] == "True"


def test_copies_stay_while_too_many_would_be_taken_down_and_that_is_said() -> None:
    hub = served("a", "b", placement={"copies": 2})
    hub.ask(placement={"copies": 1})
    # The other copy has to answer by the new decision first.
    hub.look(drops_held=True)
    hub.serve()

    orders = hub.look(drops_held=True, due=True)

    assert orders.drops == ()
    assert [one.spec.cluster for one in orders.unwanted] == ["b"]
    status, reason, message = hub.said(ConditionType.PLACED)
    assert (status, reason) == ("True", Reason.DROPS_HELD)
    assert "kubectl annotate modelcluster b smallmodel.dev/drops-until=" in message
    assert hub.settle().drain().where() == ["a"]


def test_a_copy_that_failed_is_said_to_have_failed() -> None:
    hub = served("home")
    one = hub.copies()[0]
    seen = one.status.deployment
    assert seen is not None
    failed = seen.model_copy(update={"failed": True})
    status = one.status.model_copy(update={"deployment": failed})
    hub.placements["chat", "home"] = one.model_copy(update={"status": status})

    hub.look()

    assert hub.states() == {"home": CopyState.FAILED}


def test_without_any_cluster_a_model_waits_for_one() -> None:
    hub = FakeHub().join(priced("home", "1")).ask()
    hub.clusters.clear()

    hub.look()

    assert hub.said(ConditionType.PLACED)[:2] == ("False", Reason.CLUSTER_NOT_OBSERVED)
