"""What comes in of one cluster's objects, and what its serve loop then knows."""

from typing import Any

import pytest

from builders.told_objects import HUB, TEAM, ended, fetch_job, ours, pod, theirs
from smallmodel_operator.api.names import LABEL_POOL
from smallmodel_operator.clusters.ref import JOBS, MODELCARDS, PODS, RAYSERVICES
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.objects import key_of
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.pods import read_pod
from smallmodel_operator.plan.pools.values import LABEL_COMPONENT, Manifest
from smallmodel_operator.reconcile.sight import UnpulledImage


def stores() -> ClusterStores:
    return ClusterStores(placements=Placements(hub_id=HUB))


def test_an_overtaken_event_of_a_pool_changes_nothing_unless_it_is_gone() -> None:
    known = stores()
    version = {"uid": "u1", "resourceVersion": "100"}
    known.see_pool(ours("RayService", "p", **version), gone=False)

    known.see_pool(ours("RayService", "p", uid="u1", resourceVersion="99"), gone=False)
    assert known.pools[TEAM, "p"]["metadata"]["resourceVersion"] == "100"
    known.see_pool(ours("RayService", "p", uid="u1", resourceVersion="99"), gone=True)
    assert not known.pools


def test_no_more_ends_are_remembered_than_can_be_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallmodel_operator.handlers.objects._BURIED_MAX", 2)
    known = stores()
    for uid in ("u1", "u2", "u3"):
        known.see_pool(ours("RayService", "p", uid=uid), gone=True)

    assert known.see_pool(ours("RayService", "p", uid="u3"), gone=False) is None
    assert known.see_pool(ours("RayService", "p", uid="u1"), gone=False) == TEAM


def test_who_wrote_which_field_is_not_kept() -> None:
    known = stores()
    known.see_pool(ours("RayService", "p", managedFields=[{"manager": "kuberay"}]), gone=False)
    known.see_job(fetch_job("j", managedFields=[{"manager": "kubelet"}]), gone=False)

    assert "managedFields" not in known.pools[TEAM, "p"]["metadata"]
    assert "managedFields" not in known.jobs[TEAM, "j"]["metadata"]


def test_a_job_that_kuberay_gave_the_labels_of_a_pool_is_no_fetch() -> None:
    known = stores()
    cleaning = ours("Job", "p-redis-cleanup", labels={LABEL_COMPONENT: "pool"})

    assert known.see_job(cleaning, gone=False) is None
    assert not known.jobs


def test_of_a_pool_with_a_store_it_is_remembered_that_something_is_left() -> None:
    known = stores()
    clusters: dict[str, Manifest] = {"with": {"gcsFaultToleranceOptions": {}}, "without": {}}
    for name, cluster in clusters.items():
        pool = ours("RayService", name, uid=name, resourceVersion="1")
        known.see_pool(pool | {"spec": {"rayClusterConfig": cluster}}, gone=False)
    assert not known.ended

    known.see_pool(ours("RayService", "without", uid="without"), gone=True)
    known.forget_missing(RAYSERVICES, set(), "2")
    assert known.ended == {(TEAM, "with")}
    known.see_pool(ours("RayService", "with", uid="another"), gone=False)
    assert not known.ended


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
    known.see_job(fetch_job("fetch-chat"), gone=False)
    known.see_pod(pod("a", **waiting("ErrImagePull", "not found")), gone=False)

    seen = known.job_sight(TEAM, "fetch-chat")

    assert seen is not None
    assert seen.unpulled == UnpulledImage(image="registry.example/x:1", message="not found")


def test_jobs_of_others_are_nothing() -> None:
    known = stores()

    assert known.see_job(theirs("Job", "j"), gone=False) is None
    assert known.see_job(fetch_job("j"), gone=False) == TEAM
    assert set(known.jobs_in(TEAM)) == {"j"}
    assert known.jobs_in("other") == {}
    known.see_job(fetch_job("j"), gone=True)
    assert not known.jobs


def test_a_jobs_last_words_are_those_of_its_newest_pod_that_said_some() -> None:
    known = stores()
    known.see_job(fetch_job("fetch-chat"), gone=False)
    known.see_pod(pod("a", **ended("first")), gone=False)
    known.see_pod(pod("b", **ended("second")), gone=False)
    known.see_pod(pod("c", **ended(None)), gone=False)

    found = known.job_sight(TEAM, "fetch-chat")

    assert found is not None
    assert found.last_words == "second"
    assert known.job_sight(TEAM, "another") is None


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


def test_what_a_list_lacks_is_dropped_unless_it_was_made_after_it() -> None:
    known = stores()
    for name, version in (("old", "5"), ("there", "5"), ("new", "7")):
        known.see_job(fetch_job(name, uid=name, resourceVersion=version), gone=False)
        known.see_pod(pod(name), gone=False)
    there = {(TEAM, "there")}

    for resource in (JOBS, PODS, MODELCARDS):
        known.forget_missing(resource, there, "6")

    assert set(known.jobs) == {(TEAM, "there"), (TEAM, "new")}
    assert set(known.pods) == there
