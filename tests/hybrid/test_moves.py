"""A model that moves between clusters keeps its address, and its users lose nothing."""

import pytest

from support.counting import counting, failed, report, tell
from support.hybrid import CLOUD, ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults]


def test_a_move_to_another_cluster_and_back_loses_no_request(
    hybrid: Hybrid, team: HybridTeam
) -> None:
    team.serve("chat")
    team.wait_on("chat", CLOUD)
    url = team.hub.model("chat")["status"]["url"]
    with counting(hybrid.hub, team.hub, ["chat"], clients=3, seconds=600) as client:
        client.wait_for_answers(10)
        assert hybrid.slm("cluster", "drain", CLOUD).code == 0
        try:
            team.wait_on("chat", ONPREM)
            client.wait_for_answers(20)
            assert not team.sites[CLOUD].names("rayservices")
        finally:
            assert hybrid.slm("cluster", "drain", CLOUD, "--undo").code == 0
        assert hybrid.slm("cluster", "drain", ONPREM).code == 0
        try:
            team.wait_on("chat", CLOUD)
            client.wait_for_answers(20)
        finally:
            assert hybrid.slm("cluster", "drain", ONPREM, "--undo").code == 0
        asked = client.stop()
    tell("a client of the hub through two moves", asked)
    assert not failed(asked), report(asked)
    assert team.hub.model("chat")["status"]["url"] == url
