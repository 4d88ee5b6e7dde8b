"""Where a model goes: beside its data, where the law lets it, and where it costs least."""

import pytest

from support.hybrid import CLOUD, ONPREM, Hybrid, HybridTeam

pytestmark = pytest.mark.hybrid


def test_without_data_a_model_goes_where_it_costs_least(team: HybridTeam) -> None:
    team.serve("chat")
    team.wait_on("chat", CLOUD)
    assert team.reasons("chat")[ONPREM] == "CostHigher"


def test_a_model_lands_beside_its_data(hybrid: Hybrid, team: HybridTeam) -> None:
    team.source("cameras", ONPREM)
    team.serve("watch", data={"cameras": "40Gi"})
    team.wait_on("watch", ONPREM)
    team.hub.wait_ready("watch")
    told = hybrid.slm("explain", "watch", "-n", team.namespace)
    assert told.code == 0, told
    assert ONPREM in told.out
