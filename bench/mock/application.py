"""The Serve application of one model, with a mock below the relay and nothing else changed.

It is what `smallmodel_serving.runtime.application` builds; only the engine is another one, which
was started before and is named by its URL in place of the weights' path.
"""

import os
from typing import Any

from ray import serve

from smallmodel_operator.api.serving import MODEL_DEPLOYMENT, ModelArgs, ModelTuning
from smallmodel_serving.runtime.application import DEFAULT_TUNING, node_memory
from smallmodel_serving.runtime.asgi import Application
from smallmodel_serving.runtime.holding import ModelApplication
from smallmodel_serving.runtime.lifecycle import Lifecycle
from smallmodel_serving.runtime.metrics import RayInstruments
from smallmodel_serving.runtime.relay import Relay
from smallmodel_serving.runtime.telemetry import Telemetry


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


@serve.deployment(name=MODEL_DEPLOYMENT)
@serve.ingress()
class MockedModel:
    """One replica, as `application.Model`."""

    def __init__(self, args: ModelArgs) -> None:
        self._args = args
        self._lifecycle: Lifecycle | None = None

    async def __serve_build_asgi_app__(self) -> Application:
        """Return the application."""
        relay = Relay()
        instruments = RayInstruments(self._args.name)
        telemetry = Telemetry(instruments=instruments, relay=relay)
        self._lifecycle = Lifecycle(
            args=self._args,
            tuning=DEFAULT_TUNING,
            new_engine=lambda: MockEngine(self._args.weights),
            memory=node_memory(self._args, os.environ),
            observer=telemetry,
        )
        return ModelApplication(
            args=self._args,
            lifecycle=self._lifecycle,
            relay=relay,
            telemetry=telemetry,
            instruments=instruments,
        )

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take the model's tuning."""
        if self._lifecycle is not None:
            self._lifecycle.tune(ModelTuning.model_validate(user_config))


def build(args: ModelArgs) -> serve.Application:
    """Return the Serve application."""
    return MockedModel.bind(args)  # type: ignore[attr-defined]  # Serve's decorators have no types.
