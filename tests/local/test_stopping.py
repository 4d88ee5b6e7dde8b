"""Stopping: on request within ten seconds, and after any process was killed."""

import signal
from pathlib import Path

import psutil
import pytest

from smallmodel_operator.local.state import read_record
from smallmodel_operator.status.state import State
from support.live_run import LiveRun, free_port, live_run, tokens

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
        with run.stream("chat", max_tokens=150, ignore_eos=True) as response:
            pieces = tokens(response)
            assert next(pieces)
            run.process.send_signal(signal.SIGTERM)
            rest = list(pieces)
        assert len(rest) > 100
        assert run.process.wait(timeout=LONGEST_STOP) == 0


VICTIMS = {
    "the driver": "smallmodel_operator.local.driver",
    "Envoy": "envoy",
    "HAProxy": "haproxy",
    "the raylet": "raylet",
    "Ray's control store": "gcs_server",
}


@pytest.mark.parametrize("name", VICTIMS.values(), ids=VICTIMS.keys())
def test_after_a_kill_the_next_start_works(name: str, tmp_path: Path, bundled_gguf: Path) -> None:
    port = free_port()
    with live_run(tmp_path / "a", port=port, state=tmp_path / "state") as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        _victim(run, name).kill()
        run.process.terminate()
        run.process.wait(timeout=30)
        assert run.pids() == set()
    _starts_again(tmp_path, port)


def test_after_the_supervisor_was_killed_the_next_start_works(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    port = free_port()
    with live_run(tmp_path / "a", port=port, state=tmp_path / "state") as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        run.process.kill()
        run.process.wait()
    _starts_again(tmp_path, port)


def test_after_supervisor_and_driver_were_killed_the_next_start_reaps_the_rest(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    port = free_port()
    with live_run(tmp_path / "a", port=port, state=tmp_path / "state") as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        driver, left = _victim(run, VICTIMS["the driver"]), run.pids()
        run.process.kill()
        driver.kill()
        run.process.wait()
        _starts_again(tmp_path, port)
        assert not any(psutil.pid_exists(pid) for pid in left)


def test_a_replica_that_is_killed_is_replaced_and_its_client_is_told(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    with live_run(tmp_path) as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        with run.stream("chat", max_tokens=3000, ignore_eos=True) as response:
            pieces = tokens(response)
            assert next(pieces)
            _victim(run, "ray::ServeReplica:chat").kill()
            with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
                list(pieces)
        answer = run.ask("chat", max_tokens=2)
        assert answer.status_code in {200, 500, 503}
        if answer.status_code != 200:
            assert answer.json()["error"]["message"]
        run.until(lambda: run.ask("chat", max_tokens=2).status_code == 200)


def _victim(run: LiveRun, name: str) -> psutil.Process:
    for pid in run.pids():
        process = psutil.Process(pid)
        words = process.cmdline()
        if name in " ".join(words[:3]) or process.name() == name:
            return process
    raise AssertionError(f"no process {name!r} in the run")


def _starts_again(tmp_path: Path, port: int) -> None:
    with live_run(tmp_path / "b", port=port, state=tmp_path / "state") as run:
        run.apply("chat")
        run.until_state("chat", State.READY)
        assert run.ask("chat", max_tokens=2).status_code == 200
        assert run.stop() < LONGEST_STOP
