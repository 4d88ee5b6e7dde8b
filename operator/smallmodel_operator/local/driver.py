"""The process that runs everything of one `slm up`: Ray inside, Envoy beside, manifests applied.

Started by the supervisor with its settings as one argument; prints `events` as lines of JSON. It
is not in the data path: requests go from Envoy to Serve's HAProxy to the replicas.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import watchfiles

from smallmodel_operator.local import processes
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.local.errors import LocalError
from smallmodel_operator.local.events import (
    DriverEvent,
    ProblemEvent,
    SettledEvent,
    StackEvent,
    StopEvent,
)
from smallmodel_operator.local.fleet import Fleet
from smallmodel_operator.local.machine import observe_machine
from smallmodel_operator.local.manifests import ManifestSet, Problem, read_manifests
from smallmodel_operator.local.paths import RunFolder, ScratchFolder
from smallmodel_operator.local.settings import RunSettings
from smallmodel_operator.local.stack import Stack, Step
from smallmodel_operator.local.state import Phase, ProblemReport, RunStatus, write_atomically
from smallmodel_operator.local.tracked import TrackedModel
from smallmodel_operator.status.state import State

_LOG: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_LOOK_SECONDS_WHILE_STARTING: Final = 0.2
_DRAIN_SECONDS: Final = 7.0
"""How long running requests may go on after a stop was asked for."""


class Driver:
    """One run, from start to stop."""

    def __init__(self, settings: RunSettings, events: "EventWriter") -> None:
        self._settings = settings
        self._events = events
        self._folder = RunFolder(Path(settings.state_folder))
        self._machine = observe_machine(settings.memory)
        self._stack = Stack(
            settings, self._folder, ScratchFolder(Path(settings.scratch)), self._machine
        )
        self._fleet = Fleet(
            self._stack,
            catalog=fetch_bundled_cards(),
            machine=self._machine,
            url=self._stack.url,
            changed=self._on_changed,
        )
        self._problems: tuple[Problem, ...] = ()
        self._phase = Phase.STARTING
        self._written = ""
        self._was_settled = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start, apply, watch, and return once a stop was asked for and requests have ended."""
        self._listen_for_signals()
        try:
            await self._run_until_stopped()
        finally:
            self._phase = Phase.STOPPING
            self._write_status()
            await self._fleet.close()
        await self._stack.drain(_DRAIN_SECONDS)

    async def _run_until_stopped(self) -> None:
        first, *others = self._stack.steps()
        await self._start(first)
        await self._accept(await asyncio.to_thread(read_manifests, self._settings.manifests))
        starting = asyncio.create_task(self._start_all(others))
        stopping = asyncio.create_task(self._stop.wait())
        tasks = {starting, stopping, asyncio.create_task(self._look())}
        if self._settings.watch:
            tasks.add(asyncio.create_task(self._watch()))
        try:
            while not stopping.done():
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _start_all(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await self._start(step)
        self._phase = Phase.RUNNING

    async def _start(self, step: Step) -> None:
        self._events.write(StackEvent(step=step.name, done=False, seconds=self._events.elapsed()))
        await step.start()
        # Ray's start puts handlers of its own in the place of ours; they end the process at once,
        # and with it every request.
        self._listen_for_signals()
        self._events.write(StackEvent(step=step.name, done=True, seconds=self._events.elapsed()))

    def _listen_for_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _accept(self, manifests: ManifestSet) -> None:
        fresh = [p for p in manifests.problems if p not in self._problems]
        self._problems = manifests.problems
        for problem in fresh:
            self._events.write(ProblemEvent(problem=_report(problem)))
        await self._fleet.accept(manifests)
        self._write_status()

    async def _watch(self) -> None:
        async for _ in watchfiles.awatch(
            *{_watched(path) for path in self._settings.manifests if _watched(path).exists()},
            recursive=False,
            debounce=300,
            step=50,
        ):
            await self._accept(await asyncio.to_thread(read_manifests, self._settings.manifests))

    async def _look(self) -> None:
        while True:
            await self._fleet.observe()
            self._stack.check()
            self._write_status()
            settled = self._fleet.settled()
            if settled and not self._was_settled:
                self._events.write(SettledEvent(seconds=self._events.elapsed()))
            self._was_settled = settled
            await asyncio.sleep(_LOOK_SECONDS if settled else _LOOK_SECONDS_WHILE_STARTING)

    def _on_changed(self, tracked: TrackedModel) -> None:
        self._events.write(tracked.event(self._events.elapsed()))
        if tracked.state is State.FAILED:
            _LOG.warning("%s failed: %s", tracked.name, tracked.message)

    def _write_status(self) -> None:
        status = RunStatus(
            phase=self._phase,
            driver_pid=os.getpid(),
            memory_bytes=self._machine.memory_bytes,
            models=tuple(tracked.report(self._stack.front) for tracked in self._fleet.models),
            problems=tuple(_report(problem) for problem in self._problems),
            ray_logs=str(self._stack.logs) if self._stack.logs else None,
            ports=dict(self._stack.ports),
        )
        text = status.model_dump_json(indent=2)
        if text != self._written:
            write_atomically(self._folder.status, text)
            self._written = text


class EventWriter:
    """Prints events for the supervisor, on a descriptor that no child inherits."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        # A child that held the pipe open would keep the supervisor reading after our death.
        self._pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return round(time.monotonic() - self._started, 2)

    def write(self, event: DriverEvent) -> None:
        """Print one event; a supervisor that is gone is no reason to fail."""
        try:
            self._pipe.write(event.model_dump_json() + "\n")
            self._pipe.flush()
        except BrokenPipeError:
            _LOG.warning("nobody reads the events any more")


def _watched(path: Path) -> Path:
    """Return the folder to watch: editors replace a file, and its own watch would go with it."""
    return path if path.is_dir() else path.absolute().parent


def _report(problem: Problem) -> ProblemReport:
    return ProblemReport(
        file=problem.file,
        line=problem.line or None,
        field=problem.field or None,
        message=problem.message,
    )


def main(arguments: Sequence[str]) -> int:
    """Run until stopped; return the exit code."""
    processes.adopt_orphans()
    processes.end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    settings = RunSettings.model_validate_json(arguments[0])
    events = EventWriter()
    stop = StopEvent()
    try:
        asyncio.run(Driver(settings, events).run())
    except LocalError as error:
        _LOG.error("%s", error)
        stop = StopEvent(error=str(error), exit_code=1)
    except KeyboardInterrupt:
        stop = StopEvent(exit_code=130)
    events.write(stop)
    processes.kill_descendants()
    return stop.exit_code


if __name__ == "__main__":
    # Ray's own exit handlers wait for processes that are already ended.
    os._exit(main(sys.argv[1:]))
