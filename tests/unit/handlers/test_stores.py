"""What comes in of what the hub decides on, and what is then known."""

from typing import Any

import pytest

from builders.pool_values import placement_of
from builders.told_objects import HUB, TEAM, model, placement
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.ref import MODELCARDS, SMALLMODELS
from smallmodel_operator.handlers.cluster_news import ClusterNews
from smallmodel_operator.handlers.stores import HubStores, Unreadable
from smallmodel_operator.plan.placements import source_weights
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.source import source_job


def stores() -> HubStores:
    return HubStores(hub_id=HUB)


def test_a_model_comes_changes_and_goes() -> None:
    known = stores()

    assert known.see_model(model(), gone=False) == (TEAM, "chat")
    assert isinstance(known.models[TEAM, "chat"], SmallModel)
    known.see_model(model(), gone=True)
    known.see_model(model(), gone=True)
    assert not known.models


@pytest.mark.parametrize("status", [None, {"observedGeneration": 2}, {"observedGeneration": "no"}])
def test_a_model_that_cannot_be_read_is_known_by_its_metadata(status: Any) -> None:
    known = stores()
    manifest = model(model="a", source={"uri": "https://example.org/x"}) | {"status": status}

    known.see_model(manifest, gone=False)

    found = known.models[TEAM, "chat"]
    assert isinstance(found, Unreadable)
    assert found.metadata.generation == 3
    assert found.status.observed_generation == (2 if status == {"observedGeneration": 2} else 0)
    assert "exactly one of model and source" in found.message


def test_a_card_that_cannot_be_read_is_no_card() -> None:
    known = stores()
    card = {"metadata": {"name": "tiny"}, "spec": {}}

    assert known.see_card(card, gone=False) is None
    assert known.see_card(card, gone=True) == "tiny"
    assert known.catalog().cards == ()


def test_a_job_leads_to_all_models_whose_cards_are_made_of_what_it_fetches() -> None:
    known, source = stores(), {"uri": "https://example.org/x.gguf"}
    manifests = {name: model(name, source=source) for name in ("chat", "draft")}
    for manifest in (*manifests.values(), model("embed")):
        known.see_model(manifest, gone=False)
    chat = known.models[TEAM, "chat"]
    assert isinstance(chat, SmallModel)
    job = source_job(chat)
    assert job is not None

    assert known.models_of_job(TEAM, job) == ((TEAM, "chat"), (TEAM, "draft"))
    assert known.models_of_job("other", job) == ()
    known.see_model(manifests["chat"], gone=True)
    assert known.models_of_job(TEAM, job) == ((TEAM, "draft"),)
    known.see_model(model("draft"), gone=False)
    assert known.models_of_job(TEAM, job) == ()


def test_the_jobs_of_sources_are_needed_until_a_placement_has_their_result() -> None:
    known = stores()
    known.see_model(model("chat", source={"uri": "https://example.org/x.gguf"}), gone=False)
    known.see_model(model("embed"), gone=False)
    known.see_model(model("broken", model="a", source={"uri": "https://x.org/x"}), gone=False)
    chat = known.models[TEAM, "chat"]
    assert isinstance(chat, SmallModel)
    job = source_job(chat)
    assert job is not None
    assert known.needed_jobs(TEAM) == {job}
    assert known.needed_jobs("other") == frozenset()

    assert chat.spec.source is not None
    known.placements_on("local").by_model[TEAM, "chat"] = placement_of(
        weights=source_weights(chat.spec.source),
        status={"fetch": FetchDone(path="/w", bytes=1, sha256=None), "fetch_job": job},
    )
    assert known.needed_jobs(TEAM) == frozenset()


def on(cluster: str, name: str = "chat", **status: Any) -> Manifest:
    """Return a placement as it lies in a cluster's namespace."""
    made = placement(name, **status)
    made["metadata"]["namespace"] = f"slm-cluster-{cluster}"
    return made


def test_the_placements_of_a_model_lie_in_the_namespaces_of_all_clusters() -> None:
    known = stores()
    for cluster in ("edge", "cloud"):
        assert known.see_placement(on(cluster, pool=cluster), gone=False) == (TEAM, "chat")

    assert [one.status.pool for one in known.placements_of((TEAM, "chat"))] == ["cloud", "edge"]
    assert known.placements_of((TEAM, "embed")) == ()
    assert known.placed() == {(TEAM, "chat")}
    edge = known.placement((TEAM, "chat"), "edge")
    assert edge is not None
    assert edge.status.pool == "edge"
    assert known.placement((TEAM, "chat"), "local") is None
    known.see_placement(on("edge"), gone=True)
    assert len(known.placements_of((TEAM, "chat"))) == 1


def test_what_was_decided_for_a_cluster_is_one_object_however_often_it_is_asked_for() -> None:
    known = stores()
    serving = known.placements_on("local")

    known.see_placement(on("local", pool="p"), gone=False)

    assert serving is known.placements_on("local")
    assert serving.assigned[TEAM, "p"] == 1


@pytest.mark.parametrize("namespace", ["team-a", "slm-cluster-", "smallmodel-system"])
def test_a_placement_in_no_clusters_namespace_is_nothing(namespace: str) -> None:
    known, stray = stores(), placement()
    stray["metadata"]["namespace"] = namespace

    assert known.see_placement(stray, gone=False) is None
    assert known.placed() == set()


def test_what_a_list_of_models_lacks_is_dropped_unless_it_was_made_after_it() -> None:
    known, source = stores(), {"uri": "https://example.org/x.gguf"}
    for name, version in (("old", "5"), ("there", "5"), ("new", "7")):
        manifest = model(name, source=source)
        manifest["metadata"] |= {"uid": name, "resourceVersion": version}
        known.see_model(manifest, gone=False)

    for resource in (SMALLMODELS, MODELCARDS):
        known.forget_missing(resource, {(TEAM, "there")}, "6")

    assert set(known.models) == {(TEAM, "there"), (TEAM, "new")}
    known.see_model(model("there"), gone=False)
    known.see_model(model("new"), gone=False)
    assert not known._models_of_jobs


NOTHING_NEW = ClusterNews(name="edge")


def declared_cluster(name: str, **spec: Any) -> Manifest:
    return {"metadata": {"name": name, "generation": 1}, "spec": spec}


def test_a_cluster_is_news_where_something_else_is_declared_of_it() -> None:
    known = stores()
    edge = declared_cluster("edge", tier="Edge")

    first, news = known.see_cluster(edge, gone=False)
    assert first is not None
    assert news == ClusterNews(name="edge", declared=True)
    assert known.see_cluster(edge | {"status": {"nodes": 1}}, gone=False)[1] == NOTHING_NEW
    assert known.see_cluster(declared_cluster("edge", tier="Cloud"), gone=False)[1].declared
    assert known.see_cluster(declared_cluster("edge"), gone=True) == (None, news)
    assert known.see_cluster(declared_cluster("edge"), gone=True) == (None, NOTHING_NEW)
    assert not known.clusters


def test_what_was_declared_of_a_cluster_stays_where_it_cannot_be_read_or_is_the_hubs_own() -> None:
    known = stores()
    for name in ("edge", "local"):
        known.see_cluster(declared_cluster(name, jurisdiction="DE"), gone=False)

    assert known.see_cluster(declared_cluster("edge", jurisdiction="MARS"), gone=False) == (
        None,
        NOTHING_NEW,
    )
    assert known.see_cluster(declared_cluster("local"), gone=True)[1] == ClusterNews(name="local")
    assert {one.spec.jurisdiction for one in known.clusters.values()} == {"DE"}


def test_clusters_are_connected_that_were_so_when_somebody_looked_last() -> None:
    known = HubStores(hub_id=HUB)
    for state in ("Connected", "Degraded", "Unreachable"):
        link = {"state": state, "since": "2026-11-29T10:00:00Z", "reason": "Connected"}
        manifest = declared_cluster(state.lower()) | {"status": {"link": link}}
        assert known.see_cluster(manifest, gone=False)[0] is not None
    known.see_cluster(declared_cluster("local"), gone=False)
    assert known.connected() == {"connected", "degraded"}
