"""What comes in of data, and what models are then placed among."""

from typing import Any

from builders.admission import data_source
from builders.clusters import declared
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.pools.values import Manifest

TEAM = "team-a"


def stores() -> HubStores:
    return HubStores(hub_id="hub-1")


def source(name: str = "records", **metadata: Any) -> Manifest:
    residency = {"jurisdictions": ["DE"]}
    return data_source(residency=residency) | {
        "metadata": {"name": name, "namespace": TEAM, **metadata}
    }


def test_data_is_known_to_the_models_of_its_namespace_alone() -> None:
    known = stores()
    known.clusters["local"] = declared(jurisdiction="DE")

    assert known.see_source(source(), gone=False) == TEAM

    there = known.around(TEAM, "2026-11-24T12:00:00Z")
    assert there is not None
    assert [one.metadata.name for one in there.sources] == ["records"]
    assert there.clusters[0].jurisdiction == "DE"
    other = known.around("team-b", "2026-11-24T12:00:00Z")
    assert other is not None
    assert other.sources == ()
    known.see_source(source(), gone=True)
    assert not known.sources


def test_what_models_are_placed_among_is_not_known_before_their_cluster_was_read() -> None:
    assert stores().around(TEAM, "2026-11-24T12:00:00Z") is None


def test_data_that_cannot_be_read_is_remembered_since_whom_it_binds_is_not_known() -> None:
    known = stores()
    known.clusters["local"] = declared()
    broken = source(uid="u1", resourceVersion="1")
    broken["spec"]["residency"]["jurisdictions"] = ["ATLANTIS"]

    assert known.see_source(broken, gone=False) == TEAM
    there = known.around(TEAM, "2026-11-24T12:00:00Z")
    assert there is not None
    assert (there.sources, there.unread_sources) == ((), ("records",))
    assert known.see_source(broken, gone=False) is None
