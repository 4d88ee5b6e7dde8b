"""A model that moves between clusters keeps its address, and its users lose nothing."""

from collections.abc import Callable, Iterator

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import CLOUD, DECLARED, ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.fixture
def drained(hybrid: Hybrid) -> Iterator[Callable[[], None]]:
    """Empties the cloud when it is called; afterwards models may go there again."""

    def drain() -> None:
        assert hybrid.slm("cluster", "drain", CLOUD).code == 0

    yield drain
    assert hybrid.slm("cluster", "drain", CLOUD, "--undo").code == 0


@pytest.fixture
def dearer(hybrid: Hybrid) -> Iterator[Callable[[], None]]:
    """Has the cloud cost more than the others when it is called, on a hub that does not dwell."""
    hybrid.hub.install(placement={"minimumStay": "1s"})
    yield lambda: hybrid.declare(CLOUD, prices={"cpuHour": "0.9", "memoryGBHour": "0.09"})
    hybrid.declare(CLOUD, **DECLARED[CLOUD])
    hybrid.hub.install()


def test_a_model_leaves_a_cluster_that_is_drained_and_no_request_is_lost(
    hybrid: Hybrid, team: HybridTeam, drained: Callable[[], None]
) -> None:
    _moves(hybrid, team, drained, "once it has left the cloud, which is drained")


def test_a_model_goes_where_it_is_cheaper_now_and_no_request_is_lost(
    hybrid: Hybrid, team: HybridTeam, dearer: Callable[[], None]
) -> None:
    _moves(hybrid, team, dearer, "once the other cluster is cheaper")


def _moves(hybrid: Hybrid, team: HybridTeam, cause: Callable[[], None], what: str) -> None:
    team.serve("chat")
    team.wait_on("chat", CLOUD)
    url = team.hub.model("chat")["status"]["url"]
    with counting(hybrid.hub, team.hub, ["chat"], clients=3, seconds=900) as client:
        client.wait_for_answers(10)
        cause()
        team.wait_on("chat", ONPREM, within=600)
        hybrid.tell_why(team, "chat", what)
        client.wait_for_answers(20)
        asked = client.stop()
    tell("clients of the hub through a move", asked)
    assert not failed(asked), report(asked)
    assert team.hub.model("chat")["status"]["url"] == url
    wait_until(
        lambda: not team.sites[CLOUD].names("rayservices"), "the old pool is gone", within=90
    )
