"""Fetching over HTTP from a server that fails in the ways that real ones do."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import requests

from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    DiskFull,
    InvalidWeights,
    SecretMissing,
    SourceNotSupported,
    SourceUnreachable,
    WeightsError,
)
from smallmodel_serving.runtime.weights.http import session
from smallmodel_serving.runtime.weights.verify import read_marker
from support.fake_hub import FakeFile, FakeHub
from support.fetching import get, sha256
from support.gguf_files import gguf_bytes

PATH = "/models/tiny.gguf"
CUT = 200_000


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """About 512 KiB, so that a cut leaves something on either side."""
    return gguf_bytes(tmp_path_factory.mktemp("gguf"), tensor_rows=8192)


def tools(free_bytes: int = 1 << 40, waits: list[float] | None = None) -> Tools:
    noted = waits if waits is not None else []
    return Tools(sleep=noted.append, free_bytes=lambda _: free_bytes)


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


def test_a_file_arrives_whole_with_its_digest_and_facts(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    done = get(hub.put(PATH, weights), tmp_path)

    assert Path(done.path).read_bytes() == weights
    assert (done.bytes, done.sha256) == (len(weights), sha256(weights))
    assert done.gguf is not None
    assert done.gguf.architecture == "llama"
    assert left_over(tmp_path) == ["tiny.gguf", "verified.json"]


def test_a_verified_file_is_not_asked_for_again(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    first = get(url, tmp_path)
    hub.files.clear()

    assert get(url, tmp_path) == first
    assert len(hub.requests) == 1


def test_a_file_that_was_changed_in_the_cache_is_fetched_again(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    path = Path(get(url, tmp_path).path)
    path.write_bytes(weights[:-1] + b"x")

    get(url, tmp_path)

    assert path.read_bytes() == weights


def test_a_file_whose_times_changed_is_read_again_and_not_fetched(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    path = Path(get(url, tmp_path).path)
    path.touch()

    get(url, tmp_path)

    marker = read_marker(path.parent)
    assert len(hub.requests) == 1
    assert marker is not None
    assert marker.files[0].mtime_ns == path.stat().st_mtime_ns


def test_a_wrong_digest_is_deleted_and_reported_with_both_digests(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    declared = "0" * 64

    with pytest.raises(DigestMismatch) as failed:
        get(hub.put(PATH, weights), tmp_path, sha256=declared)

    assert declared in str(failed.value)
    assert sha256(weights) in str(failed.value)
    assert left_over(tmp_path) == []


def test_a_corrected_digest_leaves_the_file_of_the_old_one_alone(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    old = Path(get(url, tmp_path, sha256=sha256(weights)).path)
    with pytest.raises(DigestMismatch):
        get(url, tmp_path, sha256="1" * 64)

    assert old.read_bytes() == weights


def test_a_size_other_than_declared_is_refused_before_it_is_fetched(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    with pytest.raises(InvalidWeights, match=f"{len(weights)} bytes and 17 were declared"):
        get(hub.put(PATH, weights), tmp_path, bytes=17)

    assert left_over(tmp_path) == []


def test_no_room_is_seen_before_the_download_and_said_with_numbers(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    with pytest.raises(DiskFull, match=r"needs 5\d\d KiB more .* has 1\.0 KiB free"):
        get(hub.put(PATH, weights), tmp_path, tools(free_bytes=1024))

    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "starts with b'<!DO'"),
        (b"GG", "starts with b'GG'"),
        (b"GGUF\3\0", "cut short"),
        (b"GGUF\x63\0\0\0" + bytes(16), "GGUF version 99"),
    ],
    ids=["a web page", "too short for a magic number", "too short for a version", "the future"],
)
def test_what_is_no_gguf_file_is_deleted_and_named(
    hub: FakeHub, tmp_path: Path, content: bytes, says: str
) -> None:
    with pytest.raises(InvalidWeights) as failed:
        get(hub.put(PATH, content), tmp_path)

    assert says in str(failed.value)
    assert left_over(tmp_path) == []


def test_a_truncated_gguf_file_is_deleted_and_named(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    with pytest.raises(InvalidWeights, match="cut short"):
        get(hub.put(PATH, weights[:-1000]), tmp_path)

    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (HTTPStatus.NOT_FOUND, SourceUnreachable, "answered 404"),
        (HTTPStatus.UNAUTHORIZED, SecretMissing, "needs a token"),
        (HTTPStatus.FORBIDDEN, SecretMissing, "needs a token"),
        (HTTPStatus.GONE, SourceUnreachable, "answered 410"),
    ],
)
def test_an_answer_that_will_not_change_fails_at_once(
    hub: FakeHub,
    tmp_path: Path,
    weights: bytes,
    status: HTTPStatus,
    error: type[WeightsError],
    says: str,
) -> None:
    hub.statuses.append(status)

    with pytest.raises(error, match=says):
        get(hub.put(PATH, weights), tmp_path)

    assert len(hub.requests) == 1
    assert left_over(tmp_path) == []


def test_an_answer_that_may_change_is_tried_again_after_a_growing_while(
    hub: FakeHub, tmp_path: Path, weights: bytes
) -> None:
    hub.statuses.extend([HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE])
    waits: list[float] = []

    done = get(hub.put(PATH, weights), tmp_path, tools(waits=waits))

    assert done.sha256 == sha256(weights)
    assert waits == [0.5, 1.0]


def test_the_token_opens_what_is_closed_and_a_refused_one_is_named_as_such(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights, token="right")
    with pytest.raises(SecretMissing, match="token that was sent does not open it"):
        get(url, tmp_path, token="wrong")

    assert get(url, tmp_path, token="right").sha256 == sha256(weights)


def test_the_token_stays_behind_when_a_redirect_leaves_the_host(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    with FakeHub() as elsewhere:
        hub.files[PATH] = FakeFile(content=b"", location=elsewhere.put("/blob", weights))

        done = get(f"{hub.url}{PATH}", tmp_path, token="secret")

        assert done.sha256 == sha256(weights)
        assert hub.requests[0].authorization == "Bearer secret"
        assert elsewhere.requests[0].authorization is None


def test_an_unreachable_source_is_named_with_its_cause(tmp_path: Path) -> None:
    with FakeHub() as gone:
        url = f"{gone.url}{PATH}"

    with pytest.raises(SourceUnreachable, match="Connection refused") as failed:
        get(f"{url}?signature=secret", tmp_path)

    assert failed.value.reason is Reason.SOURCE_UNREACHABLE
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("place", ["given", "redirected"])
def test_plain_http_beyond_this_machine_is_refused(
    hub: FakeHub, tmp_path: Path, place: str
) -> None:
    far = "http://192.0.2.1/tiny.gguf"
    if place == "redirected":
        hub.files[PATH] = FakeFile(content=b"", location=far)

    with pytest.raises(SourceNotSupported, match="plain http"):
        get(far if place == "given" else f"{hub.url}{PATH}", tmp_path)


def test_the_marker_says_where_the_file_came_from(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    done = get(url, tmp_path, revision="v1")

    written = json.loads((Path(done.path).parent / "verified.json").read_text())

    assert (written["uri"], written["revision"]) == (url, "v1")
    assert (written["sha256"], written["bytes"]) == (sha256(weights), len(weights))


@pytest.mark.parametrize("trusted", ["mirror.invalid", "mirror.invalid:9"])
def test_only_a_trusted_host_may_be_asked_in_plain_http(trusted: str) -> None:
    opened = session(trusted=frozenset({trusted}))

    with pytest.raises(requests.ConnectionError):
        opened.get("http://mirror.invalid:9/simple/", timeout=1)
    with pytest.raises(SourceNotSupported, match="plain http"):
        opened.get("http://other.invalid:9/simple/", timeout=1)
