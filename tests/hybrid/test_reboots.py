"""A site that loses its power while it is cut off serves again without its hub."""

import json

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import EDGE, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]


def test_an_edge_that_reboots_while_it_is_cut_off_needs_no_hub_to_serve(
    hybrid: Hybrid, team: HybridTeam
) -> None:
    team.source("records", EDGE, jurisdictions=(hybrid.country(EDGE),))
    team.serve("chat")
    team.wait_on("chat", EDGE)
    before = team.pool_uids(EDGE)
    edge = hybrid.clusters[EDGE]
    hybrid.wan.cut(EDGE)
    try:
        edge.node_down()
        hybrid.wait_link(EDGE, "Unreachable")
        change = {"spec": {"scaling": {"maxReplicas": 2}}}
        team.hub.kubectl("patch", "sm", "chat", "--type=merge", "-p", json.dumps(change))
        edge.node_up()
        hybrid.wan.attach(EDGE)
        # Its line is still cut: it has what it knew before the power went, and nobody to ask.
        site = hybrid.installed[EDGE], team.sites[EDGE]
        with counting(*site, ["chat"], admission=240, seconds=300) as client:
            client.wait_for_answers(10)
            assert team.mirrors(EDGE) == {("chat", 3)}, "the change has not arrived"
            hybrid.tell_why(team, "chat", "while the edge has started again and is still cut off")
            hybrid.wan.heal(EDGE)
            hybrid.wait_link(EDGE, "Connected")
            wait_until(
                lambda: team.mirrors(EDGE) == {("chat", 2)},
                "what was changed meanwhile reaches the site",
                within=120,
            )
            client.wait_for_answers(5)
            asked = client.stop()
    finally:
        hybrid.wan.heal(EDGE)
    tell("a client at the edge after it had no power", asked)
    assert not failed(asked), report(asked)
    team.wait_on("chat", EDGE)
    assert team.pool_uids(EDGE) == before
