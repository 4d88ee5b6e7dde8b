"""A site whose line to the hub is cut serves on, and gets what was decided meanwhile once."""

import json
import time
from collections.abc import Iterator
from typing import Final

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import EDGE, ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]

_LEAST_SECONDS: Final = {ONPREM: 0.0, EDGE: 300.0}
"""How long a site is cut off: until the hub says so, or so much longer."""

STAYS, CHANGED, DELETED = "stays", "changed", "deleted"


@pytest.fixture(params=[ONPREM, EDGE])
def site(request: pytest.FixtureRequest) -> str:
    """The site that is cut off: one that the hub calls, and one that calls the hub."""
    name: str = request.param
    return name


@pytest.fixture
def served(hybrid: Hybrid, team: HybridTeam, site: str) -> Iterator[HybridTeam]:
    """Three models that their data keep at the site."""
    team.source("records", site, jurisdictions=(hybrid.country(site),))
    for name in (STAYS, CHANGED, DELETED):
        team.serve(name)
    for name in (STAYS, CHANGED, DELETED):
        team.wait_on(name, site)
    yield team
    hybrid.wan.heal(site)


def test_a_cut_is_noticed_by_nobody_at_the_site_and_made_up_for_afterwards(
    hybrid: Hybrid, served: HybridTeam, site: str
) -> None:
    before = served.pool_uids(site)
    at_site, on_hub = served.sites[site], served.hub
    with counting(hybrid.installed[site], at_site, [STAYS], pause=0.2, seconds=900) as client:
        client.wait_for_answers(3)
        began = time.time()
        hybrid.wan.cut(site)
        hybrid.wait_link(site, "Unreachable")
        wait_until(
            lambda: [one.state for one in served.copies(STAYS)] == ["Unreachable"],
            "the model says that its site cannot be reached",
            within=30,
        )
        hybrid.tell_why(served, STAYS, f"while {site} is cut off")
        change = {"spec": {"scaling": {"maxReplicas": 2}}}
        on_hub.kubectl("patch", "sm", CHANGED, "--type=merge", "-p", json.dumps(change))
        on_hub.kubectl("delete", "sm", DELETED, "--wait=false")
        client.wait_since(began, _LEAST_SECONDS[site])
        client.wait_for_answers(20)
        assert served.pool_uids(site) == before
        assert {name for name, _ in served.mirrors(site)} == {STAYS, CHANGED, DELETED}
        assert [one.cluster for one in served.copies(STAYS)] == [site], "nothing moves"

        hybrid.wan.heal(site)
        hybrid.wait_link(site, "Connected")
        wait_until(
            lambda: {(STAYS, 3), (CHANGED, 2)} == served.mirrors(site),
            "what was changed and deleted meanwhile reaches the site",
            within=120,
        )
        served.wait_on(CHANGED, site)
        client.wait_for_answers(5)
        asked = client.stop()
    tell(f"a client at {site} through a cut", asked)
    assert not failed(asked), report(asked)
    assert served.pool_uids(site) == before
    wait_until(lambda: DELETED not in on_hub.names("sm"), "the deleted model is gone", within=60)
