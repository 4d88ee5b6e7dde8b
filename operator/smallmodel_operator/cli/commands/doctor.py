"""`slm doctor`: is this machine fit to run models, and what does a run expose?"""

import typer

from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.cli.output import Format, OutputOption, print_data, print_table


def doctor(output: OutputOption = Format.TABLE) -> None:
    """Check this machine, and disclose what running models listen on."""
    from smallmodel_operator.cli.checks import CHECKS, Level

    findings = [finding for check in CHECKS for finding in check()]
    if output is Format.TABLE:
        print_table(
            ("level", "check", "finding"), [(f.level, f.check, f.message) for f in findings]
        )
    else:
        print_data(
            [{"level": f.level, "check": f.check, "message": f.message} for f in findings], output
        )
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
