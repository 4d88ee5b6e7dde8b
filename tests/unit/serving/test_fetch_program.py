"""The fetch program as `slm up` starts it: what it prints, how it stops, and two of it at once."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.api.fetch import (
    FETCH_EVENTS,
    FetchDone,
    FetchEvent,
    FetchFailed,
    FetchProgress,
    FetchWaiting,
    GgufFacts,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.fetch import (
    STOPPED,
    TERMINATION_MESSAGE_MAX,
    bounded,
    failure,
)
from support.fake_hub import FakeHub
from support.gguf_files import gguf_bytes

PATH = "/tiny.gguf"
HOLD_AFTER = 200_000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as running:
        running.put(PATH, gguf_bytes(tmp_path, tensor_rows=8192))
        yield running


class Program:
    """One running fetch program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def next_event(self) -> FetchEvent:
        assert self.process.stdout is not None
        return FETCH_EVENTS.validate_json(self.process.stdout.readline())

    def wait_for_bytes(self) -> FetchProgress:
        """Read on until some bytes have arrived."""
        while True:
            event = self.next_event()
            assert isinstance(event, FetchProgress)
            if event.done_bytes > 0:
                return event

    def end(self) -> tuple[list[FetchEvent], str, int]:
        """Return the remaining events, what was written to stderr, and the exit status."""
        output, errors = self.process.communicate(timeout=30)
        events = [FETCH_EVENTS.validate_json(line) for line in output.splitlines()]
        return events, errors, self.process.returncode


@contextmanager
def program(
    uri: str, cache: Path, *options: str, before: tuple[str, ...] = ()
) -> Iterator[Program]:
    command = [*before, sys.executable, "-m", "smallmodel_serving.runtime.fetch"]
    process = subprocess.Popen(
        [*command, "--uri", uri, "--cache", str(cache), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Program(process)
        finally:
            process.kill()


def test_it_prints_progress_then_done_and_exits_with_0(hub: FakeHub, tmp_path: Path) -> None:
    content = hub.files[PATH].content
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as running:
        events, errors, status = running.end()

    assert (errors, status) == ("", 0)
    *progress, last = events
    assert progress
    assert all(isinstance(event, FetchProgress) for event in progress)
    assert isinstance(last, FetchDone)
    assert last.sha256 == hashlib.sha256(content).hexdigest()
    assert Path(last.path).read_bytes() == content
    assert last.gguf is not None


def test_it_prints_the_reason_of_a_failure_and_exits_with_1(hub: FakeHub, tmp_path: Path) -> None:
    with program(f"{hub.url}{PATH}", tmp_path / "cache", "--sha256", "0" * 64) as running:
        events, errors, status = running.end()

    last = events[-1]
    assert (errors, status) == ("", 1)
    assert isinstance(last, FetchFailed)
    assert last.reason is Reason.DIGEST_MISMATCH
    assert "0" * 64 in last.message


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftp://host/model.gguf", Reason.SOURCE_NOT_SUPPORTED),
        ("file:///nowhere/model.gguf", Reason.SOURCE_UNREACHABLE),
    ],
)
def test_an_unusable_address_is_a_failure_and_no_traceback(
    tmp_path: Path, uri: str, reason: Reason
) -> None:
    with program(uri, tmp_path) as running:
        events, errors, status = running.end()

    last = events[-1]
    assert (errors, status) == ("", 1)
    assert isinstance(last, FetchFailed)
    assert last.reason is reason


def test_a_missing_token_file_is_a_missing_secret(hub: FakeHub, tmp_path: Path) -> None:
    options = ("--token-file", str(tmp_path / "absent"))
    with program(f"{hub.url}{PATH}", tmp_path / "cache", *options) as running:
        events, _, status = running.end()

    last = events[-1]
    assert status == 1
    assert isinstance(last, FetchFailed)
    assert last.reason is Reason.SECRET_MISSING


def test_the_token_is_read_from_its_file_without_the_newline(hub: FakeHub, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    hub.put(PATH, hub.files[PATH].content, token="open-sesame")

    with program(f"{hub.url}{PATH}", tmp_path / "cache", "--token-file", str(token)) as running:
        _, _, status = running.end()

    assert status == 0


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with program("https://localhost/x.gguf", in_the_way / "cache") as running:
        events, errors, status = running.end()

    last = events[-1]
    assert (errors, status) == ("", 1)
    assert isinstance(last, FetchFailed)
    assert str(in_the_way) in last.message


def test_an_error_of_the_operating_system_names_the_file() -> None:
    failed = failure(PermissionError(13, "Permission denied", "/cache/x"))

    assert "Permission denied" in failed.message
    assert "/cache/x" in failed.message


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_goes_on_where_it_stopped(
    hub: FakeHub, tmp_path: Path, way: signal.Signals
) -> None:
    content = hub.files[PATH].content
    hub.hold_after = HOLD_AFTER
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as first:
        first.wait_for_bytes()
        first.process.send_signal(way)
        _, errors, status = first.end()
    hub.release()

    with program(f"{hub.url}{PATH}", tmp_path / "cache") as second:
        events, _, _ = second.end()

    last = events[-1]
    assert errors == ""
    assert status == (-signal.SIGKILL if way is signal.SIGKILL else STOPPED)
    assert isinstance(last, FetchDone)
    assert Path(last.path).read_bytes() == content
    assert hub.requests[-1].first_byte > 0


def test_a_disk_that_takes_no_more_is_a_full_disk(hub: FakeHub, tmp_path: Path) -> None:
    hub.tells_length = False
    limited = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")

    with program(f"{hub.url}{PATH}", tmp_path / "cache", before=limited) as running:
        events, errors, status = running.end()

    last = events[-1]
    assert (errors, status) == ("", 1)
    assert isinstance(last, FetchFailed)
    assert last.reason is Reason.DISK_FULL
    assert "File too large" in last.message


def test_it_stops_when_nobody_reads_what_it_prints(hub: FakeHub, tmp_path: Path) -> None:
    hub.hold_after = HOLD_AFTER
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as running:
        running.wait_for_bytes()
        assert running.process.stdout is not None
        running.process.stdout.close()

        assert running.process.wait(timeout=30) == STOPPED


def test_it_is_not_silent_while_the_source_is(hub: FakeHub, tmp_path: Path) -> None:
    hub.hold_after = HOLD_AFTER
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as running:
        running.wait_for_bytes()
        started = time.monotonic()
        for _ in range(3):
            assert isinstance(running.next_event(), FetchProgress)
        took = time.monotonic() - started

    # At most 5 in a second, and one every 2 seconds, given a processor.
    assert 0.4 <= took <= 15


def test_two_at_once_download_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.hold_after = HOLD_AFTER
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as first:
        first.wait_for_bytes()
        with program(f"{hub.url}{PATH}", tmp_path / "cache") as second:
            while not isinstance(second.next_event(), FetchWaiting):
                pass
            hub.release()
            first_events, _, _ = first.end()
            second_events, _, _ = second.end()

    assert isinstance(first_events[-1], FetchDone)
    assert second_events[-1] == first_events[-1]
    assert len(hub.requests) == 1


def test_different_weights_do_not_wait_for_each_other(hub: FakeHub, tmp_path: Path) -> None:
    other = hub.put("/other.gguf", hub.files[PATH].content)
    hub.hold_after = HOLD_AFTER
    with program(f"{hub.url}{PATH}", tmp_path / "cache") as first:
        first.wait_for_bytes()
        hub.hold_after = None
        with program(other, tmp_path / "cache") as second:
            events, _, _ = second.end()

    assert isinstance(events[-1], FetchDone)


def test_it_starts_without_the_engines(tmp_path: Path) -> None:
    weights = tmp_path / "tiny.gguf"
    weights.write_bytes(gguf_bytes(tmp_path))
    code = (
        "import sys; from smallmodel_serving.runtime.fetch import main;"
        f"main(['--uri', 'file://{weights}', '--cache', '{tmp_path}/cache']);"
        "slow = {'ray', 'xllamacpp', 'requests', 'pypi_simple', 'fsspec'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )

    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("declared", "status"), [((), 0), (("--sha256", "0" * 64), 1)])
def test_the_last_line_is_kept_as_the_termination_message(
    hub: FakeHub, tmp_path: Path, declared: tuple[str, ...], status: int
) -> None:
    message = tmp_path / "termination-log"
    options = ("--termination-message", str(message), *declared)
    with program(f"{hub.url}{PATH}", tmp_path / "cache", *options) as running:
        events, _, ended = running.end()

    assert ended == status
    assert FETCH_EVENTS.validate_json(message.read_text()) == events[-1]


@given(
    st.builds(
        FetchFailed, reason=st.just(Reason.DISK_FULL), message=st.text(min_size=3000, max_size=6000)
    )
)
def test_a_message_of_any_length_fits_and_stays_an_event(failed: FetchFailed) -> None:
    text = bounded(failed)
    kept = FETCH_EVENTS.validate_json(text)

    assert len(text.encode()) <= TERMINATION_MESSAGE_MAX
    assert isinstance(kept, FetchFailed)
    assert failed.message.startswith(kept.message.removesuffix("…"))


def test_a_header_that_is_too_long_is_left_out_of_the_message() -> None:
    facts = GgufFacts(
        architecture="x" * 5000,
        parameters=1,
        layers=1,
        heads=1,
        kv_heads=(1,),
        head_dim=1,
        hidden=1,
        vocabulary=1,
        context_length=1,
        has_chat_template=False,
        embeds=False,
    )
    done = FetchDone(path="/weights/m.gguf", bytes=1, sha256="0" * 64, gguf=facts)

    assert FETCH_EVENTS.validate_json(bounded(done)) == done.model_copy(update={"gguf": None})


def test_in_a_cluster_files_of_one_machine_are_refused(tmp_path: Path) -> None:
    owned = tmp_path / "mine.gguf"
    owned.write_bytes(gguf_bytes(tmp_path))
    with program(f"file://{owned}", tmp_path / "cache", "--no-file") as running:
        events, _, status = running.end()

    last = events[-1]
    assert status == 1
    assert isinstance(last, FetchFailed)
    assert last.reason is Reason.SOURCE_NOT_SUPPORTED
    assert "pvc://claim/path" in last.message


def test_it_needs_no_home(hub: FakeHub, tmp_path: Path) -> None:
    without = ("env", "--unset=HOME")
    with program(f"{hub.url}{PATH}", tmp_path / "cache", before=without) as running:
        _, errors, status = running.end()

    assert (errors, status) == ("", 0)
