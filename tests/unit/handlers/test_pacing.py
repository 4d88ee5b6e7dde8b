"""What the decide loop counts over all models."""

import pytest

from builders.clusters import declared
from builders.fake_clock import FakeClock
from builders.fake_hub import START, FakeHub, priced
from builders.placements import model_placement
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import ANNOTATION_DROPS_UNTIL
from smallmodel_operator.handlers.pacing import Pacing
from smallmodel_operator.handlers.stores import HubStores

KEY = ("team", "chat")
LATER = "2026-11-24T13:00:00Z"


def pacing(until: str | None = None) -> tuple[Pacing, FakeClock]:
    clock, stores = FakeClock(), HubStores(hub_id="hub")
    local = declared()
    if until is not None:
        annotations = {ANNOTATION_DROPS_UNTIL: until}
        metadata = local.metadata.model_copy(update={"annotations": annotations})
        local = local.model_copy(update={"metadata": metadata})
    stores.clusters["local"] = local
    return Pacing(stores, lambda: START, clock), clock


def copies(count: int) -> tuple[ModelPlacement, ...]:
    return (model_placement(),) * count


def test_a_model_is_looked_at_again_after_a_minute_and_when_something_changes() -> None:
    paced, clock = pacing()
    hub = FakeHub().join(priced("home", "1"))
    assert paced.is_due(KEY, hub.around())
    paced.looked(KEY, hub.around())
    assert not paced.is_due(KEY, hub.around())
    assert paced.is_due(KEY, None)
    assert paced.is_due(KEY, hub.join(priced("home", "2")).around())

    paced.looked(KEY, hub.around())
    clock.turn(60)
    assert paced.is_due(KEY, hub.around())
    paced.looked(KEY, None)
    paced.looked(KEY, hub.around())
    paced.forget(KEY)
    assert paced.is_due(KEY, hub.around())
    paced.looked(KEY, hub.around())
    paced.look_again(KEY)
    assert paced.is_due(KEY, hub.around())


def test_moves_pause_once_as_many_began_as_may() -> None:
    paced, clock = pacing()
    paced.moved(0)
    paced.moved(9)
    assert paced.pause() is None
    paced.moved(1)
    assert paced.pause() is not None
    clock.turn(60)
    assert paced.pause() is None


def test_many_copies_stay_until_nobody_asks_or_somebody_allows_it() -> None:
    paced, clock = pacing()
    assert paced.may_drop(KEY, copies(3))
    assert not paced.may_drop(("team", "other"), copies(1))
    clock.turn(70)
    assert not paced.may_drop(KEY, copies(1)), "it is held as long as one of them is"
    assert paced.may_drop(("team", "other"), ())
    assert paced.may_drop(KEY, ())
    assert paced.may_drop(KEY, copies(1))


@pytest.mark.parametrize(
    ("until", "allowed"),
    [(LATER, True), (START, False), ("tomorrow", False), ("2026-11-24T13:00:00", False)],
)
def test_an_administrator_allows_it_until_a_time_that_can_be_read(
    until: str, allowed: bool
) -> None:
    paced, _ = pacing(until)

    assert paced.may_drop(KEY, copies(9)) is allowed


def test_a_cluster_that_is_not_declared_allows_nothing() -> None:
    paced, _ = pacing(LATER)
    stray = model_placement()
    spec = stray.spec.model_copy(update={"cluster": "gone"})

    assert not paced.may_drop(KEY, (stray.model_copy(update={"spec": spec}),) * 9)
