"""Which `slm up` a command speaks of: the runs of this user, and the models in them."""

import difflib
from dataclasses import dataclass
from typing import Annotated

import typer

from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.local.paths import RunFolder
from smallmodel_operator.local.state import (
    ModelReport,
    RunRecord,
    RunStatus,
    known_runs,
    read_record,
    read_status,
)

PortOption = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="The public port of the run; one needs none."),
]

_START = "start one with `slm up FILE`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One `slm up` that left a record."""

    folder: RunFolder
    record: RunRecord
    alive: bool
    """False: its supervisor is gone and could not clean up."""


def all_runs() -> tuple[Run, ...]:
    """Return the runs of this user, by port, dead ones too."""
    from smallmodel_operator.local.processes import is_alive

    runs: list[Run] = []
    for folder in known_runs():
        record = read_record(folder)
        if record is not None:
            alive = is_alive(record.supervisor_pid, record.supervisor_start)
            runs.append(Run(folder=folder, record=record, alive=alive))
    return tuple(runs)


def live_run(port: int | None) -> Run:
    """Return the run at that public port, or the only one.

    Raises:
        CommandError: None runs, none runs there, or there are several to choose from.
    """
    return _choose(all_runs(), port)


def status_of(run: Run) -> RunStatus:
    """Return what the run last wrote.

    Raises:
        CommandError: It has not written anything yet.
    """
    status = read_status(run.folder)
    if status is None:
        raise CommandError(
            f"the run at port {run.record.port} has no status yet, because it is still starting; "
            f"try again in a moment, or look at {run.folder.driver_log}"
        )
    return status


def find_model(status: RunStatus, name: str) -> ModelReport:
    """Return the model of that name.

    Raises:
        CommandError: The run has no such model.
    """
    for report in status.models:
        if report.model.metadata.name == name:
            return report
    names = [report.model.metadata.name for report in status.models]
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif names:
        hint = f"the models are {', '.join(names)}"
    else:
        hint = "the run has no models yet; add a manifest to what it watches"
    raise CommandError(f"no model {name!r} in this run; {hint}", ExitCode.NOT_FOUND)


def _choose(runs: tuple[Run, ...], port: int | None) -> Run:
    asked = [run for run in runs if port is None or run.record.port == port]
    live = [run for run in asked if run.alive]
    match live:
        case [run]:
            return run
        case []:
            raise CommandError(_none_runs(runs, asked, port), ExitCode.NOT_FOUND)
        case _:
            raise CommandError(
                f"{len(live)} runs are up, at the ports {_ports(live)}; choose one with --port",
                ExitCode.USAGE,
            )


def _none_runs(runs: tuple[Run, ...], asked: list[Run], port: int | None) -> str:
    if asked:
        gone = asked[0].record
        return (
            f"the run at port {gone.port} is gone: its supervisor, pid {gone.supervisor_pid}, "
            f"ended without stopping it. `slm up --port {gone.port} FILE` ends what it left and "
            "starts again; `slm doctor` lists what that is"
        )
    live = [run for run in runs if run.alive]
    if live:
        return f"no run at port {port}; the ports in use are {_ports(live)}"
    return f"no `slm up` is running; {_START}"


def _ports(runs: list[Run]) -> str:
    return ", ".join(str(run.record.port) for run in runs)
