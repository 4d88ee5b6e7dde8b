"""`slm doctor` checks the machine and discloses what a run exposes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.runs import record_run, run_status
from smallmodel_operator.cli import checks
from smallmodel_operator.cli.findings import Finding, Level
from smallmodel_operator.local.processes import RUN_ID_VARIABLE
from support.command_line import Slm

RUN_ID = f"a-run-of-test-process-{os.getpid()}"
LISTENER = """
import socket, sys
server = socket.create_server((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def listener(address: str) -> Iterator[int]:
    """A process of the run that listens on that address; gives its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {RUN_ID_VARIABLE: RUN_ID},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def found(name: str) -> list[Finding]:
    return [finding for finding in checks.check_runs() if finding.check == name]


def test_every_check_is_printed_once_or_more(slm: Slm) -> None:
    outcome = slm("doctor", "-o", "json")
    names = {entry["check"] for entry in json.loads(outcome.out)}
    assert names >= {
        "platform",
        "C library",
        "Python",
        "packages",
        "OpenMP",
        "open files",
        "memory",
        "shared memory",
        "weights",
        "runs",
        "access",
    }


def test_the_table_says_what_keeps_models_from_running(
    slm: Slm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _name: None)
    outcome = slm("doctor")
    assert outcome.code == 1
    assert "apt-get install libgomp1" in outcome.out


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "ray" else object())
    [finding] = checks.check_packages()
    assert finding.level is Level.FAIL
    assert "smallmodel-operator[serving]" in finding.message


@pytest.mark.parametrize(("libc", "level"), [(("glibc", "2.36"), Level.OK), (("", ""), Level.FAIL)])
def test_another_c_library_is_told(
    monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str], level: Level
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    assert [f.level for f in checks.check_platform() if f.check == "C library"] == [level]


@pytest.mark.parametrize(
    ("machine", "level"),
    [("x86_64", Level.OK), ("aarch64", Level.WARN), ("riscv64", Level.WARN)],
)
def test_an_architecture_that_was_not_tested_is_told(
    monkeypatch: pytest.MonkeyPatch, machine: str, level: Level
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert next(checks.check_platform()).level is level


@pytest.mark.parametrize(("hard", "level"), [(1024, Level.WARN), (-1, Level.OK), (9999, Level.OK)])
def test_a_low_limit_of_open_files_is_told(
    monkeypatch: pytest.MonkeyPatch, hard: int, level: Level
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1024, hard))
    assert next(checks.check_open_files()).level is level


def test_what_listens_wider_than_loopback_is_told_with_its_purpose() -> None:
    with listener("0.0.0.0") as port:
        record_run(8080, run_id=RUN_ID, status=run_status(ports={"haproxyStats": port}))
        exposed, advice = found("exposed")
    assert exposed.level is Level.WARN
    assert exposed.message == f"port {port} (haproxyStats) listens on 0.0.0.0"
    assert "firewall" in advice.message


def test_what_listens_on_loopback_is_not_exposed() -> None:
    with listener("127.0.0.1"):
        record_run(8080, run_id=RUN_ID, status=run_status())
        [finding] = found("exposed")
    assert finding.level is Level.OK


def test_a_dead_runs_processes_are_counted() -> None:
    with listener("127.0.0.1"):
        record_run(8080, run_id=RUN_ID, started=1.0)
        [finding] = found("runs")
    assert finding.level is Level.WARN
    assert "left 1 processes" in finding.message


def test_a_dead_runs_record_alone_is_a_note() -> None:
    record_run(8080, run_id=RUN_ID, started=1.0)
    assert [finding.level for finding in found("runs")] == [Level.NOTE]


def test_the_cache_is_measured_even_before_it_is_there(home: Path) -> None:
    [finding] = checks.check_disk()
    assert "holds 0 B" in finding.message
    weights = home / "XDG_CACHE_HOME" / "smallmodel" / "weights"
    weights.mkdir(parents=True)
    (weights / "file").write_bytes(b"x" * 2048)
    [finding] = checks.check_disk()
    assert "holds 2.0 KiB" in finding.message
