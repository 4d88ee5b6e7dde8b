"""The Job that fetches weights into their namespace's volume, and what came of it.

There is one for all models of a namespace with the same weights.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from smallmodel_operator.api.fetch import (
    FETCH_EVENTS,
    FetchDone,
    FetchEvent,
    FetchFailed,
    FetchProgress,
    FetchWaiting,
)
from smallmodel_operator.api.modelplacement import PinnedWeights
from smallmodel_operator.api.names import bounded, short_hash
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.claims import claim_mounts, claim_volumes, source_claim
from smallmodel_operator.plan.pools.names import owned_labels
from smallmodel_operator.plan.pools.pods import toleration
from smallmodel_operator.plan.pools.security import USER, container_security, pod_security
from smallmodel_operator.plan.pools.values import (
    COMPONENT_FETCH,
    LABEL_COMPONENT,
    WEIGHTS_FOLDER,
    Manifest,
    PoolSettings,
)
from smallmodel_operator.plan.pools.weights import weights_volume

PROGRAM: Final = "smallmodel_serving.runtime.fetch"
TERMINATION_LOG: Final = "/dev/termination-log"

_TOKEN_FOLDER: Final = "/run/secrets/smallmodel"  # noqa: S105 - a folder
_TOKEN_FILE: Final = "token"  # noqa: S105 - the key's name in the Secret
_JOB_NAME_MAX: Final = 63
_HASH_DIGITS: Final = 10
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")
# The operator tries again by itself, later and later; one more try at once helps against a node
# that went away, and no more than that.
_BACKOFF_LIMIT: Final = 1
_GRACE_SECONDS: Final = 30
_KEPT_SECONDS: Final = 24 * 3600
_REQUESTS: Final = {"cpu": "100m", "memory": "256Mi"}
_LIMITS: Final = {"cpu": "2", "memory": "1Gi"}
_TMP_SIZE: Final = "2Gi"


@lru_cache(maxsize=4096)
def job_name(weights: PinnedWeights) -> str:
    """Return the Job's name, which is the same one for the same weights."""
    text = json.dumps(weights.model_dump(mode="json"), sort_keys=True)
    ending = f"-{short_hash(text, _HASH_DIGITS)}"
    # The file's name tells people what is fetched; the hash alone tells it apart.
    file = _NOT_IN_NAMES.sub("-", weights.uri.rpartition("/")[2].lower()).strip("-")
    return f"{bounded(f'fetch-{file}'.rstrip('-'), _JOB_NAME_MAX - len(ending))}{ending}"


def is_same_fetch(job: str, other: str | None) -> bool:
    """Return whether two names are those of Jobs for the same weights.

    Earlier versions had a Job for each model, whose name ended with the same hash.
    """
    return other is not None and job.rpartition("-")[2] == other.rpartition("-")[2]


def build_fetch_job(namespace: str, weights: PinnedWeights, settings: PoolSettings) -> Manifest:
    """Return the Job that fetches weights for the models of a namespace.

    A Job's pod template cannot change, so the Job is created where it is missing and never applied
    over one that is there.
    """
    labels = owned_labels(settings) | {LABEL_COMPONENT: COMPONENT_FETCH}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(weights),
            "namespace": namespace,
            "labels": labels,
        },
        "spec": {
            "activeDeadlineSeconds": settings.fetch_deadline_seconds,
            "backoffLimit": _BACKOFF_LIMIT,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(weights, settings),
            },
        },
    }


def read_fetch(job: Manifest, termination_message: str | None) -> FetchEvent | None:
    """Return how far a fetch is; None where nothing is known yet.

    Args:
        job: The live Job.
        termination_message: What its newest pod wrote on ending, or its log so far: JSON lines, of
            which the last one that is an event counts.
    """
    event = _last_event(termination_message)
    finished = _finished(job)
    if isinstance(event, FetchDone):
        return event
    if finished is None:
        # A failure is final only once the Job has given up trying.
        return event if isinstance(event, FetchProgress | FetchWaiting) else None
    if isinstance(event, FetchFailed):
        return event
    return _without_result(job, finished)


def has_image_of(job: Manifest, wanted: Manifest) -> bool:
    """Return whether a live Job pulls the image that it would have today, with the same secrets."""
    return _pulls(job) == _pulls(wanted)


def _pulls(job: Manifest) -> tuple[str, str, list[Manifest]]:
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    secrets: list[Manifest] = pod.get("imagePullSecrets") or []
    return container["image"], container["imagePullPolicy"], secrets


def _pod(weights: PinnedWeights, settings: PoolSettings) -> Manifest:
    claim = source_claim(weights.uri)
    mounts: list[Manifest] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir
        {"name": "weights", "mountPath": WEIGHTS_FOLDER},
        *claim_mounts(claim),
    ]
    volumes: list[Manifest] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE}},
        weights_volume(settings.weights),
        *claim_volumes(claim),
    ]
    if weights.secret_ref:
        mounts.append({"name": "token", "mountPath": _TOKEN_FOLDER, "readOnly": True})
        volumes.append({"name": "token", "secret": _only_the_token(weights.secret_ref.name)})
    environment = {"HOME": "/tmp"} | dict(settings.fetch_environment)  # noqa: S108 - an emptyDir
    container = {
        "name": "fetch",
        "image": settings.cpu_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", PROGRAM, *_arguments(weights)],
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "resources": {"requests": dict(_REQUESTS), "limits": dict(_LIMITS)},
        "securityContext": container_security(),
        "terminationMessagePath": TERMINATION_LOG,
        "volumeMounts": mounts,
    }
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        # The volume's files belong to the group that serving pods read them with.
        "securityContext": pod_security()
        | {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "volumes": volumes,
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.tolerations:
        pod["tolerations"] = [toleration(each) for each in settings.tolerations]
    return pod


def _arguments(weights: PinnedWeights) -> list[str]:
    optional = {
        "--revision": weights.revision,
        "--sha256": weights.sha256,
        "--bytes": weights.bytes,
        "--token-file": f"{_TOKEN_FOLDER}/{_TOKEN_FILE}" if weights.secret_ref else None,
    }
    # One word each: a value that begins with a hyphen can so never be taken for an option.
    words = [f"{flag}={value}" for flag, value in optional.items() if value is not None]
    return [
        f"--uri={weights.uri}",
        f"--cache={WEIGHTS_FOLDER}",
        f"--termination-message={TERMINATION_LOG}",
        # A path of a user's would be one of this pod's own.
        "--no-file",
        *words,
    ]


def _only_the_token(secret: str) -> Manifest:
    return {
        "secretName": secret,
        "items": [{"key": _TOKEN_FILE, "path": _TOKEN_FILE}],
        "defaultMode": 0o440,
    }


def _last_event(text: str | None) -> FetchEvent | None:
    return next(_events(text or ""), None)


def _events(text: str) -> Iterator[FetchEvent]:
    for line in reversed(text.splitlines()):
        try:
            yield FETCH_EVENTS.validate_json(line)
        except ValidationError:
            # A warning of a library, or a line that the log's limit cut.
            continue


def _finished(job: Manifest) -> Mapping[str, Any] | None:
    conditions = job.get("status", {}).get("conditions", [])
    ends = (each for each in conditions if each["type"] in {"Complete", "Failed"})
    return next((each for each in ends if each["status"] == "True"), None)


def _without_result(job: Manifest, finished: Mapping[str, Any]) -> FetchFailed:
    name = f"fetch Job {job['metadata']['namespace']}/{job['metadata']['name']}"
    if finished["type"] == "Complete":
        return FetchFailed(
            reason=Reason.WEIGHTS_MISSING,
            message=f"{name} succeeded and its pod is gone with the result; it is fetched again",
        )
    why = finished.get("message") or finished.get("reason") or "no reason given"
    return FetchFailed(
        reason=Reason.SOURCE_UNREACHABLE,
        message=f"{name} ended without a result ({why}); look at its pod's events, for example "
        f"with kubectl -n {job['metadata']['namespace']} describe pods "
        f"-l job-name={job['metadata']['name']}",
    )
