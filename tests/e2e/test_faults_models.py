"""A model that cannot load harms nobody else, says why, and is mended by an edit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.waiting import wait_until
from support.broken_model import broken_source
from support.counting import answered, counting, failed, report
from support.counting_client import Asked
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

START_TIMEOUT: Final = 30
"""Seconds; what a held request may add to it is the time in which the reason gets around."""
_MARGIN: Final = 5.0


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a good model that is kept awake."""
    made = operator.new_team()
    made.apply_model("good", **LIGHT, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("good")
    yield made
    operator.remove_team(made)


@pytest.fixture(scope="module")
def source(operator: Installed, bundled_gguf: Path) -> dict[str, Any]:
    """Weights of the right digest, in which llama.cpp misses a tensor."""
    return broken_source(operator, bundled_gguf)


def test_a_model_that_cannot_load_harms_nobody_else(
    operator: Installed, team: Team, source: dict[str, Any]
) -> None:
    scaling = {"startTimeout": f"{START_TIMEOUT}s"}
    with (
        counting(operator, team, ["good"]) as good,
        counting(operator, team, ["broken"], pause=0.2, seconds=200) as waiting,
    ):
        good.wait_for_answers(1)
        team.apply_model("broken", source=source, scaling=scaling)
        stalled = team.wait_condition("broken", "Stalled", "True", within=120)
        wait_until(lambda: "broken" not in _served(team), "it is left out of the pool", within=30)
        good.wait_for_answers(3)
        asked = waiting.stop()
        others = good.stop()

    assert stalled.reason == "Quarantined"
    assert "attn_q" in stalled.message, stalled.message
    assert failed(others) == [], report(others)
    assert answered(asked) == []
    _refused_in_time(asked)
    # It has no pool, or the pool of its neighbour.
    assert len(team.names("rayservices")) == 1

    team.apply_model("broken", **LIGHT, scaling=scaling)
    team.wait_ready("broken", within=120)
    assert "broken" in _served(team)


def _refused_in_time(asked: list[Asked]) -> None:
    """Check that whoever asked was told, in time and why."""
    known = [one for one in asked if one.status != 404]
    assert {one.status for one in known} == {503}, report(known)
    slowest = max(one.seconds for one in known)
    assert slowest < START_TIMEOUT + _MARGIN, report(known)
    assert any("attn_q" in one.error or "Quarantined" in one.error for one in known), report(known)


def _served(team: Team) -> set[str]:
    """Return the names of the applications that the pool is to have."""
    (pool,) = team.cluster.get("-n", team.namespace, "rayservices")["items"]
    return {one["name"] for one in yaml.safe_load(pool["spec"]["serveConfigV2"])["applications"]}
