"""The first process of a node: it starts, restarts and stops the node's programs as it is told.

It is process 1 of the node's own process, mount and network namespaces, so its end is the end of
everything that it started and mounted. Its orders come over a Unix socket, a line of JSON each:
`{"do": "start", "program": "etcd"}`, also `stop`, `kill` and `list`. A program that ends by
itself is started again. Standard library only: one of these runs for every node.
"""

import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# <linux/mount.h>
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_SHARED: Final = 1 << 20

RESTART_AFTER: Final = 1.0  # seconds, so that a program that cannot start does not spin
# Seconds between SIGTERM and SIGKILL. The API server would wait a minute for its watches.
KILL_AFTER: Final = 3.0


@dataclass(slots=True)
class Program:
    """One program and what is wanted of it."""

    argv: list[str]
    environment: dict[str, str]
    log: str
    wanted: bool = False
    pid: int | None = None
    starts: int = 0
    start_at: float = 0
    kill_at: float | None = None
    waiting: list[socket.socket] = field(default_factory=list)


class Init:
    """Keeps the programs as they are wanted."""

    def __init__(self, programs: dict[str, Program], log: Callable[[str], None]) -> None:
        self._programs = programs
        self._log = log
        self._selector = selectors.DefaultSelector()

    def serve(self, path: str) -> None:
        """Take orders for ever."""
        with socket.socket(socket.AF_UNIX) as listener:
            # Bound under another name first: whoever finds the socket can connect to it.
            listener.bind(f"{path}.new")
            listener.listen()
            Path(f"{path}.new").rename(path)
            self._selector.register(listener, selectors.EVENT_READ)
            while True:
                for _key, _events in self._selector.select(timeout=0.05):
                    self._take_order(listener.accept()[0])
                self._reap()
                self._keep(time.monotonic())

    def _take_order(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            line = connection.makefile("r").readline()
            if not line:
                # Somebody only asked the kernel who listens here.
                connection.close()
                return
            order = json.loads(line)
            self._obey(order["do"], order.get("program", ""), connection)
        except (OSError, ValueError, KeyError) as problem:
            self._log(f"an order was not understood: {problem!r}")
            self._answer(connection, {"error": repr(problem)})

    def _obey(self, verb: str, name: str, connection: socket.socket) -> None:
        if verb == "list":
            listed = {
                name: {"pid": program.pid, "wanted": program.wanted, "starts": program.starts}
                for name, program in self._programs.items()
            }
            self._answer(connection, {"programs": listed})
            return
        program = self._programs[name]
        self._log(f"{verb} {name}")
        if verb == "start":
            program.wanted = True
            self._keep(time.monotonic())
            self._answer(connection, {})
        elif verb == "kill":
            if program.pid is not None:
                os.kill(program.pid, signal.SIGKILL)
            self._answer(connection, {})
        elif verb == "stop":
            program.wanted = False
            program.waiting.append(connection)
            if program.pid is not None:
                os.kill(program.pid, signal.SIGTERM)
                program.kill_at = time.monotonic() + KILL_AFTER
        else:
            raise ValueError(f"{verb!r} is none of start, stop, kill, list")

    def _answer(self, connection: socket.socket, answer: Mapping[str, Any]) -> None:
        with connection:
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError as gone:
                self._log(f"nobody waits for an answer any more: {gone}")

    def _reap(self) -> None:
        """Take note of every ended process; what the programs left behind is ours as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, program in self._programs.items():
                if program.pid == pid:
                    program.pid = program.kill_at = None
                    program.start_at = time.monotonic() + (RESTART_AFTER if program.wanted else 0)
                    self._log(f"{name} ended: {os.waitstatus_to_exitcode(status)}")

    def _keep(self, now: float) -> None:
        for name, program in self._programs.items():
            if program.pid is None:
                for connection in program.waiting:
                    self._answer(connection, {})
                program.waiting.clear()
                if program.wanted and now >= program.start_at:
                    self._start(name, program)
            elif program.kill_at is not None and now >= program.kill_at:
                self._log(f"{name} does not end by SIGTERM")
                os.kill(program.pid, signal.SIGKILL)
                program.kill_at = None

    def _start(self, name: str, program: Program) -> None:
        try:
            with open(program.log, "ab") as log:
                child = subprocess.Popen(
                    program.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=program.environment,
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as problem:
            # The end of this process would be the end of the whole node.
            self._log(f"{name} cannot be started: {problem}")
            program.start_at = time.monotonic() + RESTART_AFTER
            return
        program.pid = child.pid
        program.starts += 1
        # Reaped by _reap; without this, Popen would complain that it was not waited for.
        child.returncode = 0
        self._log(f"{name} runs as {child.pid}")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Call mount(2), which Python has not."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [text.encode() or None for text in (source, target, kind, options)]
    if libc.mount(words[0], words[1], words[2], flags, words[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source or kind} on {target}: {os.strerror(number)}")


def furnish(plan: Mapping[str, Any]) -> None:
    """Give the namespaces what a machine of its own would have."""
    mount("proc", "/proc", "proc")
    for target in plan["tmpfs"]:
        mount("tmpfs", target, "tmpfs", 0, "mode=755")
    for source, target in plan["binds"]:
        mount(source, target, "", MS_BIND)
    # Only now, so that the mounts above are shared as well: the volumes that kubelet mounts
    # have to be seen by the containers.
    mount("", "/", "", MS_REC | MS_SHARED)
    for folder in plan["folders"]:
        os.makedirs(folder, exist_ok=True)
    for name, value in plan["sysctls"].items():
        Path("/proc/sys", name).write_text(value)


def main(path: str) -> None:
    """Run the plan in that file."""
    plan = json.loads(Path(path).read_text())
    # Process 1 has no default action for signals; an end is a SIGKILL from outside.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:8.2f} {line}\n")
        sys.stdout.flush()

    if plan["furnish"]:
        furnish(plan["furnish"])
    programs = {name: Program(**fields) for name, fields in plan["programs"].items()}
    Init(programs, log).serve(plan["control"])


if __name__ == "__main__":
    main(sys.argv[1])
