"""This machine, as the user's options change it."""

from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.local.machine import observe_machine
from smallmodel_operator.placement.machine import Machine


def look(memory: str | None = None, cpus: int | None = None) -> Machine:
    """Return this machine, with the memory for models and the cores that were given.

    Raises:
        CommandError: The memory is not a quantity.
    """
    try:
        return observe_machine(memory, cpus)
    except ValueError as error:
        raise CommandError(f"--memory: {error}", ExitCode.USAGE) from error
