"""The Serve application of one model, with a mock below the relay and nothing else changed."""

from ray import serve

from smallmodel_operator.api.serving import ModelArgs
from smallmodel_serving.runtime.application import Model
from smallmodel_serving.runtime.engine import Engine


class MockEngine:
    """An engine that runs elsewhere and is always there."""

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def address(self) -> str:
        """Base URL of the mock."""
        return self._address

    @property
    def threads(self) -> int | None:
        """None compute."""
        return None

    def start(self, others_awake: int) -> None:
        """Do nothing."""

    def sleep(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def alive(self) -> bool:
        """Return True."""
        return True


def mock_engine(args: ModelArgs) -> Engine:
    """Return the mock that was started before; its URL stands in place of the weights' path."""
    return MockEngine(args.weights)


def build(args: ModelArgs) -> serve.Application:
    """Return the Serve application."""
    return Model.bind(args, mock_engine)  # type: ignore[attr-defined]  # Serve's decorators have no types.
