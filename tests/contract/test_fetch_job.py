"""The fetch Job that the operator renders is one that the serving image's fetch program runs."""

import importlib.util
from typing import Any

import pytest

from builders.pool_values import NAMESPACE, pool_settings, weights
from smallmodel_operator.api.fetch import CLAIMS_FOLDER, FetchDone, FetchFailed
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.pools.fetchjob import PROGRAM, build_fetch_job, read_fetch
from smallmodel_serving.runtime import fetch
from smallmodel_serving.runtime.weights.sources import ClaimSource, parse_source

COMPLETE = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
FAILED = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}


def pod_of(**changed: Any) -> dict[str, Any]:
    job = build_fetch_job(NAMESPACE, weights(**changed), pool_settings())
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def test_the_program_is_there() -> None:
    assert importlib.util.find_spec(PROGRAM) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"uri": "oci://ghcr.io/org/tiny:1", "sha256": None},
        {"uri": "pvc://models/tiny.gguf", "revision": "-1", "bytes": 7},
        {"secret_ref": {"name": "hub"}},
    ],
)
def test_its_arguments_are_understood(changed: dict[str, Any]) -> None:
    container = pod_of(**changed)["containers"][0]
    words = container["command"]

    options = fetch.parser().parse_args(words[words.index(PROGRAM) + 1 :])

    wanted = weights(**changed)
    assert options.uri == wanted.uri
    assert options.revision == wanted.revision
    assert options.sha256 == wanted.sha256
    assert options.bytes == wanted.bytes
    assert str(options.termination_message) == container["terminationMessagePath"]
    mounts = {
        mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]
    }
    assert mounts[str(options.cache)] is False
    if options.token_file is not None:
        assert mounts[str(options.token_file.parent)] is True
    assert (options.token_file is not None) == (wanted.secret_ref is not None)


def test_a_users_volume_is_mounted_where_the_program_looks_for_it() -> None:
    uri = "pvc://team-models/a/tiny.gguf"
    pod = pod_of(uri=uri)
    source = parse_source(uri)

    assert isinstance(source, ClaimSource)
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    mount = mounts[f"{CLAIMS_FOLDER}/{source.claim}"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mount["readOnly"] is True
    assert volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] == source.claim


def test_what_the_program_leaves_as_its_last_word_is_read_back() -> None:
    done = FetchDone(path="/weights/tiny/tiny.gguf", bytes=7, sha256="0" * 64)
    failed = FetchFailed(reason=Reason.DISK_FULL, message="no room " * 2000)

    assert read_fetch(COMPLETE, fetch.bounded(done)) == done
    read = read_fetch(FAILED, fetch.bounded(failed))
    assert isinstance(read, FetchFailed)
    assert read.reason is Reason.DISK_FULL
