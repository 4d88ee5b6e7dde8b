"""`slm plan`: what would run, and why, without running it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.cli.commands.validate import PathsArgument, fail_on
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    as_plain,
    json_text,
    print_data,
    print_note,
    print_table,
    print_text,
)

if TYPE_CHECKING:
    from smallmodel_operator.cli.plans import Planned, PlanReport


class _Part(StrEnum):
    """Which configuration is printed."""

    PLAN = "plan"
    SERVE = "serve"
    GATEWAY = "gateway"


def plan(
    paths: PathsArgument,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Memory that models may use, such as 4Gi; default: here."),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="Cores; default: those here.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Print the Ray Serve config instead.")
    ] = False,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Print Envoy's configuration files instead.")
    ] = False,
    output: OutputOption = Format.YAML,
) -> None:
    """Print what would run on this machine, or on one of the given size, and why."""
    from smallmodel_operator.cli.desired import located, read_desired
    from smallmodel_operator.cli.here import look
    from smallmodel_operator.cli.plans import plan_models, report
    from smallmodel_operator.local.secrets import known_secrets

    part = _part(serve=serve, gateway=gateway)
    machine = look(memory, cpus)
    desired = read_desired(paths)
    planned = plan_models(desired, machine, known_secrets())
    if part is _Part.PLAN:
        _print_plan(report(planned, machine), output)
    elif part is _Part.SERVE:
        _print_serve(planned, output)
    else:
        _print_gateway(planned, output)
    for problem in desired.manifests.problems:
        print_note(str(problem))
    refused = [
        located(one.manifest, one.refusal.reason, one.refusal.message)
        for one in planned
        if one.refusal
    ]
    for problem in refused:
        print_note(str(problem))
    fail_on(broken=bool(desired.manifests.problems), refused=bool(refused))


def _part(*, serve: bool, gateway: bool) -> _Part:
    if serve and gateway:
        raise CommandError("choose one of --serve and --gateway", ExitCode.USAGE)
    if serve:
        return _Part.SERVE
    return _Part.GATEWAY if gateway else _Part.PLAN


def _print_plan(report: "PlanReport", output: Format) -> None:
    if output is not Format.TABLE:
        print_data(as_plain(report), output)
        return
    rows = [
        (
            model.name,
            model.chosen.engine if model.chosen else "",
            model.chosen.variant if model.chosen else "",
            human_bytes(model.memory.total) if model.memory else "",
            str(model.chosen.max_replicas) if model.chosen else "0",
            model.reason,
        )
        for model in report.models
    ]
    print_table(("name", "engine", "variant", "memory", "max replicas", "reason"), rows)


def _print_serve(planned: Sequence["Planned"], output: Format) -> None:
    from smallmodel_operator.cli.rendered import serve_config

    print_data(serve_config(planned).model_dump(mode="json", exclude_none=True), output)


def _print_gateway(planned: Sequence["Planned"], output: Format) -> None:
    from smallmodel_operator.cli.rendered import gateway_files

    files = gateway_files(planned)
    if output is Format.JSON:
        print_text(json_text(files))
        return
    for name, text in files.items():
        print_text(f"# {name}\n{text.rstrip()}\n---")
