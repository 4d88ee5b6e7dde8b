"""The Serve application of one model: `build` is its import path."""

from functools import partial
from pathlib import Path
from typing import Final

from ray import serve

from smallmodel_operator.api.serving import (
    MODEL_DEPLOYMENT,
    LlamaCppArgs,
    ModelArgs,
    ModelTuning,
)
from smallmodel_serving.runtime.asgi import Application
from smallmodel_serving.runtime.engine import Engine
from smallmodel_serving.runtime.holding import ModelApplication
from smallmodel_serving.runtime.lifecycle import Lifecycle, State
from smallmodel_serving.runtime.llamacpp import LlamaCppEngine
from smallmodel_serving.runtime.threads import engine_threads, usable_cores

DEFAULT_TUNING: Final = ModelTuning(idle_timeout_seconds=300, start_timeout_seconds=60)
"""Until Serve passes the model's own."""


class _Unbounded:
    async def acquire(self) -> int:
        return 0

    async def release(self) -> None:
        pass

    def note_use(self, *, in_flight: int, last_use: float) -> None:
        pass


class _Silent:
    def state_changed(self, state: State) -> None:
        pass

    def loaded(self, seconds: float) -> None:
        pass

    async def before_sleep(self, address: str) -> None:
        pass


@serve.deployment(name=MODEL_DEPLOYMENT)
@serve.ingress()
class Model:
    """One replica of one model: a process that holds, relays, sleeps and wakes."""

    def __init__(self, args: ModelArgs) -> None:
        self._args = args
        self._lifecycle: Lifecycle | None = None

    async def __serve_build_asgi_app__(self) -> Application:
        """Return the application; its lifespan begins the load, in the background."""
        self._lifecycle = Lifecycle(
            args=self._args,
            tuning=DEFAULT_TUNING,
            new_engine=partial(new_engine, self._args),
            memory=_Unbounded(),
            observer=_Silent(),
        )
        return ModelApplication(args=self._args, lifecycle=self._lifecycle)

    def reconfigure(self, user_config: dict[str, object]) -> None:
        """Take the model's tuning; Serve calls it at the start and at every change."""
        if self._lifecycle is not None:
            self._lifecycle.tune(ModelTuning.model_validate(user_config))

    def check_health(self) -> None:
        """Fail when the engine died, so that Serve replaces the replica.

        A failed load is healthy: the replica stays, and says why.

        Raises:
            RuntimeError: The engine died.
        """
        if self._lifecycle is not None and not self._lifecycle.alive():
            raise RuntimeError(f"The engine of {self._args.name} died.")


def new_engine(args: ModelArgs, others_awake: int) -> Engine:
    """Return the engine that the arguments name, not yet started."""
    assert isinstance(args.engine, LlamaCppArgs)
    threads = engine_threads(
        wanted=args.engine.threads, cores=usable_cores(), others_awake=others_awake
    )
    return LlamaCppEngine(
        name=args.name,
        task=args.task,
        weights=Path(args.weights),
        args=args.engine,
        threads=threads,
    )


def build(args: ModelArgs) -> serve.Application:
    """Return the Serve application of one model; Serve parses `args` from its config."""
    return Model.bind(args)
