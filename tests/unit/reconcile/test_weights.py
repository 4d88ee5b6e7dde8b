"""Fetch Jobs: when there is one, when it goes, and what it came to."""

from typing import Any

import pytest

from builders.fake_namespace import START, FakeNamespace, fetched_job, served_by
from builders.plan_values import SHA256, fetched
from builders.pool_values import (
    WITHOUT_CLAIMS,
    fetch_job_of,
    placement_of,
    pool_settings,
    weights,
)
from smallmodel_operator.api.fetch import FetchDone, FetchEvent, FetchFailed, FetchProgress
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SecretRef
from smallmodel_operator.reconcile.clock import after, seconds_between
from smallmodel_operator.reconcile.sight import JobSight
from smallmodel_operator.reconcile.weights import FetchStep, placement_fetch

SETTINGS = pool_settings()
PLACEMENT = placement_of()
JOB = fetch_job_of(PLACEMENT, SETTINGS)
NAME = JOB["metadata"]["name"]


def step(
    seen: JobSight | None, *, now: str = START, placement: ModelPlacement = PLACEMENT
) -> FetchStep:
    return placement_fetch(placement, seen, SETTINGS, now)


def failed(reason: Reason) -> FetchFailed:
    return FetchFailed(reason=reason, message="it did not work")


def remembering(event: FetchEvent, job: str = NAME, **changes: Any) -> ModelPlacement:
    return placement_of(status={"fetch": event, "fetch_job": job}, **changes)


def test_without_a_job_one_is_made() -> None:
    found = step(None)

    assert found == FetchStep(pinned=PLACEMENT.spec.weights, event=None, create=True)
    assert found.job == NAME


def test_a_job_that_says_nothing_yet_is_looked_at_again() -> None:
    assert step(JobSight(manifest=JOB)) == FetchStep(pinned=weights(), event=None, again=2.0)


def test_a_job_that_says_how_far_it_is_tells_of_its_next_words_itself() -> None:
    progress = FetchProgress(done_bytes=5, total_bytes=10)
    seen = JobSight(manifest=JOB, last_words=progress.model_dump_json())

    assert step(seen) == FetchStep(pinned=weights(), event=progress)


def test_what_a_job_found_is_remembered_before_the_job_goes() -> None:
    done = fetched_job(JOB, START)

    first = step(done)
    assert first.weights is not None
    assert not first.done
    second = step(done, placement=remembering(first.weights))
    assert second.weights == first.weights
    assert second.done
    assert not step(None, placement=remembering(first.weights)).create


def test_what_was_fetched_for_other_weights_is_nothing() -> None:
    assert step(None, placement=remembering(fetched(), job="fetch-other")).create


@pytest.mark.parametrize(
    ("reason", "pause"),
    [
        (Reason.SOURCE_UNREACHABLE, 60),
        (Reason.DISK_FULL, 60),
        (Reason.DIGEST_MISMATCH, 1800),
        (Reason.INVALID_WEIGHTS, 1800),
    ],
)
def test_a_failed_fetch_is_tried_again_after_a_pause(reason: Reason, pause: int) -> None:
    seen = fetched_job(JOB, START, failed(reason))

    early = step(seen, now=after(START, pause - 1))
    assert (early.event, early.retry, early.again) == (failed(reason), False, 1.0)
    late = step(seen, now=after(START, pause))
    assert (late.event, late.retry) == (failed(reason), True)
    anew = step(None, placement=remembering(failed(reason)))
    assert (anew.event, anew.create) == (failed(reason), True)


def test_weights_behind_a_secret_are_refused_where_replicas_fetch() -> None:
    gated = weights(secret_ref=SecretRef(name="hub"))
    placement = placement_of(weights=gated)
    job = fetch_job_of(placement, SETTINGS)["metadata"]["name"]
    known = remembering(fetched(), job=job, weights=gated)

    for each in (placement, known):
        found = placement_fetch(each, None, pool_settings(weights=WITHOUT_CLAIMS), START)

        assert not found.create
        assert isinstance(found.event, FetchFailed)
        assert found.event.reason is Reason.SOURCE_NOT_SUPPORTED
        assert "the Secret hub" in found.event.message
        assert "weights.volume.kind" in found.event.message
    assert placement_fetch(known, None, SETTINGS, START).weights == fetched()


def test_a_job_whose_result_was_lost_is_tried_again_in_a_minute() -> None:
    done = fetched_job(JOB, START)
    seen = JobSight(manifest=done.manifest)

    assert step(seen, now=after(START, 59)).again == 1.0
    assert step(seen, now=after(START, 60)).retry


def test_a_file_that_changed_at_its_source_is_refused() -> None:
    other = fetched(sha256="cd" * 32)
    pinned = weights(uri="https://example.org/x.gguf", sha256=None)
    placement = placement_of(weights=pinned)
    assert placement.spec.args.sha256 == SHA256

    found = step(fetched_job(JOB, START, other), placement=placement)

    assert isinstance(found.event, FetchFailed)
    assert found.event.reason is Reason.DIGEST_MISMATCH
    assert not found.done


@pytest.mark.parametrize("sha256", [None, SHA256])
def test_a_folder_has_no_digest_and_the_pinned_file_has_its_own(sha256: str | None) -> None:
    assert step(fetched_job(JOB, START, fetched(sha256=sha256))).weights is not None


def test_a_fetch_that_cannot_succeed_leaves_the_model_out_of_its_pool() -> None:
    fake = served_by("embed").place("chat", weights=weights(revision="v2"))
    fake.work()
    (name,) = fake.jobs
    fake.jobs[name] = fetched_job(fake.jobs[name].manifest, fake.now, failed(Reason.DISK_FULL))

    orders = fake.work()

    assert fake.models_of(fake.pool) == {"embed"}
    assert fake.placements["chat"].status.fetch == failed(Reason.DISK_FULL)
    assert orders.again is not None
    fake.pass_time(60)
    assert [each.kind for each in fake.work().delete] == ["Job"]
    assert len(fake.work().jobs) == 1


def test_a_job_that_is_going_already_is_not_deleted_again() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.delete("chat")
    (name,) = fake.jobs
    assert "Job" in {each.kind for each in fake.decide().delete}

    going = {"name": name, "deletionTimestamp": fake.now}
    fake.jobs[name] = JobSight(manifest=fake.jobs[name].manifest | {"metadata": going})

    assert "Job" not in {each.kind for each in fake.decide().delete}


def test_a_job_that_a_models_card_is_made_of_stays_without_a_placement() -> None:
    fake = FakeNamespace(jobs={NAME: JobSight(manifest=JOB)}, sight={"needed_jobs": {NAME}})

    orders = fake.decide()
    assert not orders.delete
    assert orders.wants_claim

    fake.sight.clear()
    kinds = [each.kind for each in fake.decide().delete]
    assert kinds == ["Job", "PersistentVolumeClaim"], "nobody needs it any more"


def test_a_needed_job_that_failed_in_the_placements_hands_is_tried_again_there() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    (name,) = fake.jobs
    fake.sight["needed_jobs"] = frozenset({name})
    event = failed(Reason.DISK_FULL)
    fake.jobs[name] = fetched_job(fake.jobs[name].manifest, after(fake.now, -60), event)

    assert [each.kind for each in fake.decide().delete] == ["Job"]


def test_models_with_the_same_weights_are_fetched_for_by_one_job() -> None:
    fake = FakeNamespace().place("chat", "draft", "embed")

    assert len(fake.work().jobs) == 1
    fake.settle()

    assert fake.models_of(fake.pool) == {"chat", "draft", "embed"}
    assert not fake.jobs


def test_a_shared_job_stays_until_all_its_models_know_what_it_found() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.world()
    fake.work()
    fake.place("draft")

    assert "Job" not in {each.kind for each in fake.decide().delete}
    fake.work()

    assert "Job" in {each.kind for each in fake.decide().delete}


def test_a_job_that_a_model_knows_stays_for_another_one_whose_card_is_made_of_it() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.world()
    fake.work()
    fake.sight["needed_jobs"] = frozenset(fake.jobs)

    assert "Job" not in {each.kind for each in fake.decide().delete}


def test_times_are_counted_in_whole_seconds_whatever_the_zone() -> None:
    assert after("2026-11-24T23:59:59Z", 1.9) == "2026-11-25T00:00:00Z"
    assert seconds_between("2026-11-24T12:00:00Z", "2026-11-24T11:59:00Z") == -60.0


def test_the_result_of_a_fetch_is_where_the_model_is_served_from() -> None:
    fake = served_by("chat")
    fetch = fake.placements["chat"].status.fetch

    assert isinstance(fetch, FetchDone)
    assert fake.config(fake.pool)["chat"]["args"]["weights"] == fetch.path
