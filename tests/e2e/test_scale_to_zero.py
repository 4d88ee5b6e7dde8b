"""An idle model gives its memory back, then its replica, and the next request wakes it."""

import time
from collections.abc import Iterator

import pytest
from openai import OpenAI

from cluster.waiting import wait_until
from support.installation import MODEL, SYSTEM, Installed, Team
from support.port_forward import port_forward

pytestmark = pytest.mark.e2e

# The operator looks every ten seconds: it must not miss the sleep in between.
QUICK = {"idleTimeout": "3s", "parkAfter": "25s"}
SLOW = {"idleTimeout": "2m", "parkAfter": "5m", "maxReplicas": 2}
WAKE_SECONDS = 60.0


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """One namespace, with one model that parks soon."""
    made = operator.new_team()
    made.apply_model("chat", model=MODEL, scaling=QUICK)
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)


@pytest.fixture
def parked(team: Team) -> Team:
    """The model, with no replica."""
    team.wait_condition("chat", "Ready", "True", reason="Parked", within=120)
    return team


def test_it_sleeps_and_stays_ready(team: Team) -> None:
    team.wait_condition("chat", "Ready", "True", reason="Asleep", within=60)

    assert team.model("chat")["status"]["replicas"] == 1


def test_it_parks_and_stays_ready(parked: Team) -> None:
    model = parked.model("chat")

    assert model["status"]["replicas"] == 0
    assert parked.condition("chat", "Available") == parked.condition("chat", "Ready")


def test_an_edit_of_its_bounds_wakes_nothing(parked: Team) -> None:
    parked.apply_model("chat", model=MODEL, scaling=SLOW)
    generation = parked.model("chat")["metadata"]["generation"]
    config = '"max_replicas":2'
    wait_until(
        lambda: config in str(parked.cluster.get("-n", parked.namespace, "rayservices")),
        "the pool has the new bound",
        within=30,
    )
    wait_until(
        lambda: parked.model("chat")["status"]["observedGeneration"] == generation,
        "the status speaks of the edit",
        within=30,
    )
    started = time.monotonic()
    # KubeRay hands a changed config on within two seconds.
    while time.monotonic() - started < 8:
        status = parked.model("chat")["status"]
        assert status["replicas"] == 0
        time.sleep(0.5)
    ready = parked.condition("chat", "Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.generation) == ("True", "Parked", generation)


def test_the_next_request_is_held_and_answered(parked: Team) -> None:
    with port_forward(parked.cluster, SYSTEM, "deploy/smallmodel-gateway", 8080) as address:
        client = OpenAI(
            base_url=f"http://{address}/{parked.namespace}/v1",
            api_key="unused",
            max_retries=0,
            timeout=WAKE_SECONDS,
        )
        answer = client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Hello!"}], max_tokens=4
        )

    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4
    parked.wait_condition("chat", "Available", "True", reason="Awake", within=30)
