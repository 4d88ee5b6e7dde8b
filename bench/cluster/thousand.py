"""Many SmallModels in one namespace, which is the hardest way to have many."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from bench.cluster.control_plane import ControlPlane, all_written, control_plane
from bench.cluster.operator_process import OperatorProcess, operator_process
from bench.plan import Bench

NAMESPACE: Final = "team"
MODELS: Final = 1000

_WRITTEN_SECONDS: Final = 300.0
_SETTLE_SECONDS: Final = 300.0
_QUIET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A control plane with models, and an operator that has done its work."""

    plane: ControlPlane
    operator: OperatorProcess
    names: tuple[str, ...]
    server_cpu: float
    """Seconds of processor time that the API server had used before."""
    began: float
    """When the operator was started, on the clock of `time.perf_counter`."""


def names(bench: Bench) -> tuple[str, ...]:
    """Return the names of the models."""
    return tuple(f"chat-{number:04}" for number in range(bench.amount(MODELS)))


@contextlib.asynccontextmanager
async def written(bench: Bench) -> AsyncIterator[Installed]:
    """Give a new control plane with models of which each is in a RayService; it may work on."""
    log = bench.new_folder("operator") / "operator.log"
    models = names(bench)
    async with control_plane() as plane:
        await plane.make_models(NAMESPACE, models)
        server_cpu, began = plane.server_cpu(), time.perf_counter()
        async with operator_process(plane.kubeconfig, log) as operator:
            await all_written(plane, len(models), _WRITTEN_SECONDS)
            yield Installed(
                plane=plane,
                operator=operator,
                names=models,
                server_cpu=server_cpu,
                began=began,
            )


async def settled(operator: OperatorProcess) -> float:
    """Return when the last write was made, once none was made for some seconds.

    The clock is that of `time.perf_counter`.

    Raises:
        TimeoutError: It went on writing.
    """
    async with asyncio.timeout(_SETTLE_SECONDS):
        last, count = time.perf_counter(), (await operator.said()).written
        while time.perf_counter() - last < _QUIET_SECONDS:
            await asyncio.sleep(0.2)
            now = (await operator.said()).written
            if now != count:
                last, count = time.perf_counter(), now
    return last
