"""A model that moves between clusters keeps its address, and its users lose nothing."""

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import CLOUD, ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]


def test_a_move_to_another_cluster_loses_no_request(hybrid: Hybrid, team: HybridTeam) -> None:
    team.serve("chat")
    team.wait_on("chat", CLOUD)
    url = team.hub.model("chat")["status"]["url"]
    with counting(hybrid.hub, team.hub, ["chat"], clients=3, seconds=600) as client:
        client.wait_for_answers(10)
        assert hybrid.slm("cluster", "drain", CLOUD).code == 0
        try:
            team.wait_on("chat", ONPREM, within=400)
            hybrid.tell_why(team, "chat", "once it has left the cloud, which is drained")
            client.wait_for_answers(20)
            asked = client.stop()
            wait_until(
                lambda: not team.sites[CLOUD].names("rayservices"),
                "the old pool is gone",
                within=90,
            )
        finally:
            assert hybrid.slm("cluster", "drain", CLOUD, "--undo").code == 0
    tell("a client of the hub through a move", asked)
    assert not failed(asked), report(asked)
    assert team.hub.model("chat")["status"]["url"] == url
