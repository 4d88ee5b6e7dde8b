"""Exit codes, and the one exception that carries a message for the user to one of them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What `slm` exits with. `docs/reference/exit-codes.md` explains each."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID_MANIFEST = 3
    NOT_FOUND = 4
    UNFIT = 5
    PORT_TAKEN = 6
    PLATFORM = 7
    INTERRUPTED = 130


class CommandError(Exception):
    """A failure that the user can understand: the value, the rule and the next step."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
