"""With a store for Ray's state, models go on answering while their head is made anew."""

import time
from collections.abc import Iterator

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.installation import LIGHT, Installed, Team
from support.pool_pods import kill, pool_pods, the_pod
from support.ray_store import with_store

pytestmark = [pytest.mark.e2e, pytest.mark.faults]


@pytest.fixture(scope="module")
def team(operator: Installed, store_image: str) -> Iterator[Team]:
    """A namespace with a model that is kept awake, in a pool with a store."""
    with with_store(operator, store_image):
        made = operator.new_team()
        made.apply_model("chat", **LIGHT, scaling={"minReplicas": 1, "maxReplicas": 1})
        made.wait_ready("chat")
        yield made
        operator.remove_team(made)


def test_models_answer_while_their_head_is_made_anew(operator: Installed, team: Team) -> None:
    (worker,) = pool_pods(team, "worker")
    head = the_pod(team, "head")
    with counting(operator, team, ["chat"], clients=8, timeout=60) as client:
        client.wait_for_answers(8)
        lost = time.time()
        kill(team, head)
        wait_until(lambda: _heads_ready(team, head.uid), "another head is ready", within=120)
        back = time.time()
        client.wait_for_answers(16)
        asked = client.stop()
    meanwhile = [one for one in asked if lost < one.start < back]
    tell(f"the head was another one after {back - lost:.1f} s; in all", asked)
    tell("of those that began meanwhile", meanwhile)

    assert failed(asked) == [], report(asked)
    assert len(meanwhile) >= 8, report(asked)
    assert [pod.uid for pod in pool_pods(team, "worker")] == [worker.uid]
    team.wait_ready("chat", within=120)


def _heads_ready(team: Team, lost: str) -> bool:
    heads = team.cluster.get("-n", team.namespace, "pods", "-l", "ray.io/node-type=head")["items"]
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for head in heads
        if head["metadata"]["uid"] != lost
        for one in head["status"].get("conditions", ())
    )
