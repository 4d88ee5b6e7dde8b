"""The gauge of parked models. The index keeps it: a parked model has no process of its own to."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

_log: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What Serve says of one application."""

    settled: bool
    """False while Serve starts, stops or gives up on replicas."""
    replicas: int
    """In whatever state."""


class Gauge(Protocol):
    """Where a number goes."""

    def set(self, value: float, tags: dict[str, str]) -> None:
        """Take the number as the one of these tags."""


def parked(models: Iterable[str], running: Mapping[str, Running]) -> dict[str, int]:
    """Return 1 for each model without a replica that is well, and 0 for each other one.

    A model that Serve does not know yet has no value at all.
    """
    return {
        model: int(running[model].settled and running[model].replicas == 0)
        for model in models
        if model in running
    }


async def keep_gauge(
    gauge: Gauge,
    models: Callable[[], Iterable[str]],
    observe: Callable[[], Mapping[str, Running]],
    period: float = _PERIOD_SECONDS,
) -> None:
    """Set the gauge now and then, until cancelled.

    Args:
        gauge: One value for each `model`.
        models: Those of the pool at this moment.
        observe: Asks Serve's controller; blocks, so it runs in a thread.
        period: Seconds between two looks.
    """
    while True:
        try:
            running = await asyncio.to_thread(observe)
        except Exception:
            # The controller may be restarting; the gauge keeps what it had.
            _log.exception("Serve's controller could not be asked for parked models")
        else:
            for model, value in parked(models(), running).items():
                gauge.set(value, tags={"model": model})
        await asyncio.sleep(period)


def observe_serve() -> Mapping[str, Running]:
    """Ask Serve's controller for the replicas of every application; blocks."""
    from ray import serve
    from ray.serve.schema import ApplicationStatus

    return {
        name: Running(
            settled=application.status == ApplicationStatus.RUNNING,
            replicas=sum(
                count
                for deployment in application.deployments.values()
                for count in deployment.replica_states.values()
            ),
        )
        for name, application in serve.status().applications.items()
    }


def ray_gauge() -> Gauge:
    """Return the gauge in Ray's exporter; only inside a Ray process."""
    from ray.util import metrics

    gauge: Gauge = metrics.Gauge(
        "smallmodel_parked", description="1 while a model has no replica.", tag_keys=("model",)
    )
    return gauge
