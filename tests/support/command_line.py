"""What a command of `slm` leaves, for tests that run one in their own process."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Its exit code and what it printed."""

    code: int
    out: str
    err: str


Slm = Callable[..., Outcome]
"""Takes the command line's words; the `slm` fixture is one."""
