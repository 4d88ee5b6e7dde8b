"""A pool loses a worker, and its models come back by themselves."""

import time
from collections.abc import Iterator
from typing import Final

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.installation import LIGHT, Installed, Team
from support.pool_pods import evict, first_answer, is_gone, kill, the_pod

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

SMALL: Final = {**LIGHT, "resources": {"cpu": "500m"}}
"""A node of two cores has room for a second worker beside the first."""
KEPT: Final = {"minReplicas": 1, "maxReplicas": 1}

_CLIENT_TIMEOUT: Final = 90.0
_BACK_SECONDS: Final = 120.0
"""Three times what it may take on a machine of its own."""


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a model that is kept awake."""
    made = operator.new_team()
    made.apply_model("chat", **SMALL, scaling=KEPT)
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)


def test_a_worker_that_is_lost_takes_its_streams_along_and_nothing_else(
    operator: Installed, team: Team
) -> None:
    worker = the_pod(team, "worker")
    with counting(
        operator, team, ["chat"], clients=3, stream=True, max_tokens=200, timeout=_CLIENT_TIMEOUT
    ) as client:
        client.wait_for_answers(2)
        lost = time.time()
        kill(team, worker)
        client.wait_for_answers(3, within=_BACK_SECONDS)
        asked = client.stop()
    back = first_answer(asked, since=lost)
    tell(f"the first whole stream after the loss began {back.start - lost:.1f} s after it", asked)

    # Each had begun before the model was back, was told so, and was not left hanging.
    assert all(one.start < back.start + back.seconds for one in failed(asked)), report(asked)
    assert all(one.error for one in failed(asked)), report(asked)
    assert max(one.seconds for one in asked) < _CLIENT_TIMEOUT
    assert the_pod(team, "worker").uid != worker.uid
    team.wait_ready("chat", within=60)


def test_a_worker_that_is_drained_loses_nothing(operator: Installed, team: Team) -> None:
    worker = the_pod(team, "worker")
    with (
        counting(operator, team, ["chat"], clients=2) as plain,
        counting(operator, team, ["chat"], clients=2, stream=True, max_tokens=100) as streams,
    ):
        plain.wait_for_answers(1)
        streams.wait_for_answers(1)
        evict(team, worker)
        gone = wait_until(lambda: is_gone(team, worker), f"{worker.name} is gone", within=150)
        plain.wait_for_answers(3, within=_BACK_SECONDS)
        streams.wait_for_answers(1, within=_BACK_SECONDS)
        asked = plain.stop() + streams.stop()
    tell(f"the worker was gone after {gone:.1f} s", asked)

    assert failed(asked) == [], report(asked)
