"""A download that is cut goes on where it stopped, and never mixes two versions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smallmodel_operator.api.fetch import FetchProgress
from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import (
    SourceUnreachable,
)
from support.fake_hub import FakeHub
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


def another_version(content: bytes) -> bytes:
    """Differ in the part that arrived before the cut, so that a mixture shows."""
    return content[: CUT // 2] + b"\1" + content[CUT // 2 + 1 :]


def test_a_cut_download_goes_on_where_it_stopped(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.append(CUT)

    done = get(url, tmp_path)

    assert done.sha256 == sha256(weights)
    first, second = (request.first_byte for request in hub.requests)
    assert first == 0
    assert 0 < second <= CUT


def test_another_run_goes_on_where_the_last_one_gave_up(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable, match="tried 4 times"):
        get(url, tmp_path)
    asked_before = len(hub.requests)
    using = Tools()

    done = get(url, tmp_path, using)

    assert done.sha256 == sha256(weights)
    assert len(hub.requests) == asked_before + 1
    assert 0 < hub.requests[-1].first_byte <= CUT
    event = using.meter.event()
    assert isinstance(event, FetchProgress)
    assert event.resumed_bytes == hub.requests[-1].first_byte
    assert (event.done_bytes, event.total_bytes) == (len(weights), len(weights))


def test_a_file_that_changed_meanwhile_is_taken_from_its_start(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(url, tmp_path)
    other = another_version(weights)
    hub.put(PATH, other)
    before = len(hub.requests)

    done = get(url, tmp_path)

    assert Path(done.path).read_bytes() == other
    assert [request.first_byte for request in hub.requests[before:]] == [0]


def test_a_server_that_ignores_if_range_cannot_mix_two_versions(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(url, tmp_path)
    other = another_version(weights)
    hub.put(PATH, other)
    hub.honours_if_range = False

    done = get(url, tmp_path)

    assert Path(done.path).read_bytes() == other


@pytest.mark.parametrize(
    ("validators", "declares_digest", "continues"),
    [
        ({"last_modified": "Mon, 02 Mar 2026 10:00:00 GMT", "etag": ""}, False, True),
        ({"etag": 'W/"weak"'}, False, False),
        ({"etag": 'W/"weak"'}, True, True),
    ],
    ids=["a date names a version", "a weak tag does not", "a declared digest decides itself"],
)
def test_a_download_continues_only_when_two_versions_cannot_mix(
    hub: FakeHub,
    weights: bytes,
    tmp_path: Path,
    validators: dict[str, Any],
    declares_digest: bool,
    continues: bool,
) -> None:
    url = hub.put(PATH, weights, **validators)
    hub.cuts.append(CUT)

    done = get(url, tmp_path, sha256=sha256(weights) if declares_digest else None)

    assert done.sha256 == sha256(weights)
    assert (hub.requests[1].first_byte > 0) is continues


def test_a_server_without_ranges_or_lengths_still_delivers(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.honours_ranges = hub.tells_length = False
    hub.cuts.append(CUT)

    done = get(url, tmp_path, bytes=len(weights))

    assert done.sha256 == sha256(weights)
    assert len(hub.requests) == 2


def test_a_download_that_was_whole_but_not_yet_checked_is_not_repeated(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(url, tmp_path)
    partial = next(tmp_path.rglob("*.partial"))
    partial.write_bytes(weights)

    done = get(url, tmp_path)

    assert done.sha256 == sha256(weights)
    assert hub.requests[-1].first_byte == len(weights)


def test_a_damaged_beginning_from_an_earlier_run_is_replaced(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(url, tmp_path, sha256=sha256(weights))
    partial = next(tmp_path.rglob("*.partial"))
    partial.write_bytes(bytes(partial.stat().st_size))

    done = get(url, tmp_path, sha256=sha256(weights))

    assert Path(done.path).read_bytes() == weights


def test_a_file_that_became_shorter_is_taken_from_its_start(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    shorter = gguf_bytes(tmp_path, tensor_rows=64)
    assert len(shorter) < CUT // 2
    url = hub.put(PATH, weights)
    hub.cuts.extend([CUT, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(url, tmp_path)
    hub.put(PATH, shorter)
    hub.honours_if_range = False

    assert get(url, tmp_path).sha256 == sha256(shorter)


def test_a_server_that_answers_another_range_is_not_believed(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    url = hub.put(PATH, weights)
    hub.cuts.append(CUT)
    hub.misstates_ranges = True

    with pytest.raises(SourceUnreachable, match="was asked for bytes from"):
        get(url, tmp_path)
