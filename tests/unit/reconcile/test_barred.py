"""A pool that nobody may ask: what is said, what goes on, and how it heals."""

from dataclasses import replace

import pytest

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from smallmodel_operator.api.reasons import Reason

WHY = "the hub may not forward ports of pods; run `slm cluster join munich` again"


def bar(fake: FakeNamespace, why: str = WHY) -> None:
    """Have nobody be allowed to ask the pools that are there now."""
    fake.silent.update(fake.services)
    fake.sight["pools"] = tuple(replace(pool, barred=why) for pool in fake.see().pools)


def unbar(fake: FakeNamespace) -> None:
    fake.silent.clear()
    del fake.sight["pools"]


@pytest.mark.parametrize("is_new", [True, False])
def test_its_models_say_which_right_is_missing_and_go_on_once_it_is_there(is_new: bool) -> None:
    fake = FakeNamespace()
    if is_new:
        fake.place("chat")
        fake.work()
        fake.silent.update(fake.services)
        fake.settle(passes=3)
    else:
        fake = served_by("chat")
    bar(fake)
    orders = fake.decide()

    (told,) = orders.statuses.values()
    assert told.problem is not None
    assert told.problem.reason is Reason.FORBIDDEN
    assert told.problem.message == f"Nothing is known of the models in the pool {fake.pool}: {WHY}"
    assert not orders.delete
    assert not orders.probes
    conditions = {one.type: (one.status, one.reason) for one in told.conditions}
    assert conditions["Deployed"] == ("False" if is_new else "True", Reason.FORBIDDEN)
    assert conditions["Ready"][0] == ("False" if is_new else "True")

    unbar(fake)
    fake.settle()
    assert is_verified(fake, "chat")
    assert fake.placements["chat"].status.problem is None


def test_however_much_is_said_of_it_fits_into_the_status() -> None:
    fake = served_by("chat")
    bar(fake, "no " * 1000)
    (told,) = fake.decide().statuses.values()
    assert told.problem is not None
    assert len(told.problem.message) == 1024
