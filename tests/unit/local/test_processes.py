"""A run's processes are found by their mark and ended, and no other is touched."""

import os
import subprocess
import sys

import psutil
import pytest

from smallmodel_operator.local import processes

SLEEPER = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); sys.stdin.read()",
]


# Ray's agents change their titles, which overwrites the start of their environment. proc(5): it
# begins at the address in field 50 of `stat`.
RETITLED = [
    sys.executable,
    "-c",
    "import sys\n"
    "fields = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
    "with open('/proc/self/mem', 'r+b', buffering=0) as memory:\n"
    "    memory.seek(int(fields[47]))\n"
    "    memory.write(bytes(8))\n"
    "print('up', flush=True)\n"
    "sys.stdin.read()\n",
]


def start(command: list[str], run_id: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {processes.RUN_ID_VARIABLE: run_id},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def close(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_only_the_processes_of_that_run_are_found() -> None:
    ours, other = start(SLEEPER, "run-1"), start(SLEEPER, "run-2")
    try:
        assert [process.pid for process in processes.of_run("run-1")] == [ours.pid]
    finally:
        close(ours)
        close(other)


def test_a_process_that_changed_its_title_is_found() -> None:
    process = start(RETITLED, "run-5")
    try:
        assert [found.pid for found in processes.of_run("run-5")] == [process.pid]
    finally:
        close(process)


@pytest.mark.parametrize("command", [SLEEPER, STUBBORN], ids=["willing", "stubborn"])
def test_a_process_is_ended_whether_it_listens_or_not(command: list[str]) -> None:
    process = start(command, "run-3")
    processes.end([psutil.Process(process.pid)], grace=0.5)
    assert not psutil.pid_exists(process.pid)
    close(process)


def test_a_process_is_alive_only_under_its_own_start_time() -> None:
    process = start(SLEEPER, "run-4")
    started = psutil.Process(process.pid).create_time()
    assert processes.is_alive(process.pid, started)
    assert not processes.is_alive(process.pid, started - 60)
    close(process)
    assert not processes.is_alive(process.pid, started)


def test_orphans_of_descendants_are_adopted_and_killed() -> None:
    """A grandchild whose parent is killed becomes a child, so that it can be ended too."""
    program = (
        "import os, subprocess, sys\n"
        "from smallmodel_operator.local import processes\n"
        "processes.adopt_orphans()\n"
        'inner = \'import subprocess, sys; p = subprocess.Popen([sys.executable, "-c", '
        '"input()"], stdin=subprocess.PIPE); print(p.pid, flush=True); sys.stdin.read()\'\n'
        "parent = subprocess.Popen([sys.executable, '-c', inner], stdin=subprocess.PIPE, "
        "stdout=subprocess.PIPE, text=True)\n"
        "grandchild = int(parent.stdout.readline())\n"
        "parent.kill(); parent.wait()\n"
        "adopted = grandchild in [p.pid for p in processes.descendants()]\n"
        "processes.kill_descendants()\n"
        "print(adopted, processes.descendants())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment,
        check=False,
    )
    assert done.stdout == "True []\n", done.stderr


def test_shared_memory_of_killed_descendants_is_freed() -> None:
    program = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from smallmodel_operator.local import processes\n"
        "child = 'import sys; from multiprocessing.shared_memory import SharedMemory;'\n"
        "child += 'memory = SharedMemory(create=True, size=8); print(memory.name, flush=True);'\n"
        "child += 'sys.stdin.read()'\n"
        "pipe = subprocess.PIPE\n"
        "started = subprocess.Popen([sys.executable, '-c', child], stdin=pipe, stdout=pipe)\n"
        "memory = Path('/dev/shm') / started.stdout.readline().decode().strip()\n"
        "assert memory.exists()\n"
        "processes.adopt_orphans()\n"
        "processes.kill_descendants()\n"
        "print(memory.exists(), len(processes.descendants()))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
    )
    assert ended.stdout.split() == ["False", "0"]
