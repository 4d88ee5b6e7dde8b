"""What a check of `slm doctor` saw."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import typer

from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.cli.output import Format, print_data, print_table


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw."""

    level: Level
    check: str
    message: str


def print_findings(findings: Iterable[Finding], output: Format) -> None:
    """Print findings, and end with a failure where one of them is.

    Raises:
        Exit: One is a failure.
    """
    seen = list(findings)
    if output is Format.TABLE:
        print_table(("level", "check", "finding"), [(f.level, f.check, f.message) for f in seen])
    else:
        print_data(
            [{"level": f.level, "check": f.check, "message": f.message} for f in seen], output
        )
    if any(finding.level is Level.FAIL for finding in seen):
        raise typer.Exit(ExitCode.FAILED)
