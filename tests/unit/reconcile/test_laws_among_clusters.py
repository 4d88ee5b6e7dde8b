"""What laws of data do to copies among many clusters."""

from builders.fake_hub import FakeHub, law, priced, served
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import CopyState

HOUR = 3600.0
AWAY = [{"key": "away"}]


def test_a_law_keeps_a_model_home_though_another_cluster_is_cheaper() -> None:
    hub = FakeHub(sources=(law("DE"),)).join(priced("home", "2"), priced("cloud", "0.1", "US"))

    hub.ask().settle()

    assert hub.where() == ["home"]
    assert hub.candidate("cloud").reason == Reason.RESIDENCY_FORBIDDEN


def test_a_new_law_ends_a_copy_at_once_and_another_is_made_where_it_may_be() -> None:
    hub = served("cloud", "home")
    hub.join(priced("cloud", "1", "US"))
    hub.sources = (law("DE"),)

    orders = hub.look()
    assert [one.spec.cluster for one in orders.drops] == ["cloud"]
    assert not orders.placements
    assert hub.said(ConditionType.PLACED)[:2] == ("False", Reason.RESIDENCY_FORBIDDEN)

    hub.settle()
    assert hub.where() == ["home"]
    assert hub.said(ConditionType.READY)[0] == "True"


def test_a_new_law_ends_a_copy_that_has_nowhere_to_go() -> None:
    hub = served("cloud", "home")
    hub.sources = (law("FR"),)

    hub.settle()

    assert hub.where() == []
    assert hub.said(ConditionType.PLACED)[:2] == ("False", Reason.RESIDENCY_FORBIDDEN)


def test_one_of_two_copies_that_a_law_ends_leaves_the_other() -> None:
    hub = served("a", "b", placement={"copies": 2})
    hub.join(priced("b", "2", "US"))
    hub.sources = (law("DE"),)

    hub.look()

    assert hub.where() == ["a"]
    assert hub.said(ConditionType.AVAILABLE)[0] == "True"
    hub.settle()
    assert hub.said(ConditionType.PLACED)[:2] == ("False", Reason.COPIES_LACKING)


def test_a_law_with_grace_lets_a_copy_go_on_until_another_answers() -> None:
    hub = served("cloud", "home")
    hub.broken.add("home")
    hub.join(priced("cloud", "1", "US"))
    hub.sources = (law("DE", graceful="30m"),)

    hub.settle()
    assert hub.where() == ["cloud", "home"]
    assert hub.models["chat"].status.copies[0].forbidden_since == hub.now
    assert hub.look().again == 60.0
    hub.broken.clear()
    assert hub.settle().drain().where() == ["home"]


def test_a_law_with_grace_ends_a_copy_when_its_time_is_over() -> None:
    hub = served("cloud", "home")
    hub.broken.add("home")
    hub.join(priced("cloud", "1", "US"))
    hub.sources = (law("DE", graceful="90s"),)

    hub.settle()
    hub.wait(60)
    assert hub.where() == ["cloud", "home"]
    assert hub.look().again == 30.0
    hub.wait(30)
    assert hub.where() == ["home"]


def test_a_member_that_is_cut_off_from_the_law_is_said_to_be_unknown() -> None:
    hub = served("cloud", "home")
    hub.cut("cloud").join(priced("cloud", "1", "US"))
    hub.sources = (law("DE"),)

    hub.settle()

    assert hub.where() == ["home"]
    assert hub.states() == {"cloud": CopyState.RESIDENCY_UNKNOWN, "home": CopyState.SERVING}
    status, reason, message = hub.said(ConditionType.PLACED)
    assert (status, reason) == ("True", Reason.RESIDENCY_UNKNOWN)
    assert "ended the copy on cloud, which cannot be reached" in message
    hub.mend("cloud").settle()
    assert hub.said(ConditionType.PLACED)[1] == Reason.PLACED
    assert hub.states() == {"home": CopyState.SERVING}


def test_with_nowhere_to_go_a_member_that_is_cut_off_from_the_law_is_said_so_too() -> None:
    hub = served("cloud", "home")
    hub.cut("cloud")
    hub.sources = (law("FR"),)

    hub.look()

    assert hub.states() == {"cloud": CopyState.RESIDENCY_UNKNOWN}


def test_a_copy_is_told_the_laws_of_its_data_and_each_change_of_them() -> None:
    hub = served("home")
    assert hub.copies()[0].spec.residency is None

    hub.sources = (law("EU"), law("DE", "US", name="video"))
    hub.settle()

    residency = hub.copies()[0].spec.residency
    assert residency is not None
    assert residency.jurisdictions == ("DE",)
    assert hub.made == [("chat", "home")]
    hub.ask(scaling={"maxReplicas": 2}).settle()
    assert hub.copies()[0].spec.residency == residency
    hub.sources = ()
    loose = hub.copies()[0]
    metadata = loose.metadata.model_copy(update={"finalizers": ()})
    hub.placements["chat", "home"] = loose.model_copy(update={"metadata": metadata})
    hub.settle()
    assert hub.copies()[0].spec.residency is None
    assert hub.copies()[0].metadata.finalizers == (FINALIZER,)
