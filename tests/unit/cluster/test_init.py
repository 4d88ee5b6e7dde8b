"""The first process of a node, run here without namespaces of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control import init_pid, order
from cluster.folders import TESTS
from cluster.problems import ClusterProblem
from cluster.waiting import wait_until

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


class Node:
    """An init process and its programs."""

    def __init__(self, folder: Path, scripts: dict[str, str]) -> None:
        self.folder = folder
        self.control = folder / "init.sock"
        programs = {
            name: {
                "argv": [self.shell(name), "-c", script],
                "environment": {"PATH": os.environ["PATH"]},
                "log": str(folder / f"{name}.log"),
            }
            for name, script in scripts.items()
        }
        plan = {"control": str(self.control), "furnish": None, "programs": programs}
        (folder / "plan.json").write_text(json.dumps(plan))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cluster.init", str(folder / "plan.json")],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(self.control.exists, "the init process takes orders", within=20)

    def shell(self, program: str) -> str:
        """Return a link to the shell, so that one program's can be missing."""
        link = self.folder / f"{program}-shell"
        link.symlink_to("/bin/sh")
        return str(link)

    def pid(self, program: str) -> int | None:
        found: int | None = order(self.control, "list")["programs"][program]["pid"]
        return found

    def log(self, program: str) -> str:
        path = self.folder / f"{program}.log"
        return path.read_text() if path.exists() else ""

    def wait(self, what: str, condition: object) -> None:
        assert callable(condition)
        wait_until(condition, what, within=20)

    def end(self) -> None:
        for program in order(self.control, "list")["programs"]:
            order(self.control, "stop", program)
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(
        tmp_path,
        {
            "calm": "echo started; exec sleep 600",
            "brief": "echo again",
            "stubborn": STUBBORN,
        },
    )
    yield started
    started.end()


def test_nothing_runs_before_it_is_ordered(node: Node) -> None:
    assert {node.pid(name) for name in ("calm", "brief", "stubborn")} == {None}


def test_a_started_program_runs_once_however_often_it_is_ordered(node: Node) -> None:
    order(node.control, "start", "calm")
    first = node.pid("calm")
    order(node.control, "start", "calm")
    assert node.pid("calm") == first
    node.wait("its output is in the log", lambda: node.log("calm") == "started\n")


def test_a_program_that_ends_is_started_again(node: Node) -> None:
    order(node.control, "start", "brief")
    node.wait("it ran twice", lambda: node.log("brief") == "again\nagain\n")


def test_a_program_that_cannot_be_started_is_tried_again(node: Node) -> None:
    shell = node.folder / "calm-shell"
    shell.unlink()
    order(node.control, "start", "calm")
    assert node.pid("calm") is None
    shell.symlink_to("/bin/sh")
    node.wait("it runs", lambda: node.pid("calm") is not None)


def test_a_killed_program_is_started_again(node: Node) -> None:
    order(node.control, "start", "calm")
    first = node.pid("calm")
    order(node.control, "kill", "calm")
    node.wait("another one runs", lambda: node.pid("calm") not in {None, first})


def test_a_stopped_program_has_ended_and_stays_away(node: Node) -> None:
    order(node.control, "start", "calm")
    pid = node.pid("calm")
    assert pid is not None
    order(node.control, "stop", "calm")
    assert node.pid("calm") is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    order(node.control, "start", "calm")
    assert node.pid("calm") is not None


def test_stopping_what_does_not_run_is_done_at_once(node: Node) -> None:
    order(node.control, "stop", "calm", within=2)


def test_a_program_that_ignores_sigterm_is_killed(node: Node) -> None:
    order(node.control, "start", "stubborn")
    node.wait("its trap is set", lambda: node.log("stubborn") == "ready\n")
    order(node.control, "stop", "stubborn")
    assert node.pid("stubborn") is None


@pytest.mark.parametrize(("verb", "program"), [("stop", "unknown"), ("dance", "calm")])
def test_an_order_that_makes_no_sense_is_answered_with_an_error(
    node: Node, verb: str, program: str
) -> None:
    with pytest.raises(ClusterProblem, match=f"{verb} {program}"):
        order(node.control, verb, program)
    assert node.pid("calm") is None


def test_the_kernel_tells_who_takes_orders(node: Node) -> None:
    assert init_pid(node.control) == node.process.pid


def test_the_socket_of_an_ended_process_names_nobody(tmp_path: Path) -> None:
    node = Node(tmp_path, {})
    node.process.send_signal(signal.SIGKILL)
    node.process.communicate()
    assert node.control.exists()
    assert init_pid(node.control) is None
    with pytest.raises(ClusterProblem, match="nobody takes orders at"):
        order(node.control, "list")
