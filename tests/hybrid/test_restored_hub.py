"""A hub that comes back from an old backup takes nothing away from its members."""

import json

import pytest

from cluster.waiting import wait_until
from support.counting import counting, failed, report, tell
from support.hybrid import ONPREM, Hybrid, HybridTeam

pytestmark = [pytest.mark.hybrid, pytest.mark.faults, pytest.mark.timeout(1200)]

OLD, NEW, LATER = "made-before-the-backup", "made-after-it", "made-since"


def test_a_hub_from_an_old_backup_knows_its_own_and_reports_the_rest(
    hybrid: Hybrid, team: HybridTeam
) -> None:
    team.source("records", ONPREM, jurisdictions=(hybrid.country(ONPREM),))
    for name in (OLD, NEW):
        team.serve(name)
    for name in (OLD, NEW):
        team.wait_on(name, ONPREM)
    pools, origin = team.pool_uids(ONPREM), team.hub.model(OLD)["metadata"]["uid"]
    with counting(hybrid.installed[ONPREM], team.sites[ONPREM], [OLD, NEW], seconds=400) as client:
        client.wait_for_answers(4)
        hybrid.hub.scale_operator(0)
        try:
            _forget_everything(hybrid, team)
            # The backup holds what was applied; the API server gives it another UID.
            team.serve(OLD)
        finally:
            hybrid.hub.scale_operator(1)
        team.wait_on(OLD, ONPREM)
        assert team.hub.model(OLD)["metadata"]["uid"] != origin
        orphan, known = (f"{team.namespace}/{name}" for name in (NEW, OLD))

        def told() -> tuple[bool, bool]:
            mirrored = hybrid.condition(ONPREM, "Mirrored")
            return orphan in mirrored, known in mirrored

        # Before the hub has decided anew, it knows neither.
        wait_until(
            lambda: told() == (True, False), f"{orphan} alone is called an orphan", within=60
        )
        hybrid.tell_why(team, OLD, "once the hub is back from its backup")
        client.wait_for_answers(10)
        asked = client.stop()
    tell("a client of the site while its hub was restored", asked)
    assert not failed(asked), report(asked)
    assert team.pool_uids(ONPREM) == pools
    assert {name for name, _ in team.mirrors(ONPREM)} == {OLD, NEW}
    # What it does not know keeps nobody at the site from asking for what comes now.
    team.serve(LATER)
    team.wait_on(LATER, ONPREM)
    with counting(hybrid.installed[ONPREM], team.sites[ONPREM], [NEW, LATER], count=8) as client:
        asked = client.wait()
    assert not failed(asked), report(asked)
    # As the message says: applied again, it is the hub's own.
    team.serve(NEW)
    team.wait_on(NEW, ONPREM)
    wait_until(
        lambda: orphan not in hybrid.condition(ONPREM, "Mirrored"), "it has a hub", within=60
    )
    assert team.pool_uids(ONPREM) == pools


def _forget_everything(hybrid: Hybrid, team: HybridTeam) -> None:
    """Take the namespace's models out of the hub, as a hub that never knew them."""
    hub = hybrid.hub.cluster
    placed = hub.get("-n", f"slm-cluster-{ONPREM}", "modelplacements")["items"]
    models = hub.get("-n", team.namespace, "smallmodels")["items"]
    ours = [one for one in placed if one["spec"]["model"]["namespace"] == team.namespace]
    assert {one["spec"]["model"]["name"] for one in ours} == {OLD, NEW}
    for one in (*ours, *models):
        metadata = one["metadata"]
        ref = ("-n", metadata["namespace"], one["kind"].lower(), metadata["name"])
        freed = json.dumps({"metadata": {"finalizers": None}})
        hub.kubectl("patch", *ref, "--type=merge", "-p", freed)
        hub.kubectl("delete", *ref, "--ignore-not-found")
