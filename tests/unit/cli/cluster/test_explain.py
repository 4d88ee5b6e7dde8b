"""`slm explain`: each cluster with its reason and numbers, as the status has them."""

import json
from typing import Any

from builders.cluster_objects import put_model
from builders.fake_cluster import FakeCluster
from builders.small_model_states import STATES
from support.command_line import Slm

DECISION: dict[str, Any] = {
    "summary": "1/2 selected; 1 ResidencyForbidden",
    "candidates": [
        {
            "cluster": "local",
            "selected": True,
            "reason": "Kept",
            "message": "0.10 USD/h: compute 0.10",
            "cost": {
                "currency": "USD",
                "total": "0.10",
                "compute": "0.10",
                "data": "0.0000",
                "carbon": "0.0000",
                "oneTime": "0.0000",
            },
            "gramsCO2ePerHour": "2.09",
            "assumed": ["cpu /h 0.031611 (table prices, CPU)"],
        },
        {
            "cluster": "ohio",
            "selected": False,
            "reason": "ResidencyForbidden",
            "message": "ohio is in US",
            "assumed": [],
        },
    ],
}


def put_decided(cluster: FakeCluster) -> None:
    put_model(cluster, status=STATES["ready"].manifest["status"] | {"decision": DECISION})


def test_each_cluster_has_a_row_and_what_is_assumed_is_told(slm: Slm, cluster: FakeCluster) -> None:
    put_decided(cluster)

    outcome = slm("explain", "chat")

    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == DECISION["summary"]
    here = ["local", "yes", "Kept", "0.10", "USD", "0.10", "0.0000", "0.0000", "2.09"]
    assert lines[2].split()[:9] == here
    assert lines[3].split()[:4] == ["ohio", "no", "ResidencyForbidden", "-"]
    assert lines[3].endswith("ohio is in US")
    assert "  local: cpu /h 0.031611 (table prices, CPU)" in lines


def test_programs_get_the_decision_as_the_status_has_it(slm: Slm, cluster: FakeCluster) -> None:
    put_decided(cluster)

    assert json.loads(slm("explain", "chat", "-o", "json").out) == DECISION


def test_where_nothing_was_decided_the_next_step_is_told(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)

    outcome = slm("explain", "chat")

    assert outcome.code == 4
    assert "nothing was decided of chat yet; `slm describe chat`" in outcome.err
