"""A pool loses its head: whoever asks is held, and its models come back by themselves."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import pytest

from cluster.waiting import wait_until
from support.counting import answered, counting, failed, report, tell
from support.counting_client import Asked
from support.installation import LIGHT, Installed, Team
from support.pool_pods import Kind, PoolPod, is_replaced, kill, pool_pods, the_pod

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

_BACK_SECONDS: Final = 120.0
"""Three times what it may take on a machine of its own."""


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a model that is kept awake."""
    made = operator.new_team()
    made.apply_model("chat", **LIGHT, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)


def test_a_head_that_is_lost_fails_nobody_who_waits(operator: Installed, team: Team) -> None:
    wait_until(lambda: len(pool_pods(team, "worker")) == 1, "one worker is there", within=120)
    head, worker = the_pod(team, "head"), the_pod(team, "worker")
    with counting(operator, team, ["chat"], clients=8, timeout=_BACK_SECONDS) as client:
        client.wait_for_answers(8)
        lost = time.time()
        kill(team, head)
        _wait_for_another(team, head, "head")
        # A worker goes on for a while, and ends because no head answers it any more.
        _wait_for_another(team, worker, "worker")
        client.wait_for_answers(16, within=_BACK_SECONDS)
        asked = client.stop()
    tell(f"nobody was answered for {_silence(asked):.1f} s, in {time.time() - lost:.0f} s", asked)

    assert failed(asked) == [], report(asked)
    assert _silence(asked) < _BACK_SECONDS
    team.wait_ready("chat", within=120)


def _wait_for_another(team: Team, lost: PoolPod, kind: Kind) -> None:
    wait_until(
        lambda: is_replaced(team, lost, kind), f"another {kind} is there", within=_BACK_SECONDS
    )


def _silence(asked: Sequence[Asked]) -> float:
    """Return the longest time in which no answer came, in seconds."""
    ends = sorted(one.start + one.seconds for one in answered(asked))
    return max((after - before for before, after in pairwise(ends)), default=0.0)
