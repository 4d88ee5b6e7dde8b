"""`slm down` ends the recorded supervisor, and no other process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from builders.runs import record_run, run_status
from smallmodel_operator.cli.commands import down
from support.command_line import Slm

OBEDIENT = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@contextmanager
def fake_supervisor(on_sigterm: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that waits for signals, and answers SIGTERM as given."""
    program = f"import signal, sys\n{on_sigterm}\nprint('up', flush=True)\nsignal.pause()"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_supervisor_gets_sigterm_and_is_waited_for(slm: Slm) -> None:
    with fake_supervisor(OBEDIENT) as supervisor:
        record_run(8080, pid=supervisor.pid, status=run_status())
        outcome = slm("down")
        assert supervisor.wait() == 0
    assert outcome.code == 0
    assert "Stopped after" in outcome.out
    assert "http://127.0.0.1:8080/v1" in outcome.err


def test_one_that_does_not_stop_is_told_and_not_killed(
    slm: Slm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(down, "_REPORT_SECONDS", 0.1)
    with fake_supervisor(STUBBORN) as supervisor:
        record_run(8080, pid=supervisor.pid, status=run_status())
        outcome = slm("down")
        assert supervisor.poll() is None
    assert outcome.code == 1
    assert "still stopping" in outcome.err
    assert f"kill -9 {supervisor.pid}" in outcome.err


def test_a_process_with_the_pid_of_a_dead_supervisor_is_left_alone(slm: Slm) -> None:
    with fake_supervisor(OBEDIENT) as stranger:
        started = psutil.Process(stranger.pid).create_time() - 3600
        record_run(8080, pid=stranger.pid, started=started, status=run_status())
        outcome = slm("down")
        assert outcome.code == 4
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGTERM)
        assert stranger.wait() == 0


def test_with_several_runs_the_port_chooses(slm: Slm) -> None:
    with fake_supervisor(OBEDIENT) as first, fake_supervisor(OBEDIENT) as second:
        record_run(8080, pid=first.pid, status=run_status())
        record_run(8081, pid=second.pid, status=run_status())
        assert slm("down").code == 2
        assert slm("down", "--port", "8081").code == 0
        assert second.wait() == 0
        assert first.poll() is None
