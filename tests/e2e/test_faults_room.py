"""A full node and a cordoned one: a model says what it needs, and goes on by itself."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.waiting import wait_until
from smallmodel_operator.clusters.quantities import amount_of
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

_LEFT_BYTES: Final = 1.5 * 2**30
"""Too little for a head and a worker, and enough for whoever cleans up."""
_HOLDER: Final = "holder"


@pytest.fixture
def team(operator: Installed) -> Iterator[Team]:
    """A namespace without any model."""
    made = operator.new_team()
    yield made
    operator.remove_team(made)


def test_a_model_waits_for_room_with_numbers_and_goes_on_by_itself(
    operator: Installed, team: Team
) -> None:
    node = operator.cluster.get("nodes")["items"][0]["metadata"]["name"]
    team.apply(_holder(team, operator.values["images"]["servingCpu"], _free_bytes(operator)))
    team.kubectl("wait", "--for=condition=PodScheduled", f"pod/{_HOLDER}", "--timeout=30s")

    team.apply_model("chat", **LIGHT)
    full = team.wait_condition("chat", "Placed", "False", reason="MemoryFit")

    assert f"{node} has most free: " in full.message, full.message
    assert "goes on by itself" in full.message
    stalled = team.condition("chat", "Stalled")
    assert stalled is not None
    assert stalled.status == "False", stalled.message
    assert team.names("rayservices") == []

    operator.cluster.kubectl("cordon", node)
    try:
        team.kubectl("delete", "pod", _HOLDER, "--grace-period=1")
        wait_until(
            lambda: f"Not counted: {node} (cordoned)" in _message(team),
            "the cordoned node is named",
            within=60,
            explain=lambda: _message(team),
        )
    finally:
        operator.cluster.kubectl("uncordon", node)
    team.wait_ready("chat")


def _message(team: Team) -> str:
    found = team.condition("chat", "Placed")
    return found.message if found is not None else ""


def _free_bytes(operator: Installed) -> float:
    """Return the memory of the one node that no pod has asked for."""
    (node,) = operator.cluster.get("nodes")["items"]
    pods = operator.cluster.get("pods", "--all-namespaces")["items"]
    asked = sum(
        amount_of(container.get("resources", {}).get("requests", {}).get("memory", 0))
        for pod in pods
        for container in pod["spec"]["containers"]
        if pod["status"].get("phase") in {"Pending", "Running"}
    )
    return amount_of(node["status"]["allocatable"]["memory"]) - asked


def _holder(team: Team, image: str, free_bytes: float) -> dict[str, Any]:
    """Return a pod that holds the node's memory, and uses none of it."""
    asked = str(int(free_bytes - _LEFT_BYTES))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _HOLDER, "namespace": team.namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "holder",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "600"],
                    "resources": {"requests": {"cpu": "10m", "memory": asked}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
