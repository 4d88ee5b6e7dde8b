"""A copy that moved away is left by gateways first, and taken down half a minute later."""

from builders.fake_hub import FakeHub, priced, served
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE
from smallmodel_operator.api.where import ClusterTaint
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN

AWAY = (ClusterTaint.model_validate({"key": "drain", "effect": "NoSelect"}),)


def moving() -> FakeHub:
    """A model that answers in the cloud by now, and is still at home."""
    hub = served("home", "cloud")
    return hub.join(priced("home", "1", taints=AWAY)).settle()


def marks(hub: FakeHub) -> dict[str, str]:
    return {
        one.spec.cluster: one.metadata.annotations[ANNOTATION_LEAVING_SINCE]
        for one in hub.copies()
        if ANNOTATION_LEAVING_SINCE in one.metadata.annotations
    }


def test_the_old_copy_is_marked_once_the_new_one_answers_and_goes_after_the_drain() -> None:
    hub = moving()

    assert marks(hub) == {"home": hub.now}
    assert hub.dropped == []
    assert hub.look().again == CLUSTER_DRAIN
    hub.wait(CLUSTER_DRAIN - 1)
    assert hub.look().again == 1.0
    assert hub.dropped == []
    hub.wait(1)
    assert hub.dropped == [("chat", "home")]


def test_a_drop_is_counted_once_however_often_it_is_looked_at() -> None:
    hub = served("home", "cloud")
    hub.join(priced("home", "1", taints=AWAY))
    counted = []
    for _ in range(6):
        counted += [one.spec.cluster for one in hub.look().unwanted]
        hub.serve()
    hub.drain()

    assert counted == ["home"]
    assert hub.dropped == [("chat", "home")]


def test_a_copy_that_is_wanted_again_loses_its_mark() -> None:
    hub = moving()
    hub.join(priced("home", "1"), priced("cloud", "1", taints=AWAY)).settle()

    assert list(marks(hub)) == ["cloud"]
    assert hub.drain().where() == ["home"]


def test_a_copy_that_never_answered_goes_at_once() -> None:
    hub = served("home", "cloud")
    hub.broken.add("cloud")
    hub.join(priced("home", "1", taints=AWAY)).settle()
    assert hub.where() == ["cloud", "home"]

    hub.join(priced("home", "1"), priced("cloud", "1", taints=AWAY)).settle()

    assert hub.where() == ["home"]
    assert marks(hub) == {}
