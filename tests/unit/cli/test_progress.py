"""What `slm up` shows on its way: bars on a terminal, lines in a pipe, objects for programs."""

import io
import json
import threading

import pytest
from rich.console import Console

from smallmodel_operator.cli import progress
from smallmodel_operator.cli.progress import Bars, JsonLines, Lines
from smallmodel_operator.local.events import (
    DriverEvent,
    ModelEvent,
    ProblemEvent,
    SettledEvent,
    StackEvent,
    StopEvent,
)
from smallmodel_operator.local.state import ProblemReport
from smallmodel_operator.status.state import State

MIB = 2**20


def model(state: State, message: str = "", **fields: int) -> ModelEvent:
    return ModelEvent.model_validate(
        {"name": "chat", "state": state, "message": message, "seconds": 1.5} | fields
    )


RUN: list[DriverEvent] = [
    StackEvent(step="ray", done=False, seconds=0.1),
    model(State.FETCHING, "Fetching starts"),
    model(State.FETCHING, "Fetching 10 %", done_bytes=10 * MIB, total_bytes=100 * MIB),
    model(State.FETCHING, "Fetching 12 %", done_bytes=12 * MIB, total_bytes=100 * MIB),
    model(State.FETCHING, "Fetching 55 %", done_bytes=55 * MIB, total_bytes=100 * MIB),
    StackEvent(step="ray", done=True, seconds=1.4),
    model(State.STARTING, "A replica is starting"),
    model(State.READY),
    SettledEvent(seconds=2.0),
    ProblemEvent(problem=ProblemReport(file="a.yaml", line=3, field="spec.model", message="no")),
    StopEvent(error="Envoy ended", exit_code=1),
]


class Output(io.StringIO):
    """Text that tells when it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_lines_tell_each_step_once_and_each_tenth_of_a_download() -> None:
    output = io.StringIO()
    with Lines(Console(file=output, width=100)) as view:
        for event in RUN:
            view.show(event)
    assert output.getvalue().splitlines() == [
        "   1.5 s  chat Fetching: Fetching starts",
        "   1.5 s  chat Fetching: Fetching 10 %",
        "   1.5 s  chat Fetching: Fetching 55 %",
        "   1.4 s  Ray runs",
        "   1.5 s  chat Starting: A replica is starting",
        "   1.5 s  chat Ready",
        "a.yaml:3: spec.model: no",
        "slm: Envoy ended",
    ]


def test_lines_are_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SILENCE_SECONDS", 0.0)
    output = Output()
    with Lines(Console(file=output, width=100)) as view:
        view.show(StackEvent(step="serve", done=False, seconds=0.1))
        assert output.written.wait(10)
    assert "… starting Ray Serve with HAProxy" in output.getvalue()


def test_a_terminal_shows_the_download_with_its_size() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True, color_system=None)
    with Bars(console) as view:
        for event in RUN[:5]:
            view.show(event)
        view._live.refresh()
    text = output.getvalue()
    assert "chat: fetching" in text
    assert "57.7/104.9 MB" in text
    assert "Ray" in text


def test_a_terminal_keeps_what_lasts_and_drops_what_is_done() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True, color_system=None)
    with Bars(console) as view:
        for event in RUN[:8]:
            view.show(event)
        assert (view._tasks, view._downloads) == ({}, {})
        for event in RUN[8:]:
            view.show(event)
    text = output.getvalue()
    assert "chat Ready" in text
    assert "slm: Envoy ended" in text


def test_programs_get_each_event_as_one_object_a_line() -> None:
    output = io.StringIO()
    with JsonLines(Console(file=output, width=10_000)) as view:
        for event in RUN:
            view.show(event)
    kinds = [json.loads(line)["kind"] for line in output.getvalue().splitlines()]
    assert kinds == [event.kind for event in RUN]
