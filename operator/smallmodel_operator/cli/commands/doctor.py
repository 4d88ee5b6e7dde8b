"""`slm doctor`: is this machine fit to run models, and what does a run expose?"""

from smallmodel_operator.cli.output import Format, OutputOption


def doctor(output: OutputOption = Format.TABLE) -> None:
    """Check this machine, and disclose what running models listen on."""
    from smallmodel_operator.cli.checks import CHECKS
    from smallmodel_operator.cli.findings import print_findings

    print_findings((finding for check in CHECKS for finding in check()), output)
