"""A pool of models, most of them idle and one broken, loses its head and gets another image."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.running import Cluster
from cluster.waiting import wait_until
from smallmodel_operator.api.serving import ENGINE_REPORT_SUFFIX
from support.broken_model import broken_source
from support.counting import CountingClient, answered, counting, failed, report
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

BUSY: Final = ("busy-1", "busy-2")
IDLE: Final = ("idle-1", "idle-2", "idle-3")
GOOD: Final = (*BUSY, *IDLE)
BROKEN: Final = "broken"
# So little is asked of the node that a second pool has room beside the first one.
RESOURCES: Final = {"cpu": "300m"}
SCALING: Final = {"idleTimeout": "5s", "parkAfter": "15s", "maxReplicas": 1}
NEXT_IMAGE: Final = "localhost/smallmodel-serving-cpu:next"

_BACK_SECONDS: Final = 120.0
_MOVED_SECONDS: Final = 360.0


@pytest.fixture(scope="module")
def team(operator: Installed, bundled_gguf: Path) -> Iterator[Team]:
    """A namespace with one pool; its good models have answered, and nobody asks them now."""
    made = operator.new_team()
    for name in GOOD:
        made.apply_model(name, **LIGHT, resources=RESOURCES, scaling=SCALING)
    made.apply_model(
        BROKEN,
        source=broken_source(operator, bundled_gguf),
        contextLength=LIGHT["contextLength"],
        resources=RESOURCES,
        scaling=SCALING | {"startTimeout": "30s"},
    )
    made.wait_ready(*GOOD)
    made.wait_condition(BROKEN, "Stalled", "True", reason="Quarantined", within=180)
    for name in GOOD:
        made.wait_condition(name, "Ready", "True", reason="Parked")
    yield made
    operator.remove_team(made)
    # The image that the other tests have.
    operator.install()


@pytest.fixture
def next_image(operator: Installed, native_cluster: Cluster) -> str:
    """Another serving image, which the nodes have."""
    native_cluster.tag_image(operator.values["images"]["servingCpu"], NEXT_IMAGE)
    return NEXT_IMAGE


def test_a_killed_head_wakes_no_idle_model(operator: Installed, team: Team) -> None:
    woken: set[str] = set()

    with counting(operator, team, BUSY, seconds=300) as client:
        client.wait_for_answers(len(BUSY), within=_BACK_SECONDS)
        (head,), (worker,) = _pods(team, "head"), _pods(team, "worker")
        killed = time.time()
        team.kubectl("delete", "pod", head, "--grace-period=0", "--force")
        # Without its head, the worker answers for a while, and then ends.
        wait_until(
            lambda: worker not in _pods(team, "worker"), "the worker is gone", within=_BACK_SECONDS
        )
        since = time.time()

        def answers_again() -> bool:
            woken.update(_with_an_engine(team))
            return _answered_by(client, since) == set(BUSY)

        wait_until(
            answers_again,
            "those that are asked answer again",
            within=_BACK_SECONDS,
            explain=lambda: report(client.asked()),
        )
        client.wait_for_answers(10)
        woken.update(_with_an_engine(team))
        asked = client.stop()

    # What was with the head's proxy died with it; all others are held.
    assert [one for one in failed(asked) if one.start > killed] == [], report(asked)
    assert woken - {BROKEN} == set(BUSY)
    for name in IDLE:
        team.wait_condition(name, "Ready", "True", reason="Parked", within=60)


def test_another_image_is_taken_over_model_by_model(
    operator: Installed, team: Team, next_image: str
) -> None:
    (old,) = team.names("rayservices")
    at_once: set[str] = set()
    most = 0

    def is_left() -> bool:
        nonlocal most
        moving = _moving(team)
        at_once.update(moving)
        most = max(most, len(moving))
        return old not in team.names("rayservices")

    with counting(operator, team, BUSY, seconds=600) as client:
        client.wait_for_answers(len(BUSY), within=_BACK_SECONDS)
        operator.install(images={"servingCpu": next_image})
        wait_until(is_left, f"{old} is left", within=_MOVED_SECONDS, explain=lambda: _told(team))
        client.wait_for_answers(len(BUSY), within=_BACK_SECONDS)
        asked = client.stop()
    with counting(operator, team, IDLE, clients=1, count=len(IDLE)) as client:
        asked_once = client.wait()

    assert failed(asked) == [], report(asked)
    assert most == 1
    assert at_once - {BROKEN} == set(GOOD)
    (new,) = team.names("rayservices")
    assert {team.model(name)["status"]["copies"][0]["pool"] for name in GOOD} == {new}
    wait_until(lambda: _images(team) == {next_image}, "no pod has the old image", within=60)
    assert len(answered(asked_once)) == len(IDLE), report(asked_once)
    team.wait_condition(BROKEN, "Stalled", "True", reason="Quarantined", within=180)


def _pods(team: Team, kind: str) -> list[str]:
    """Return the names of the pool's pods of a kind, those on their way out left out."""
    found = team.cluster.get(
        "-n", team.namespace, "pods", "-l", f"ray.io/node-type={kind}", "--field-selector",
        "status.phase!=Failed",
    )["items"]  # fmt: skip
    return [
        pod["metadata"]["name"] for pod in found if not pod["metadata"].get("deletionTimestamp")
    ]


def _images(team: Team) -> set[str]:
    pods = team.cluster.get("-n", team.namespace, "pods", "-l", "ray.io/node-type")["items"]
    return {container["image"] for pod in pods for container in pod["spec"]["containers"]}


def _with_an_engine(team: Team) -> set[str]:
    """Return the models of which a worker has a process; each leaves a report beside its engine."""
    found: set[str] = set()
    for worker in _pods(team, "worker"):
        listed = team.cluster.try_kubectl(
            "-n", team.namespace, "exec", worker, "-c", "ray-worker", "--", "ls", "/run/smallmodel"
        )
        reports = [name for name in listed.stdout.split() if name.endswith(ENGINE_REPORT_SUFFIX)]
        found |= {name.removesuffix(ENGINE_REPORT_SUFFIX).partition("-")[2] for name in reports}
    return found


def _answered_by(client: CountingClient, since: float) -> set[str]:
    return {one.model for one in answered(client.asked(since))}


def _placements(team: Team) -> list[dict[str, Any]]:
    items = team.cluster.get("-n", "slm-cluster-local", "mpl")["items"]
    return [one for one in items if one["spec"]["model"]["namespace"] == team.namespace]


def _moving(team: Team) -> set[str]:
    """Return the models on their way to another pool; a broken one may be for good."""
    return {
        one["spec"]["model"]["name"]
        for one in _placements(team)
        if one["status"].get("movingTo") and not one["status"].get("quarantine")
    }


def _told(team: Team) -> str:
    places = ("pool", "movingTo", "leaving", "leftAt")
    return "\n".join(
        f"{one['spec']['model']['name']}: { {key: one['status'].get(key) for key in places} }"
        for one in _placements(team)
    ) + team.kubectl("get", "pods,sm")
