"""`slm get`: the models of a run."""

from typing import Annotated

import typer

from smallmodel_operator.cli.models import print_models, problem_line
from smallmodel_operator.cli.output import (
    WideFormat,
    WideOutputOption,
    as_list,
    as_plain,
    print_data,
    print_note,
)
from smallmodel_operator.cli.runs import PortOption, find_model, live_run, status_of


def get(
    name: Annotated[str | None, typer.Argument(help="One model; default: all.")] = None,
    port: PortOption = None,
    output: WideOutputOption = WideFormat.TABLE,
) -> None:
    """Show the models of a run: one row each, or the objects with their status."""
    run = live_run(port)
    status = status_of(run)
    reports = (find_model(status, name),) if name else status.models
    if output in (WideFormat.YAML, WideFormat.JSON):
        objects = [report.model for report in reports]
        print_data(as_plain(objects[0]) if name else as_list(objects), output)
        return
    if reports:
        print_models(reports, wide=output is WideFormat.WIDE)
    else:
        print_note(f"No models yet at {run.record.url} ({status.phase}).")
    if not name:
        for problem in status.problems:
            print_note(problem_line(problem))
