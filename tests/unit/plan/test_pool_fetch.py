import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import fetched
from builders.pool_values import fetch_job_of, placement_of, pool_settings, weights
from smallmodel_operator.api.fetch import (
    FetchDone,
    FetchEvent,
    FetchFailed,
    FetchProgress,
    FetchWaiting,
)
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SecretRef
from smallmodel_operator.plan.pools.fetchjob import is_same_fetch, job_name, read_fetch
from smallmodel_operator.plan.pools.values import Manifest, Toleration, WeightsVolume
from support.pod_security import violations

DONE = fetched(path="/weights/tiny/q4_1.gguf")
FAILED = FetchFailed(reason=Reason.DIGEST_MISMATCH, message="it is another file")
PROGRESS = FetchProgress(done_bytes=5, total_bytes=10)


def job(weights_: Any = None, **settings: Any) -> Manifest:
    placement = placement_of(weights=weights_ or weights())
    return fetch_job_of(placement, pool_settings(**settings))


def name_of(placement: ModelPlacement) -> str:
    return job_name(placement.spec.weights)


def pod(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def command(manifest: Manifest) -> list[str]:
    found: list[str] = pod(manifest)["containers"][0]["command"]
    return found


def ended(kind: str | None = None, **condition: Any) -> Manifest:
    conditions = [{"type": kind, "status": "True", **condition}] if kind else []
    waiting = {"type": "FailureTarget", "status": "True"}
    return job() | {"status": {"conditions": [waiting, *conditions]}}


def lines(*events: FetchEvent | str) -> str:
    texts = (each if isinstance(each, str) else each.model_dump_json() for each in events)
    return "\n".join(texts)


@given(st.text(max_size=300))
def test_all_weights_have_a_jobs_name_that_kubernetes_takes(path: str) -> None:
    found = job_name(weights(uri=f"https://example.org/{path}"))

    assert len(found) <= 63
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", found)


@pytest.mark.parametrize(
    "other",
    [
        weights(uri="hf://example/tiny/q8_0.gguf"),
        weights(revision="v2"),
        weights(sha256="cd" * 32),
        weights(secret_ref=SecretRef(name="hub")),
    ],
)
def test_other_weights_are_another_job(other: Any) -> None:
    assert name_of(placement_of(weights=other)) != name_of(placement_of())


def test_the_same_weights_are_the_same_job_whatever_else_changes() -> None:
    assert name_of(placement_of(max_replicas=7)) == name_of(placement_of())
    assert name_of(placement_of("other")) == name_of(placement_of())


def test_people_see_which_file_a_job_fetches() -> None:
    assert name_of(placement_of()).startswith("fetch-q4-1-gguf-")


def test_jobs_of_earlier_versions_are_known_by_their_weights() -> None:
    now = name_of(placement_of())
    before = f"fetch-chat-{now.rpartition('-')[2]}"

    assert is_same_fetch(now, before)
    assert not is_same_fetch(now, f"{before}0")
    assert not is_same_fetch(now, None)


def test_the_program_is_told_what_is_pinned() -> None:
    pinned = weights(revision="-v2", bytes=7, secret_ref=SecretRef(name="hub"))

    assert command(job(pinned)) == [
        "python",
        "-m",
        "smallmodel_serving.runtime.fetch",
        "--uri=hf://example/tiny/q4_1.gguf",
        "--cache=/weights",
        "--termination-message=/dev/termination-log",
        "--no-file",
        "--revision=-v2",
        f"--sha256={pinned.sha256}",
        "--bytes=7",
        "--token-file=/run/secrets/smallmodel/token",
    ]
    assert not [word for word in command(job()) if "token-file" in word]


def test_a_secret_is_a_file_that_this_job_alone_sees() -> None:
    spec = pod(job(weights(secret_ref=SecretRef(name="hub"))))

    assert spec["volumes"][-1] == {
        "name": "token",
        "secret": {
            "secretName": "hub",
            "items": [{"key": "token", "path": "token"}],
            "defaultMode": 0o440,
        },
    }
    assert spec["containers"][0]["volumeMounts"][-1]["readOnly"] is True
    assert "secret" not in json.dumps(pod(job())).lower()


def test_the_users_own_claim_is_read_and_never_written() -> None:
    spec = pod(job(weights(uri="pvc://my-models/tiny/q4_1.gguf")))

    assert spec["containers"][0]["volumeMounts"][-1] == {
        "name": "source",
        "mountPath": "/pvc/my-models",
        "readOnly": True,
    }
    assert spec["volumes"][-1]["persistentVolumeClaim"] == {
        "claimName": "my-models",
        "readOnly": True,
    }
    assert "source" not in {each["name"] for each in pod(job())["volumes"]}


def test_the_job_writes_the_volume_that_workers_read() -> None:
    settings = {"weights": WeightsVolume(claim="mine")}
    spec = pod(job(**settings))

    assert {"name": "weights", "mountPath": "/weights"} in spec["containers"][0]["volumeMounts"]
    assert {
        "name": "weights",
        "persistentVolumeClaim": {"claimName": "mine"},
    } in spec["volumes"]
    assert spec["securityContext"]["fsGroup"] == 1000


def test_the_job_meets_the_restricted_standard_and_has_bounds() -> None:
    found = job(weights(secret_ref=SecretRef(name="hub")), fetch_deadline_seconds=60)
    spec = pod(found)

    assert violations(spec) == []
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["containers"][0]["resources"].keys() == {"requests", "limits"}
    assert found["spec"]["activeDeadlineSeconds"] == 60
    assert found["spec"]["backoffLimit"] == 1


def test_the_job_belongs_to_the_installation_and_to_no_object() -> None:
    metadata = job()["metadata"]

    assert metadata["namespace"] == "team-a"
    assert metadata["labels"] == {
        "app.kubernetes.io/component": "fetch",
        "app.kubernetes.io/managed-by": "smallmodel-operator",
        "smallmodel.dev/hub": "hub-1",
    }
    assert "ownerReferences" not in metadata


def test_the_installations_choices_reach_the_job() -> None:
    spec = pod(
        job(
            fetch_environment=(("PIP_INDEX_URL", "https://mirror.example/simple"),),
            image_pull_secrets=("pull",),
            tolerations=(Toleration(key="edge"),),
        )
    )

    assert spec["containers"][0]["env"] == [
        {"name": "HOME", "value": "/tmp"},
        {"name": "PIP_INDEX_URL", "value": "https://mirror.example/simple"},
    ]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["tolerations"] == [{"key": "edge", "operator": "Exists"}]
    assert "imagePullSecrets" not in pod(job())


@pytest.mark.parametrize(
    ("live", "text", "expected"),
    [
        (ended(), None, None),
        (ended(), "", None),
        (job(), "Traceback", None),
        (ended(), lines(FetchWaiting()), FetchWaiting()),
        (ended(), lines(FetchWaiting(), PROGRESS), PROGRESS),
        (ended(), lines(PROGRESS, "a library's warning"), PROGRESS),
        (ended(), lines(PROGRESS, FAILED), None),
        (ended(), lines(PROGRESS, DONE), DONE),
        (ended("Complete"), lines(DONE), DONE),
        (ended("Failed"), lines(FAILED), FAILED),
        (ended("Failed"), lines(DONE), DONE),
        (ended("Failed", status="False"), lines(FAILED), None),
    ],
    ids=[
        "no pod yet",
        "an empty message",
        "no status and no event",
        "waiting for the lock",
        "the last line counts",
        "other lines are passed over",
        "a failure is not final while the Job tries again",
        "the pod ended before the Job's status says so",
        "done",
        "failed",
        "the weights are there though the Job failed",
        "a condition that is false says nothing",
    ],
)
def test_a_fetch_is_read_from_its_job_and_its_last_words(
    live: Manifest, text: str | None, expected: FetchEvent | None
) -> None:
    assert read_fetch(live, text) == expected


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"reason": "DeadlineExceeded", "message": "it ran 60 s"}, "it ran 60 s"),
        ({"reason": "BackoffLimitExceeded"}, "BackoffLimitExceeded"),
        ({}, "no reason given"),
    ],
)
def test_a_job_that_ended_without_a_word_says_where_to_look(condition: Any, why: str) -> None:
    event = read_fetch(ended("Failed", **condition), lines(PROGRESS))

    assert isinstance(event, FetchFailed)
    assert event.reason is Reason.SOURCE_UNREACHABLE
    assert why in event.message
    assert "kubectl -n team-a describe pods -l job-name=fetch-q4-1-gguf-" in event.message


def test_a_job_whose_result_is_lost_is_to_be_run_again() -> None:
    event = read_fetch(ended("Complete"), None)

    assert isinstance(event, FetchFailed)
    assert event.reason is Reason.WEIGHTS_MISSING
    assert "fetched again" in event.message


def test_a_result_survives_its_way_through_the_termination_message() -> None:
    assert isinstance(read_fetch(ended("Complete"), lines(DONE)), FetchDone)
    assert read_fetch(ended("Complete"), lines(DONE)) == DONE
