"""A pool of twenty models, of which one is broken and one is kept awake: faults and an upgrade."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.running import Cluster
from cluster.waiting import wait_until
from support.broken_model import broken_source
from support.counting import counting, failed, report, tell
from support.installation import LIGHT, Installed, Team
from support.pool_pods import is_replaced, kill, pool_pods, the_pod

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(1800)]

SMALL: Final = {**LIGHT, "resources": {"cpu": "300m"}}
"""A node of two cores has room for a second pool beside the first."""
IDLE: Final = tuple(f"idle-{number:02}" for number in range(18))
NEXT_IMAGE: Final = "localhost/smallmodel-serving-cpu:next"
_SETTLED_SECONDS: Final = 600.0


@pytest.fixture(scope="module")
def one_worker(operator: Installed) -> Iterator[Installed]:
    """The operator, with pools of one worker, so that two of them have room."""
    operator.install(pools={"workersMax": 1})
    yield operator
    operator.install()


@pytest.fixture(scope="module")
def team(one_worker: Installed, bundled_gguf: Path) -> Iterator[Team]:
    """The namespace: `awake`, `broken` and eighteen that are parked."""
    made = one_worker.new_team()
    made.apply_model("awake", **SMALL, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("awake")
    source = broken_source(one_worker, bundled_gguf)
    made.apply_model("broken", source=source, resources={"cpu": "300m"})
    for name in IDLE:
        made.apply_model(name, **SMALL, scaling={"idleTimeout": "2s", "parkAfter": "4s"})
    _wait_settled(made)
    yield made
    one_worker.remove_team(made)


def test_all_of_them_share_one_pool(team: Team) -> None:
    (pool,) = team.cluster.get("-n", team.namespace, "rayservices")["items"]

    assert _applications(pool) == {"_index", "awake", *IDLE}
    assert len(pool_pods(team, "worker")) == 1


def test_the_idle_ones_stay_idle_when_the_head_is_lost(one_worker: Installed, team: Team) -> None:
    head = the_pod(team, "head")
    with counting(one_worker, team, ["awake"], clients=4, timeout=120) as client:
        client.wait_for_answers(4)
        kill(team, head)
        wait_until(lambda: is_replaced(team, head, "head"), "another head is there", within=60)
        client.wait_for_answers(8, within=150)
        woken = _woken_within(team, seconds=30)
        asked = client.stop()
    tell("to the one that is awake", asked)

    assert failed(asked) == [], report(asked)
    assert woken == set()
    _wait_settled(team)


def test_an_upgrade_of_the_image_moves_all_that_work(
    one_worker: Installed, native_cluster: Cluster, team: Team
) -> None:
    (before,) = team.names("rayservices")
    native_cluster.tag_image(one_worker.values["images"]["servingCpu"], NEXT_IMAGE)
    with counting(one_worker, team, ["awake"], clients=2, seconds=1200) as client:
        client.wait_for_answers(2)
        began = time.monotonic()
        one_worker.install(images={"servingCpu": NEXT_IMAGE}, pools={"workersMax": 1})
        wait_until(
            lambda: before not in team.names("rayservices"),
            f"{before} is gone",
            within=900,
            explain=lambda: team.kubectl("get", "sm,rayservices,pods"),
        )
        took = time.monotonic() - began
        _wait_settled(team)
        asked = client.stop()
    tell(f"all have moved after {took:.0f} s; to the one that is awake", asked)

    assert failed(asked) == [], report(asked)
    (pool,) = team.cluster.get("-n", team.namespace, "rayservices")["items"]
    assert _applications(pool) == {"_index", "awake", *IDLE}


def _wait_settled(team: Team) -> None:
    """Wait until every good model is Ready, the idle ones parked, and the broken one left out."""
    wait_until(
        lambda: _unsettled(team) == {},
        "every model is as it should be",
        within=_SETTLED_SECONDS,
        explain=lambda: str(_unsettled(team)),
    )


def _unsettled(team: Team) -> dict[str, str]:
    """Return what the models say that are not yet as they should be."""
    wanted = {"awake": "Awake", "broken": "Quarantined"} | dict.fromkeys(IDLE, "Parked")
    said = _reasons(team)
    return {name: said[name] for name, reason in wanted.items() if said[name] != reason}


def _woken_within(team: Team, seconds: float) -> set[str]:
    """Return which idle models have a replica at any time of the next seconds."""
    ends, woken = time.monotonic() + seconds, set[str]()
    while time.monotonic() < ends:
        listed = team.cluster.get("-n", team.namespace, "sm")["items"]
        woken |= {
            one["metadata"]["name"]
            for one in listed
            if one["metadata"]["name"] in IDLE and one["status"]["replicas"] > 0
        }
        time.sleep(1)
    return woken


def _reasons(team: Team) -> dict[str, str]:
    """Return the reason of each model's Ready; of the broken one's Stalled."""
    found = {}
    for model in team.cluster.get("-n", team.namespace, "sm")["items"]:
        name = model["metadata"]["name"]
        kind = "Stalled" if name == "broken" else "Ready"
        conditions: list[dict[str, Any]] = model.get("status", {}).get("conditions", [])
        found[name] = next((one["reason"] for one in conditions if one["type"] == kind), "")
    return found


def _applications(pool: dict[str, Any]) -> set[str]:
    return {one["name"] for one in yaml.safe_load(pool["spec"]["serveConfigV2"])["applications"]}
