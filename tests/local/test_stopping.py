"""Stopping: on request within ten seconds, and after any process was killed."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from smallmodel_operator.local.state import read_record
from smallmodel_operator.status.state import State
from support.free_ports import free_port
from support.live_run import LiveRun, live_run, tokens

pytestmark = pytest.mark.local

LONGEST_STOP = 10.0


def test_ctrl_c_ends_every_process_and_leaves_nothing_behind(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    with live_run(tmp_path) as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        record = read_record(run.folder)
        assert record is not None
        pids = run.pids()
        assert len(pids) > 5
        assert run.stop() < LONGEST_STOP
        assert run.process.returncode == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not Path(record.scratch).exists()
        assert not run.folder.run.exists()
        assert sorted(path.name for path in run.manifests.iterdir()) == ["chat.yaml"]


def test_a_stop_lets_a_running_stream_end_and_takes_no_new_request(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    with live_run(tmp_path) as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        # As short as can be seen to go on: a stop waits seven seconds, and machines may be busy.
        with run.stream("chat", max_tokens=40, ignore_eos=True) as response:
            pieces = tokens(response)
            assert next(pieces)
            run.process.send_signal(signal.SIGTERM)
            rest = list(pieces)
        assert len(rest) > 30
        assert run.process.wait(timeout=LONGEST_STOP) == 0


VICTIMS = {
    "the driver": "smallmodel_operator.local.driver",
    "Envoy": "envoy",
    "HAProxy": "haproxy",
    "the raylet": "raylet",
    "Ray's control store": "gcs_server",
}


@pytest.fixture(scope="module")
def same_place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A state folder and a port that one run after the other uses."""
    return tmp_path_factory.mktemp("same"), free_port()


@pytest.mark.parametrize("name", VICTIMS.values(), ids=VICTIMS.keys())
def test_whatever_is_killed_nothing_is_left_and_the_next_start_works(
    name: str, same_place: tuple[Path, int], bundled_gguf: Path
) -> None:
    """Each case is also the next start of the one before."""
    with _started(same_place) as run:
        run.process_of(name).kill()
        run.process.terminate()
        run.process.wait(timeout=30)
        assert run.pids() == set()


def test_after_the_supervisor_was_killed_its_driver_stops_by_itself(
    same_place: tuple[Path, int], bundled_gguf: Path
) -> None:
    with _started(same_place) as run:
        left = run.pids()
        run.process.kill()
        run.process.wait()
        _until_gone(left)


def test_after_supervisor_and_driver_were_killed_the_next_start_reaps_the_rest(
    same_place: tuple[Path, int], bundled_gguf: Path
) -> None:
    with _started(same_place) as run:
        driver, left = run.process_of(VICTIMS["the driver"]), run.pids()
        run.process.kill()
        driver.kill()
        run.process.wait()
    with _started(same_place) as run:
        assert not any(psutil.pid_exists(pid) for pid in left)
        assert run.stop() < LONGEST_STOP


@contextlib.contextmanager
def _started(place: tuple[Path, int]) -> Iterator[LiveRun]:
    folder, port = place
    with live_run(folder, port=port) as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        assert run.ask("chat", max_tokens=2).status_code == 200
        yield run


def _until_gone(pids: set[int]) -> None:
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=20
    )
    assert not alive
