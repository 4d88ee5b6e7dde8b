"""What every engine offers to the replica that runs it."""

from typing import Protocol

from smallmodel_operator.api.reasons import Reason


class EngineError(Exception):
    """An engine that cannot start: why, as a reason and as a sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Engine(Protocol):
    """A model in memory, with its own HTTP server on loopback."""

    @property
    def address(self) -> str:
        """Base URL of the engine's HTTP server, without a slash at its end."""
        ...

    @property
    def threads(self) -> int:
        """Threads that compute."""
        ...

    def start(self) -> None:
        """Load the weights; blocks until requests can be answered. Runs in a thread.

        Raises:
            EngineError: The weights or the arguments are refused.
        """
        ...

    def stop(self) -> None:
        """Give all of the engine's memory back. Runs in a thread; does nothing when stopped."""
        ...

    def alive(self) -> bool:
        """Return False when the engine died; costs no I/O."""
        ...
