"""`slm logs`: what a model, the driver or the gateway wrote."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.logs import Follower, by_age, model_logs, read_tail
from smallmodel_operator.cli.output import print_note, print_text
from smallmodel_operator.cli.runs import PortOption, Run, find_model, live_run, status_of

FindFiles = Callable[[], Sequence[Path]]


def logs(
    name: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    port: PortOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay, and print what is added.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many last lines of each file.")
    ] = 50,
    driver: Annotated[bool, typer.Option("--driver", help="The log of the run itself.")] = False,
    gateway: Annotated[bool, typer.Option("--gateway", help="The logs of Envoy.")] = False,
) -> None:
    """Print the logs of a model's replicas and engine, or of the run itself."""
    if [name is not None, driver, gateway].count(True) != 1:
        raise CommandError(
            "say whose logs: the NAME of a model, or --driver, or --gateway, and only one of them",
            ExitCode.USAGE,
        )
    run = live_run(port)
    if name is not None:
        find, subject = _files_of_model(run, name), f"the model {name}"
    elif driver:
        find, subject = lambda: _existing(run.folder.driver_log), "the driver"
    else:
        find, subject = lambda: by_age(run.folder.envoy.glob("*.log")), "the gateway"
    files = find()
    if not files and not follow:
        raise CommandError(f"{subject} has not written a log yet", ExitCode.NOT_FOUND)
    ends = _print_tails(files, lines)
    if follow:
        _follow(Follower(ends), find)


def _files_of_model(run: Run, name: str) -> FindFiles:
    status = status_of(run)
    find_model(status, name)
    if status.ray_logs is None:
        raise CommandError(
            "Ray has not started yet, so no model has logs; `slm logs --driver` shows how far it is"
        )
    folder = Path(status.ray_logs)
    return lambda: model_logs(folder, name)


def _existing(path: Path) -> Sequence[Path]:
    return (path,) if path.is_file() else ()


def _print_tails(files: Sequence[Path], lines: int) -> dict[Path, int]:
    """Print the last lines of each file, and return how far each was read."""
    ends: dict[Path, int] = {}
    for path in files:
        tail = read_tail(path, lines)
        ends[path] = tail.end
        if tail.lines and len(files) > 1:
            print_note(f"==> {path.name} <==")
        for line in tail.lines:
            print_text(line)
    return ends


def _follow(follower: Follower, find: FindFiles) -> None:
    shown: Path | None = None
    while True:
        files = find()
        for path, line in follower.read_new(files):
            if path != shown and len(files) > 1:
                print_note(f"==> {path.name} <==")
                shown = path
            print_text(line)
        sys.stdout.flush()
        follower.pause()
