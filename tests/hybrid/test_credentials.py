"""Credentials are taken away and given anew under load, and nobody who asks models notices."""

import json

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import EDGE, ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(("site", "refused"), [(ONPREM, "CredentialError"), (EDGE, "Unreachable")])
def test_a_credential_is_renewed_without_a_restart_and_without_a_lost_request(
    hybrid: Hybrid, team: HybridTeam, site: str, refused: str
) -> None:
    team.source("records", site, jurisdictions=(hybrid.country(site),))
    team.serve("chat")
    team.wait_on("chat", site)
    pools, programs = team.pool_uids(site), hybrid.operators()
    with counting(hybrid.installed[site], team.sites[site], ["chat"], seconds=400) as client:
        client.wait_for_answers(3)
        hybrid.revoke(site)
        hybrid.wait_link(site, refused)
        change = {"spec": {"scaling": {"maxReplicas": 2}}}
        team.hub.kubectl("patch", "sm", "chat", "--type=merge", "-p", json.dumps(change))
        client.wait_for_answers(10)
        assert team.mirrors(site) == {("chat", 3)}, "nobody may write there"
        hybrid.tell_why(team, "chat", f"while the credential of {site} is taken away")
        hybrid.join(site)
        # The kubelet writes a Secret's new content into its file within a minute or two.
        hybrid.wait_link(site, "Connected", within=180)
        wait_until(
            lambda: team.mirrors(site) == {("chat", 2)},
            "what was changed meanwhile reaches the site",
            within=120,
        )
        client.wait_for_answers(5)
        asked = client.stop()
    tell(f"a client at {site} while credentials were renewed", asked)
    assert not failed(asked), report(asked)
    team.wait_on("chat", site)
    assert team.pool_uids(site) == pools
    assert hybrid.operators() == programs, "something was restarted"
