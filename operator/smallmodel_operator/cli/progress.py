"""`slm up`: shows what the driver reports, as lines or as bars and spinners."""

import threading
import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from smallmodel_operator.local.events import (
    DriverEvent,
    ModelEvent,
    ProblemEvent,
    SettledEvent,
    StackEvent,
    StopEvent,
)
from smallmodel_operator.status.state import State

_SILENCE_SECONDS: Final = 4.0
"""The longest that a run which is not settled prints nothing."""

_STEPS: Final = {
    "envoy": "Envoy (the gateway)",
    "ray": "Ray",
    "serve": "Ray Serve with HAProxy",
}


class JsonLines:
    """One JSON object a line, for programs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: DriverEvent) -> None:
        """Print the event as it came."""
        self._console.print(event.model_dump_json(exclude_none=True))


class Lines:
    """One line an event, for pipes and logs; a reminder where nothing happens for a while."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_line: dict[str, str] = {}
        self._doing = "starting"
        self._printed_at = time.monotonic()
        self._settled = threading.Event()
        self._reminder = threading.Thread(target=self._remind, daemon=True)

    def __enter__(self) -> "Lines":
        self._reminder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._settled.set()

    def show(self, event: DriverEvent) -> None:
        """Print the event, unless it says what the last line of its model said."""
        match event:
            case StackEvent(step=step, done=done, seconds=seconds):
                self._doing = f"starting {_STEPS.get(step, step)}"
                if done:
                    self._print(f"{seconds:6.1f} s  {_STEPS.get(step, step)} runs")
            case ModelEvent():
                self._show_model(event)
            case ProblemEvent(problem=problem):
                place = f"{problem.file}:{problem.line}" if problem.line else problem.file
                field = f" {problem.field}:" if problem.field else ""
                self._print(f"{place}:{field} {problem.message}")
            case SettledEvent():
                self._settled.set()
            case StopEvent(error=error):
                self._settled.set()
                if error:
                    self._print(f"slm: {error}")

    def _show_model(self, event: ModelEvent) -> None:
        if event.state is State.FETCHING:
            # One line for each tenth, and not one for each chunk.
            key = f"{event.state} {10 * (event.done_bytes or 0) // (event.total_bytes or 1)}"
        else:
            key = f"{event.state} {event.message}"
        self._doing = f"{event.name}: {event.message or event.state}"
        if self._last_line.get(event.name) != key:
            self._last_line[event.name] = key
            text = f": {event.message}" if event.message else ""
            self._print(f"{event.seconds:6.1f} s  {event.name} {event.state}{text}")

    def _print(self, line: str) -> None:
        self._printed_at = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _remind(self) -> None:
        while not self._settled.wait(0.5):
            if time.monotonic() - self._printed_at > _SILENCE_SECONDS:
                self._print(f"          … {self._doing}")


class Bars:
    """A spinner for each step and a bar for each download, for terminals.

    One live display holds both: two of them on one terminal overwrite each other.
    """

    def __init__(self, console: Console) -> None:
        self._lines = Lines(console)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._steps = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
        )
        self._live = Live(Group(self._bars, self._steps), console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._downloads: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: DriverEvent) -> None:
        """Move the bar or spinner that the event is about, and print what stays."""
        match event:
            case StackEvent(step=step, done=False):
                self._spin(step, _STEPS.get(step, step))
            case StackEvent(step=step):
                self._end(step)
            case ModelEvent(state=State.FETCHING):
                self._fetching(event)
                return
            case ModelEvent(state=State.STARTING | State.VERIFYING | State.PENDING):
                self._end(event.name)
                self._spin(event.name, f"{event.name}: {event.message or event.state}")
                return
            case ModelEvent():
                self._end(event.name)
            case SettledEvent() | StopEvent():
                self._live.stop()
            case _:
                pass
        self._lines.show(event)

    def _spin(self, key: str, text: str) -> None:
        self._live.start()
        self._tasks[key] = self._steps.add_task(text, total=None)

    def _end(self, key: str) -> None:
        for progress, tasks in ((self._steps, self._tasks), (self._bars, self._downloads)):
            task = tasks.pop(key, None)
            if task is not None:
                progress.remove_task(task)

    def _fetching(self, event: ModelEvent) -> None:
        if event.name not in self._downloads:
            self._end(event.name)
            self._live.start()
            self._downloads[event.name] = self._bars.add_task(f"{event.name}: fetching", total=None)
        self._bars.update(
            self._downloads[event.name],
            completed=event.done_bytes or 0,
            total=event.total_bytes,
        )
