"""Processes that the benchmark starts, and ends."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent
"""The repository's root, from which `bench` is imported."""

_READY_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.02


class ChildError(Exception):
    """A process that did not come up."""


@contextlib.asynccontextmanager
async def child(
    *command: str, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program whose standard output is read here, and end it however this ends.

    Args:
        command: The program and its arguments.
        log: Where its standard error goes.
        environment: Variables besides those of this process.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # Ctrl-C reaches the benchmark alone, which then ends what it started in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await end(process)


@contextlib.asynccontextmanager
async def program(module: str, *arguments: str, log: Path) -> AsyncIterator[tuple[int, str]]:
    """Start a module of the benchmark, and give its pid and the line that it prints when it is up.

    Raises:
        ChildError: It ended or stayed silent.
    """
    async with child(sys.executable, "-m", module, *arguments, log=log) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError as error:
            raise ChildError(
                f"{module} said nothing for {_READY_SECONDS:.0f} s:\n{tail(log)}"
            ) from error
        if not line:
            raise ChildError(f"{module} ended at once:\n{tail(log)}")
        yield process.pid, line.decode().strip()


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and kill it and all below it when it does not."""
    if process.returncode is not None:
        return
    family: list[psutil.Process] = []
    # It may have ended by itself a moment ago, before anybody here was told.
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    for left in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    within: float,
    every: float = _POLL_SECONDS,
) -> None:
    """Wait until a condition holds, which is asked again and again.

    Args:
        condition: May be asynchronous.
        what: Ends the sentence "not within 60 s: …".
        within: Seconds.
        every: Seconds between two questions, more where one costs something.

    Raises:
        TimeoutError: It did not hold in time.
    """
    try:
        async with asyncio.timeout(within):
            while not await _holds(condition):
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise TimeoutError(f"not within {within:g} s: {what}") from error


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    held = condition()
    return held if isinstance(held, bool) else await held


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> dict[int, float]:
    """Return the processor time that each living process has used."""
    used: dict[int, float] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


def title(process: psutil.Process) -> str:
    """Return what a process is called in tables: Ray's title, its module, or its program."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return ""
    if not words:
        return process.name()
    if words[0].startswith("ray::"):
        return " ".join(words).strip()
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    scripts = [Path(word) for word in words[1:3] if word.endswith(".py")]
    if scripts:
        return "/".join(scripts[0].parts[-2:])
    return Path(words[0]).name


def free_port() -> int:
    """Return a port of loopback at which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path, characters: int = 2000) -> str:
    """Return the end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-characters:] if log.exists() else ""
