"""Waiting with a limit, and what is said when it is over."""

from pathlib import Path

import pytest

from cluster.commands import run
from cluster.problems import ClusterProblem, log_tail
from cluster.waiting import wait_until


def test_what_was_waited_for_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(ClusterProblem) as late:
        wait_until(lambda: False, "etcd listens", within=0.1, logs=(log, tmp_path / "none.log"))
    lines = str(late.value).splitlines()
    assert lines[0] == "not within 0.1 s: etcd listens"
    assert lines[1] == f"--- the last lines of {log}:"
    assert lines[2] == "line 85"
    assert lines[-2] == "line 99"
    assert lines[-1].endswith("there is no such file yet")


def test_a_condition_is_asked_again() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), "the third answer", within=10)
    assert next(answers, None) is None


def test_a_log_of_anything_can_be_shown(tmp_path: Path) -> None:
    log = tmp_path / "binary.log"
    log.write_bytes(b"\xff\n")
    assert "\ufffd" in log_tail(log)


def test_a_failed_command_says_what_it_printed() -> None:
    with pytest.raises(ClusterProblem, match="ended with 3:\nout\nerr"):
        run("sh", "-c", "echo out; echo err >&2; exit 3")


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterProblem, match="no-such-program is not installed"):
        run("no-such-program")


def test_a_command_that_takes_too_long_is_named() -> None:
    with pytest.raises(ClusterProblem, match=r"sleep 600 was not done after 0\.1 s"):
        run("sleep", "600", within=0.1)
