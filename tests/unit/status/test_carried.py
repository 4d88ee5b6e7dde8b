"""A file says what was so when it was written: it grows old, and never connects anything."""

import pytest

from builders.clusters import declared
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.modelcluster import (
    CarriedStatus,
    ClusterLink,
    LinkState,
    ModelCluster,
    ModelClusterStatus,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.status.carried import carried_link
from smallmodel_operator.status.cluster import summarise_carried, summarise_link

EXPORTED = "2026-11-22T12:00:00Z"
IMPORTED = "2026-11-22T13:00:00Z"


def cluster(
    exported: str = EXPORTED, link: ClusterLink | None = None, **connection: str
) -> ModelCluster:
    made = declared("edge", connection={"mode": "Bundle", **connection})
    file = CarriedStatus(serial=1, exported_at=exported, imported_at=IMPORTED)
    return made.model_copy(update={"status": ModelClusterStatus(bundle=file, link=link)})


def state(of: ModelCluster, now: str) -> LinkState:
    link = carried_link(of, now)
    assert link is not None
    return link.state


def test_without_a_file_nothing_is_known() -> None:
    bare = declared("edge", connection={"mode": "Bundle"})
    assert carried_link(bare, IMPORTED) is None
    told = {one.type: one for one in summarise_link(bare, None, IMPORTED).conditions}
    assert told["Connected"].status == "Unknown"
    assert "No file" in told["Connected"].message
    assert told["Schedulable"].status == "False"


@pytest.mark.parametrize(
    ("of", "now", "expected"),
    [
        (cluster(), "2026-11-29T12:00:00Z", LinkState.BUNDLED),
        (cluster(), "2026-11-29T12:00:01Z", LinkState.UNREACHABLE),
        (cluster(bundleMaxAge="1h"), "2026-11-22T13:00:01Z", LinkState.UNREACHABLE),
        (cluster(bundleMaxAge="720h"), "2026-12-20T12:00:00Z", LinkState.BUNDLED),
        (cluster("2030-01-01T00:00:00Z"), "2026-11-29T13:00:01Z", LinkState.UNREACHABLE),
    ],
    ids=["a week", "more", "as declared", "a month", "a clock that is ahead over there"],
)
def test_a_file_is_good_for_a_time(of: ModelCluster, now: str, expected: LinkState) -> None:
    assert state(of, now) is expected


def test_the_state_says_since_when_and_of_which_cluster() -> None:
    before = ClusterLink(
        state=LinkState.BUNDLED,
        since="2026-01-01T00:00:00Z",
        reason=Reason.BUNDLED,
        cluster_uid="uid",
    )
    kept = carried_link(cluster(link=before), IMPORTED)
    lost = carried_link(cluster(link=before), "2026-12-20T12:00:00Z")
    assert kept is not None
    assert lost is not None
    assert (kept.since, kept.last_contact, kept.cluster_uid) == (before.since, EXPORTED, "uid")
    assert (lost.since, lost.reason) == ("2026-12-20T12:00:00Z", Reason.BUNDLE_STALE)
    assert "`slm bundle export edge`" in kept.message


def ready(status: ModelClusterStatus, kind: str = "Ready") -> Condition:
    return next(one for one in status.conditions if one.type == kind)


def test_what_the_cluster_says_of_itself_stands_and_the_link_is_the_hubs() -> None:
    said = Condition(
        type="Ready",
        status="True",
        last_transition_time=EXPORTED,
        reason="Observed",
        message="1 of 1 nodes take pods",
    )
    of = cluster()
    told = ModelClusterStatus(
        nodes=3, conditions=(said,), observed_at=EXPORTED, kubernetes_version="v1.36.3"
    )
    status = summarise_carried(of, told, carried_link(of, IMPORTED), IMPORTED)

    assert (status.nodes, status.observed_at, status.bundle) == (3, EXPORTED, of.status.bundle)
    assert ready(status).message == said.message
    assert EXPORTED in ready(status, "FactsFresh").message
    assert ready(status, "Connected").status == "False"
    assert ready(status, "Schedulable").status == "True"
    later = of.model_copy(update={"status": status})
    old = carried_link(later, "2026-12-20T12:00:00Z")
    stale = summarise_link(later, old, "2026-12-20T12:00:00Z")
    assert ready(stale, "FactsFresh").status == "False"
    assert ready(stale, "Schedulable").reason == "BundleStale"
