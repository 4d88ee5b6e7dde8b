"""What every engine offers to the replica that runs it."""

from pathlib import Path
from typing import Protocol

from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.weights.errors import WeightsError
from smallmodel_serving.runtime.weights.verify import open_verified


class EngineError(Exception):
    """An engine that cannot start: why, as a reason and as a sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Engine(Protocol):
    """One model that can be brought into memory, with its own HTTP server on loopback.

    `start`, `sleep` and `stop` block and run in threads, never two at a time.
    """

    @property
    def address(self) -> str:
        """Base URL of the engine's HTTP server while it runs, without a slash at its end."""
        ...

    @property
    def threads(self) -> int | None:
        """Threads that compute; None while none do, or where the engine does not say."""
        ...

    def start(self, others_awake: int) -> None:
        """Load the weights, or wake up; returns when requests can be answered.

        Args:
            others_awake: Engines that are awake on this node besides this one.

        Raises:
            EngineError: The weights or the arguments are refused.
        """
        ...

    def sleep(self) -> None:
        """Give the engine's memory back, in a way that `start` undoes."""
        ...

    def stop(self) -> None:
        """End for good; does nothing when stopped."""
        ...

    def alive(self) -> bool:
        """Return False when the engine died; costs no I/O."""
        ...


def check_weights(weights: Path, sha256: str | None) -> None:
    """Check that the weights are those that were fetched and verified.

    Raises:
        EngineError: They are not.
    """
    try:
        open_verified(weights, sha256)
    except WeightsError as error:
        raise EngineError(error.reason, str(error)) from error
