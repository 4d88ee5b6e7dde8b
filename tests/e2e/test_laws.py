"""A law of data ends the model that it forbids here, and the model is back once it is lifted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.waiting import wait_until
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

LAW = "records"


@pytest.fixture
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a model, in a cluster that stands in Germany."""
    _patch_cluster(operator, {"jurisdiction": "DE"})
    made = operator.new_team()
    made.apply_model("chat", **LIGHT)
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)
    _patch_cluster(operator, {"jurisdiction": None})


def test_a_law_ends_a_model_and_its_end_brings_the_model_back(
    operator: Installed, team: Team
) -> None:
    team.apply(_law(team, "EU"))
    lawful = team.wait_condition("chat", "Placed", "True")
    assert team.condition("chat", "Ready") is not None

    team.apply(_law(team, "CH"))
    forbidden = team.wait_condition("chat", "Placed", "False", reason="ResidencyForbidden")
    wait_until(
        lambda: not team.names("rayservices") and not team.names("pods"),
        "nothing of the model runs any more",
        within=150,
    )
    operator.renew_volume(team)

    assert lawful.status == "True"
    assert "DE" in forbidden.message, forbidden.message
    assert LAW in forbidden.message, forbidden.message

    team.kubectl("delete", "datasource", LAW)
    team.wait_condition("chat", "Placed", "True")
    team.wait_ready("chat")


def _law(team: Team, jurisdiction: str) -> dict[str, Any]:
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "DataSource",
        "metadata": {"name": LAW, "namespace": team.namespace},
        "spec": {"residency": {"jurisdictions": [jurisdiction]}},
    }


def _patch_cluster(operator: Installed, spec: dict[str, Any]) -> None:
    operator.cluster.kubectl(
        "patch", "modelcluster", "local", "--type=merge", "-p", json.dumps({"spec": spec})
    )
