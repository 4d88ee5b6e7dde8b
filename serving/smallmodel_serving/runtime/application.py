"""The Serve application of one model: `build` is its import path."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from ray import serve

from smallmodel_operator.api.serving import (
    MODEL_DEPLOYMENT,
    NODE_FOLDER_VARIABLE,
    NODE_MEMORY_VARIABLE,
    LlamaCppArgs,
    ModelArgs,
    ModelTuning,
)
from smallmodel_serving.runtime.asgi import Application
from smallmodel_serving.runtime.cgroup import memory_limit
from smallmodel_serving.runtime.engine import Engine
from smallmodel_serving.runtime.engines import publish
from smallmodel_serving.runtime.holding import ModelApplication
from smallmodel_serving.runtime.ledger import NodeLedger, NoLedger
from smallmodel_serving.runtime.lifecycle import Lifecycle, Memory
from smallmodel_serving.runtime.metrics import RayInstruments
from smallmodel_serving.runtime.relay import Relay
from smallmodel_serving.runtime.report import ReportFile
from smallmodel_serving.runtime.telemetry import Telemetry
from smallmodel_serving.runtime.threads import SPIN_VARIABLE, SPINS
from smallmodel_serving.runtime.turns import device_turn
from smallmodel_serving.runtime.weights.obtain import obtain

RAY_OWN_BYTES: Final = round(0.6 * 2**30)
"""What Ray's own processes take of a worker pod's memory (measured: 0.5 to 0.6 GiB)."""

DEFAULT_TUNING: Final = ModelTuning(idle_timeout_seconds=300, start_timeout_seconds=60)
"""Until Serve passes the model's own."""


@serve.deployment(name=MODEL_DEPLOYMENT)
@serve.ingress()
class Model:
    """One replica of one model: a process that holds, relays, sleeps and wakes."""

    def __init__(self, args: ModelArgs, engine_of: Callable[[ModelArgs], Engine]) -> None:
        self._args = args
        self._engine_of = engine_of
        self._lifecycle: Lifecycle | None = None

    async def __serve_build_asgi_app__(self) -> Application:
        """Return the application; its lifespan begins the load, in the background."""
        relay = Relay()
        instruments = RayInstruments(self._args.name)
        folder = node_folder(os.environ)
        telemetry = Telemetry(
            instruments=instruments,
            relay=relay,
            report=ReportFile(folder, self._args.name) if folder else None,
            publish=publish,
        )
        self._lifecycle = Lifecycle(
            args=self._args,
            tuning=DEFAULT_TUNING,
            new_engine=partial(self._engine_of, self._args),
            memory=node_memory(self._args, os.environ),
            observer=telemetry,
            obtain=partial(obtain, self._args),
        )
        return ModelApplication(
            args=self._args,
            lifecycle=self._lifecycle,
            relay=relay,
            telemetry=telemetry,
            instruments=instruments,
        )

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take the model's tuning; Serve calls it at the start and at every change."""
        if self._lifecycle is not None:
            self._lifecycle.tune(ModelTuning.model_validate(user_config))

    async def check_health(self) -> None:
        """Fail when the engine died, so that Serve replaces the replica.

        A failed load is healthy: the replica stays, and says why.

        Raises:
            RuntimeError: The engine died.
        """
        if self._lifecycle is not None and not self._lifecycle.alive():
            raise RuntimeError(f"The engine of {self._args.name} died.")


def new_engine(args: ModelArgs) -> Engine:
    """Return the engine that the arguments name, not yet started.

    Each engine is imported only where it is used: an image has one of them.
    """
    if isinstance(args.engine, LlamaCppArgs):
        os.environ.setdefault(SPIN_VARIABLE, SPINS)
        from smallmodel_serving.runtime.llamacpp import LlamaCppEngine

        return LlamaCppEngine(args, args.engine)
    from smallmodel_serving.runtime.vllm import VllmEngine

    return VllmEngine(args, args.engine, device_turn(node_folder(os.environ), os.environ))


def node_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that the replicas of this node share, if it has one."""
    folder = environment.get(NODE_FOLDER_VARIABLE)
    return Path(folder) if folder else None


def node_memory(args: ModelArgs, environment: Mapping[str, str]) -> Memory:
    """Return the ledger of this node, or no bound where the node has none."""
    folder = node_folder(environment)
    if folder is None:
        return NoLedger()
    return NodeLedger(
        folder=folder,
        capacity=engine_bytes(environment, memory_limit()),
        model=args.name,
        memory_bytes=args.memory_bytes,
    )


def engine_bytes(environment: Mapping[str, str], limit: int | None) -> int | None:
    """Return the bytes that the engines of this node may use together; None is no bound.

    Args:
        environment: May say it; that counts.
        limit: Bytes that the container may use, of which Ray takes its part.
    """
    said = environment.get(NODE_MEMORY_VARIABLE)
    if said:
        return int(said)
    return None if limit is None else max(0, limit - RAY_OWN_BYTES)


def build(args: ModelArgs) -> serve.Application:
    """Return the Serve application of one model; Serve parses `args` from its config."""
    return Model.bind(args, new_engine)  # type: ignore[attr-defined]  # Serve's decorators have no types.
