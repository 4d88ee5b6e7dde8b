"""The supervisor refuses before it starts anything, and reaps what a dead run left."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from smallmodel_operator.local import processes, supervisor
from smallmodel_operator.local.errors import AlreadyRunning, PlatformUnsupported, PortTaken
from smallmodel_operator.local.paths import RunFolder
from smallmodel_operator.local.state import RunRecord, write_atomically


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def up(port: int) -> int:
    def show(event: object) -> None:
        raise AssertionError(f"nothing may be started, and {event} was shown")

    return supervisor.run(
        (), host="127.0.0.1", port=port, watch=False, memory=None, dashboard=False, show=show
    )


def record(port: int, run_id: str, scratch: Path) -> RunFolder:
    folder = RunFolder.of_port(port)
    text = RunRecord(
        run_id=run_id,
        supervisor_pid=os.getpid(),
        supervisor_start=psutil.Process().create_time(),
        scratch=str(scratch),
        host="127.0.0.1",
        port=port,
        paths=(),
    ).model_dump_json()
    write_atomically(folder.run, text)
    return folder


def test_a_port_that_another_program_has_is_refused_with_the_way_to_find_it(
    taken_port: int,
) -> None:
    with pytest.raises(PortTaken, match=rf"{taken_port} is in use .*ss -ltnp.*--port"):
        up(taken_port)


def test_a_port_of_another_run_is_refused_with_its_pid(tmp_path: Path) -> None:
    folder = record(9999, "live", tmp_path / "scratch")
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}.*slm down --port 9999"):
            up(9999)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_another_system_is_told_at_once(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(PlatformUnsupported, match=f"this is {platform}; use a Linux VM"):
        up(9998)


def test_what_a_dead_run_left_is_ended_and_forgotten(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = record(9997, "dead", scratch)
    orphan = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {processes.RUN_ID_VARIABLE: "dead"},
    )
    assert orphan.stdout is not None
    orphan.stdout.readline()
    try:
        assert supervisor.reap(folder) == 1
        assert not psutil.pid_exists(orphan.pid)
        assert not scratch.exists()
        assert not folder.run.exists()
        assert supervisor.reap(folder) == 0
    finally:
        orphan.kill()
        orphan.communicate()
