"""An image that cannot be pulled: models stay where they are, say so, and go on by themselves."""

from collections.abc import Iterator
from typing import Final

import pytest

from support.counting import counting, failed, report
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

ABSENT: Final = "localhost/smallmodel-serving-cpu:absent"
SMALL: Final = {**LIGHT, "resources": {"cpu": "300m"}}
"""A node of two cores has room for a second pool beside the first."""


@pytest.fixture
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a model that is kept awake."""
    made = operator.new_team()
    made.apply_model("chat", **SMALL, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)


def test_an_image_that_is_not_there_costs_nobody_an_answer(operator: Installed, team: Team) -> None:
    with counting(operator, team, ["chat"], seconds=400) as client:
        client.wait_for_answers(3)
        operator.install(images={"servingCpu": ABSENT})
        try:
            waits = team.wait_condition("chat", "Deployed", "False", reason="ImagePullFailed")
            available = team.wait_condition("chat", "Available", "True")
            client.wait_for_answers(3)
        finally:
            operator.install()
        team.wait_condition("chat", "Ready", "True", within=180)
        client.wait_for_answers(3)
        asked = client.stop()

    assert ABSENT in waits.message, waits.message
    assert available.status == "True"
    assert failed(asked) == [], report(asked)
