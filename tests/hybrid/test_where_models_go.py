"""Where a model goes: beside its data, where the law lets it, and where it costs least."""

import pytest

from cluster.waiting import wait_until
from support.counting import counting, tell
from support.hybrid import CLOUD, EDGE, ONPREM, Hybrid, HybridTeam

pytestmark = pytest.mark.hybrid


def test_without_data_a_model_goes_where_it_costs_least(hybrid: Hybrid, team: HybridTeam) -> None:
    team.serve("chat")
    team.wait_on("chat", CLOUD)
    hybrid.tell_why(team, "chat", "it goes where it costs least")
    assert team.reasons("chat")[ONPREM] == "CostHigher"
    for site in (ONPREM, EDGE):
        # Its own gateway leads there: the edge's too, which no other can call.
        with counting(hybrid.installed[site], team.sites[site], ["chat"], seconds=60) as client:
            client.wait_for_answers(4)
            tell(f"a client at {site} of a model in the cloud", client.stop())


def test_a_model_lands_beside_its_data(hybrid: Hybrid, team: HybridTeam) -> None:
    team.source("cameras", ONPREM)
    team.serve("watch", data={"cameras": "40Gi"})
    team.wait_on("watch", ONPREM)
    team.hub.wait_ready("watch")
    hybrid.tell_why(team, "watch", "it lands beside its data")
    assert team.reasons("watch")[CLOUD] == "CostHigher"


def test_a_law_keeps_a_model_home_and_it_waits_until_there_is_room(
    hybrid: Hybrid, team: HybridTeam
) -> None:
    node = hybrid.clusters[ONPREM].node_name()
    hybrid.clusters[ONPREM].kubectl("cordon", node)
    try:
        wait_until(
            lambda: hybrid.status_of(ONPREM).get("nodes") == 0,
            "the hub sees that no node of the site takes pods",
            within=60,
        )
        team.source("records", ONPREM, jurisdictions=("DE",))
        team.serve("clerk")
        full = team.hub.wait_condition("clerk", "Placed", "False")
        hybrid.tell_why(team, "clerk", "the only lawful cluster is full")
        assert team.reasons("clerk")[CLOUD] == "ResidencyForbidden"
        assert "DE" in full.message or ONPREM in full.message, full.message
        assert not team.sites[CLOUD].names("rayservices")
    finally:
        hybrid.clusters[ONPREM].kubectl("uncordon", node)
    team.wait_on("clerk", ONPREM)
    assert team.reasons("clerk")[ONPREM] == "Kept"
    hybrid.tell_why(team, "clerk", "a law keeps it home though the cloud is cheaper")
