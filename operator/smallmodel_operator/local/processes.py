"""Processes of a run: adopting orphans, finding what belongs to a run, ending it."""

import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

RUN_ID_VARIABLE: Final = "SMALLMODEL_RUN_ID"
"""Set for the driver and so inherited by all that it starts; the mark of a run's processes."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies.

    HAProxy and Ray's processes outlive the process that started them; as our children they can be
    found and ended.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however it dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def descendants() -> list[psutil.Process]:
    """Return every living process below this one."""
    return psutil.Process().children(recursive=True)


def of_run(run_id: str) -> list[psutil.Process]:
    """Return the living processes, this one aside, that carry the mark of a run."""
    mark = f"{RUN_ID_VARIABLE}={run_id}".encode()
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and mark in _environment(process.pid)
    ]


def _environment(pid: int) -> list[bytes]:
    """Return a process's environment; nothing of one that ended or belongs to another user.

    psutil's own reader stops at the first empty entry, and Ray's agents have some at the start:
    their titles are written over it.
    """
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def is_alive(pid: int, started: float) -> bool:
    """Return whether the process of that pid is still the one that started then."""
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def end(processes: Iterable[psutil.Process], grace: float) -> None:
    """End processes: SIGTERM, then SIGKILL for those that are left after `grace` seconds.

    Raises:
        psutil.AccessDenied: A process belongs to another user.
    """
    remaining = list(processes)
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in remaining:
            try:
                send(process)
            except psutil.NoSuchProcess:
                continue
        _, remaining = psutil.wait_procs(remaining, timeout=grace)
        if not remaining:
            return


def kill_descendants() -> None:
    """Kill every process below this one, and those that they start meanwhile, at once.

    Python's resource trackers get a moment more: they end by themselves when those whose shared
    memory they keep are gone, and free it.
    """
    while children := descendants():
        for process in [child for child in children if not _is_tracker(child)] or children:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=2.0)


def _is_tracker(process: psutil.Process) -> bool:
    try:
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except psutil.Error:
        return False
