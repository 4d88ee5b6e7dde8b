"""What comes in by lists and events, and what the loops then know."""

from typing import Any

import pytest

from builders.placements import model_placement, placed_status
from builders.pool_values import placement_of
from builders.yaml_objects import small_model
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.ref import JOBS, MODELCARDS, PODS, SMALLMODELS
from smallmodel_operator.handlers.pods import read_pod
from smallmodel_operator.handlers.stores import Stores, Unreadable, key_of
from smallmodel_operator.plan.placements import placement_manifest, source_weights
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.sight import UnpulledImage
from smallmodel_operator.reconcile.source import source_job

HUB = "hub-1"
TEAM = "team-a"


def stores() -> Stores:
    return Stores(hub_id=HUB)


def model(name: str = "chat", **spec: Any) -> Manifest:
    made = small_model(name, **spec)
    return made | {"metadata": {"name": name, "namespace": TEAM, "generation": 3}}


def ours(kind: str, name: str, **metadata: Any) -> Manifest:
    labels = {LABEL_HUB: HUB} | metadata.pop("labels", {})
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": TEAM, "labels": labels, **metadata},
    }


def theirs(kind: str, name: str) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": TEAM}}


def placement(name: str = "chat", **status: Any) -> Manifest:
    made = placement_of(name, status=status, metadata={"labels": {LABEL_HUB: HUB}})
    dumped = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    return placement_manifest(made) | {"status": dumped["status"]}


def pod(name: str, **status: Any) -> Manifest:
    labels = {"batch.kubernetes.io/job-name": "fetch-chat"}
    return {"metadata": {"name": name, "namespace": TEAM, "labels": labels}, "status": status}


def ended(message: str | None) -> Manifest:
    return {"containerStatuses": [{"state": {"terminated": {"message": message}}}]}


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


def test_a_placement_is_known_by_its_model_and_only_if_it_is_ours() -> None:
    known = stores()

    assert known.see_placement(placement(), gone=False) == (TEAM, "chat")
    assert [each.spec.model.name for each in known.placements_in(TEAM)] == ["chat"]
    foreign = placement("embed")
    foreign["metadata"]["labels"] = {}
    assert known.see_placement(foreign, gone=False) is None
    assert known.placements_in("other") == ()
    known.see_placement(placement(), gone=True)
    assert not known.placements


def test_an_event_that_was_overtaken_by_our_own_write_changes_nothing() -> None:
    known = stores()
    late, newer, another = placement(), placement(), placement()
    late["metadata"] |= {"uid": "u1", "resourceVersion": "99"}
    newer["metadata"] |= {"uid": "u1", "resourceVersion": "100"}
    newer["status"] = {"pool": "p"}
    another["metadata"] |= {"uid": "u2", "resourceVersion": "7"}

    known.see_placement(newer, gone=False)
    known.see_placement(late, gone=False)
    assert known.placements[TEAM, "chat"].status.pool == "p"

    known.see_placement(another, gone=False)
    assert known.placements[TEAM, "chat"].status.pool is None, "another object of the same name"


def test_an_overtaken_event_of_a_pool_changes_nothing_unless_it_is_gone() -> None:
    known = stores()
    version = {"uid": "u1", "resourceVersion": "100"}
    known.see_pool(ours("RayService", "p", **version), gone=False)

    known.see_pool(ours("RayService", "p", uid="u1", resourceVersion="99"), gone=False)
    assert known.pools[TEAM, "p"]["metadata"]["resourceVersion"] == "100"
    known.see_pool(ours("RayService", "p", uid="u1", resourceVersion="99"), gone=True)
    assert not known.pools


@pytest.mark.parametrize(
    ("see", "manifest"),
    [
        (Stores.see_model, model()),
        (Stores.see_placement, placement()),
        (Stores.see_pool, ours("RayService", "p")),
        (Stores.see_job, ours("Job", "j")),
    ],
)
def test_what_is_known_already_is_no_news(see: Any, manifest: Manifest) -> None:
    known = stores()

    def at(version: str, uid: str = "u1") -> Manifest:
        metadata = manifest["metadata"] | {"uid": uid, "resourceVersion": version}
        return manifest | {"metadata": metadata}

    assert see(known, at("9"), gone=False) is not None
    assert see(known, at("9"), gone=False) is None, "the event of our own write"
    assert see(known, at("10"), gone=False) is not None
    assert see(known, at("8", "u2"), gone=False) is not None, "another one of the same name"
    assert see(known, at("10"), gone=True) is None, "the one before it"
    assert see(known, at("8", "u2"), gone=True) is not None
    assert see(known, at("11", "u2"), gone=False) is None, "an answer that came after its end"
    assert see(known, at("12", "u3"), gone=False) is not None


def test_no_more_ends_are_remembered_than_can_be_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallmodel_operator.handlers.stores._BURIED_MAX", 2)
    known = stores()
    for uid in ("u1", "u2", "u3"):
        known.see_pool(ours("RayService", "p", uid=uid), gone=True)

    assert known.see_pool(ours("RayService", "p", uid="u3"), gone=False) is None
    assert known.see_pool(ours("RayService", "p", uid="u1"), gone=False) == TEAM


def test_what_a_list_lacks_is_dropped_unless_it_was_made_after_it() -> None:
    known, source = stores(), {"uri": "https://example.org/x.gguf"}
    for name, version in (("old", "5"), ("there", "5"), ("new", "7")):
        manifest = model(name, source=source)
        manifest["metadata"] |= {"uid": name, "resourceVersion": version}
        known.see_model(manifest, gone=False)
        known.see_job(ours("Job", name, uid=name, resourceVersion=version), gone=False)
        known.see_pod(pod(name), gone=False)
    there = {(TEAM, "there")}

    for resource in (SMALLMODELS, JOBS, PODS, MODELCARDS):
        known.forget_missing(resource, there, "6")

    assert set(known.models) == set(known.jobs) == {(TEAM, "there"), (TEAM, "new")}
    assert set(known.pods) == there
    known.see_model(model("there"), gone=False)
    known.see_model(model("new"), gone=False)
    assert not known._models_of_jobs


def test_the_placements_of_a_pool_are_counted_as_they_come_change_and_go() -> None:
    known = stores()
    known.see_placement(placement("chat", pool="p"), gone=False)
    known.see_placement(placement("embed", pool="p"), gone=False)
    known.see_placement(placement("draft"), gone=False)
    assert known.assigned[TEAM, "p"] == 2

    known.see_placement(placement("chat", pool="q"), gone=False)
    known.see_placement(placement("embed"), gone=True)
    assert (known.assigned[TEAM, "p"], known.assigned[TEAM, "q"]) == (0, 1)


def test_who_wrote_which_field_is_not_kept() -> None:
    known = stores()
    known.see_pool(ours("RayService", "p", managedFields=[{"manager": "kuberay"}]), gone=False)
    known.see_job(ours("Job", "j", managedFields=[{"manager": "kubelet"}]), gone=False)

    assert "managedFields" not in known.pools[TEAM, "p"]["metadata"]
    assert "managedFields" not in known.jobs[TEAM, "j"]["metadata"]


def test_a_placement_that_cannot_be_read_is_remembered_until_it_can_or_is_gone() -> None:
    known = stores()
    known.see_placement(placement(), gone=False)
    newer = placement()
    newer["spec"]["engine"] = "AnotherEngine"

    assert known.see_placement(newer, gone=False) == (TEAM, "chat")
    assert known.unread_placements == {(TEAM, "chat")}
    assert not known.placements
    known.see_placement(placement(), gone=False)
    assert not known.unread_placements
    known.see_placement(newer, gone=False)
    known.see_placement(newer, gone=True)
    assert not known.unread_placements


def test_a_pool_is_ours_by_its_label_alone() -> None:
    known = stores()

    assert known.see_pool(ours("RayService", "p"), gone=False) == TEAM
    assert [key_of(each) for each in known.pools_in(TEAM)] == [(TEAM, "p")]
    known.see_pool(theirs("RayService", "p"), gone=False)
    assert (known.pools_in(TEAM), known.foreign_pools) == ((), {(TEAM, "p")})
    known.see_pool(theirs("RayService", "p"), gone=True)
    assert not known.foreign_pools


def waiting(reason: str, message: str | None = None) -> Manifest:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"image": "registry.example/x:1", "state": state}]}


def scheduled(status: str, reason: str = "", message: str = "") -> Manifest:
    found = {"type": "PodScheduled", "status": status, "reason": reason, "message": message}
    return {key: value for key, value in found.items() if value}


def of_pool(name: str, pool: str, **status: Any) -> Manifest:
    return ours("Pod", name, labels={LABEL_POOL: pool}) | {"status": status}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (waiting("ErrImagePull", "not found"), "not found"),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found'),
            "not found",
        ),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("ContainerCreating"), None),
        ({"initContainerStatuses": waiting("ErrImagePull", "no")["containerStatuses"]}, "no"),
        (ended("done"), None),
    ],
)
def test_an_image_that_cannot_be_pulled_is_known_with_its_cause(
    status: Manifest, words: str | None
) -> None:
    found = read_pod(of_pool("a", "p", **status)).unpulled

    assert found == (UnpulledImage(image="registry.example/x:1", message=words) if words else None)


def test_a_pool_waits_for_an_image_as_long_as_one_of_its_pods_does() -> None:
    known = stores()
    for name, pool in (("a", "p"), ("b", "p"), ("c", "other")):
        known.see_pod(of_pool(name, pool, **waiting("ErrImagePull", name)), gone=False)

    assert known.unpulled_in(TEAM, "p") == UnpulledImage(image="registry.example/x:1", message="a")
    assert known.unpulled_in("team-b", "p") is None
    known.see_pod(of_pool("a", "p", phase="Running"), gone=False)
    assert known.unpulled_in(TEAM, "p") == UnpulledImage(image="registry.example/x:1", message="b")
    del known.pods[TEAM, "b"]
    assert known.unpulled_in(TEAM, "p") is None
    known.see_pod(of_pool("c", "other"), gone=True)
    assert known.unpulled_in(TEAM, "other") is None


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (scheduled("False", "Unschedulable", "1 Insufficient cpu."), "1 Insufficient cpu."),
        (scheduled("False", "Unschedulable"), "Unschedulable"),
        (scheduled("False", "SchedulingGated", "gated"), None),
        (scheduled("True"), None),
        ({"type": "Ready", "status": "False", "reason": "Unschedulable"}, None),
    ],
)
def test_a_pod_that_no_node_has_room_for_is_known_with_the_schedulers_words(
    condition: Manifest, words: str | None
) -> None:
    known = stores()
    known.see_pod(of_pool("a", "p", conditions=[condition]), gone=False)

    assert known.unscheduled_in(TEAM, "p") == words
    assert known.unscheduled_in(TEAM, "other") is None
    known.see_pod(of_pool("a", "p", conditions=[scheduled("True")]), gone=False)
    assert known.unscheduled_in(TEAM, "p") is None


def test_a_job_waits_for_the_image_of_its_pod() -> None:
    known = stores()
    known.see_job(ours("Job", "fetch-chat"), gone=False)
    known.see_pod(pod("a", **waiting("ErrImagePull", "not found")), gone=False)

    seen = known.job_sight(TEAM, "fetch-chat")

    assert seen is not None
    assert seen.unpulled == UnpulledImage(image="registry.example/x:1", message="not found")


def test_jobs_of_others_are_nothing() -> None:
    known = stores()

    assert known.see_job(theirs("Job", "j"), gone=False) is None
    assert known.see_job(ours("Job", "j"), gone=False) == TEAM
    assert set(known.jobs_in(TEAM)) == {"j"}
    assert known.jobs_in("other") == {}
    known.see_job(ours("Job", "j"), gone=True)
    assert not known.jobs


def test_a_jobs_last_words_are_those_of_its_newest_pod_that_said_some() -> None:
    known = stores()
    known.see_job(ours("Job", "fetch-chat"), gone=False)
    known.see_pod(pod("a", **ended("first")), gone=False)
    known.see_pod(pod("b", **ended("second")), gone=False)
    known.see_pod(pod("c", **ended(None)), gone=False)

    found = known.job_sight(TEAM, "fetch-chat")

    assert found is not None
    assert found.last_words == "second"
    assert known.job_sight(TEAM, "another") is None


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
    known.placements[TEAM, "chat"] = placement_of(
        weights=source_weights(chat.spec.source),
        status={"fetch": FetchDone(path="/w", bytes=1, sha256=None), "fetch_job": job},
    )
    assert known.needed_jobs(TEAM) == frozenset()


def test_a_pod_that_ended_has_no_address() -> None:
    running = read_pod(pod("a", phase="Running", podIP="10.0.0.7"))
    over = read_pod(pod("a", phase="Failed", podIP="10.0.0.7"))

    assert (running.address, running.running, running.job) == ("10.0.0.7", True, "fetch-chat")
    assert (over.address, over.running) == (None, False)


def test_the_addresses_of_a_namespace_are_those_of_its_running_pods() -> None:
    known = stores()
    before, after = known.see_pod(pod("a", phase="Running", podIP="10.0.0.7"), gone=False)
    assert before is None
    assert after is not None
    known.see_pod(pod("b", phase="Pending"), gone=False)

    assert known.addresses([TEAM]) == ("10.0.0.7",)
    assert known.addresses(["other"]) == ()
    assert known.see_pod(pod("a"), gone=True) == (after, None)
    assert known.addresses([TEAM]) == ()


def test_a_namespace_ends_until_it_is_gone() -> None:
    known = stores()
    ending = {"metadata": {"name": TEAM, "deletionTimestamp": "2026-11-24T12:00:00Z"}}

    assert known.see_namespace(ending, gone=False) == TEAM
    assert known.ending == {TEAM}
    known.see_namespace(ending, gone=True)
    assert not known.ending
    known.see_namespace({"metadata": {"name": TEAM}}, gone=False)
    assert not known.ending


def test_a_status_that_the_operator_wrote_is_read_back_whole() -> None:
    known = stores()
    made = model_placement(placed_status())
    manifest = placement_manifest(made) | {
        "status": made.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    }
    manifest["metadata"]["labels"] = {LABEL_HUB: HUB}

    known.see_placement(manifest, gone=False)

    assert known.placements["team", "chat"].status == made.status
