"""`slm validate`: are manifests right, without running anything?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    print_data,
    print_note,
    print_text,
)

if TYPE_CHECKING:
    from smallmodel_operator.local.manifests import Problem

PathsArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE|DIR...", help="Manifests, or folders with them.")
]


def validate(paths: PathsArgument, output: OutputOption = Format.TABLE) -> None:
    """Check manifests offline: schema, names, and what the catalogue refuses.

    Each error is one line: file, line, field and what to do. Whether a model fits a machine, and
    whether its secret is there, `slm plan` tells.
    """
    from smallmodel_operator.cli.desired import (
        catalogue_problems,
        missing_secrets,
        read_desired,
    )
    from smallmodel_operator.local.manifests import ALL_KINDS
    from smallmodel_operator.local.secrets import known_secrets

    desired = read_desired(paths, ALL_KINDS)
    broken = desired.manifests.problems
    refused = catalogue_problems(desired)
    problems = sorted((*broken, *refused), key=lambda problem: (problem.file, problem.line))
    good = len(desired.manifests.manifests) - len(refused)
    if output is Format.TABLE:
        for problem in problems:
            print_text(str(problem))
        for warning in missing_secrets(desired, known_secrets()):
            print_note(f"warning: {warning}")
        print_note(_summary(good, len(problems)))
    else:
        print_data(_report(good, problems), output)
    fail_on(broken=bool(broken), refused=bool(refused))


def fail_on(*, broken: bool, refused: bool) -> None:
    """End with the exit code for broken manifests, or for those that cannot be served."""
    if broken:
        raise typer.Exit(ExitCode.INVALID_MANIFEST)
    if refused:
        raise typer.Exit(ExitCode.UNFIT)


def _summary(good: int, problems: int) -> str:
    manifests = f"{good} manifest is valid" if good == 1 else f"{good} manifests are valid"
    if not problems:
        return f"{manifests}."
    return f"{manifests}; {problems} problem{'s' if problems > 1 else ''}."


def _report(good: int, problems: Sequence["Problem"]) -> object:
    return {
        "valid": not problems,
        "validManifests": good,
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "field": problem.field,
                "reason": problem.reason.value,
                "message": problem.message,
            }
            for problem in problems
        ],
    }
