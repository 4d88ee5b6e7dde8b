"""A replica without Ray: the real application behind a real HTTP server on loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvicorn

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import EngineReport, LlamaCppArgs, ModelArgs, ModelTuning
from smallmodel_serving.runtime.engine import Engine
from smallmodel_serving.runtime.holding import ModelApplication
from smallmodel_serving.runtime.ledger import NoLedger
from smallmodel_serving.runtime.lifecycle import Lifecycle, Memory
from smallmodel_serving.runtime.metrics import Instruments, NoInstruments
from smallmodel_serving.runtime.relay import Relay
from smallmodel_serving.runtime.telemetry import Telemetry


def model_args(
    *,
    name: str = "chat",
    task: Task = Task.CHAT,
    weights: Path = Path("/weights/model.gguf"),
    context_length: int = 2048,
    slots: int = 2,
    threads: int | None = None,
    options: dict[str, str] | None = None,
    memory_bytes: int = 400_000_000,
) -> ModelArgs:
    return ModelArgs(
        name=name,
        task=task,
        weights=str(weights),
        engine=LlamaCppArgs(
            context_length=context_length, slots=slots, threads=threads, options=options or {}
        ),
        memory_bytes=memory_bytes,
    )


def model_tuning(*, idle_timeout: float = 300.0, keep_awake: bool = False) -> ModelTuning:
    return ModelTuning(
        keep_awake=keep_awake, idle_timeout_seconds=idle_timeout, start_timeout_seconds=60
    )


def model_application(
    args: ModelArgs,
    new_engine: Callable[[], Engine],
    *,
    tuning: ModelTuning | None = None,
    memory: Memory | None = None,
    instruments: Instruments | None = None,
    obtain: Callable[[], None] = lambda: None,
    clock: Callable[[], float] | None = None,
    publish: Callable[[EngineReport], None] | None = None,
) -> tuple[ModelApplication, Lifecycle]:
    relay = Relay()
    measures = instruments or NoInstruments()
    telemetry = Telemetry(instruments=measures, relay=relay, publish=publish)
    lifecycle = Lifecycle(
        args=args,
        tuning=tuning or model_tuning(),
        new_engine=new_engine,
        memory=memory or NoLedger(),
        observer=telemetry,
        obtain=obtain,
        clock=clock or asyncio.get_running_loop().time,
    )
    application = ModelApplication(
        args=args,
        lifecycle=lifecycle,
        relay=relay,
        telemetry=telemetry,
        instruments=measures,
    )
    return application, lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningReplica:
    http: aiohttp.ClientSession
    """Its base URL is the replica's."""
    lifecycle: Lifecycle


@contextlib.asynccontextmanager
async def running_replica(
    args: ModelArgs,
    new_engine: Callable[[], Engine],
    *,
    tuning: ModelTuning | None = None,
    memory: Memory | None = None,
    obtain: Callable[[], None] = lambda: None,
    clock: Callable[[], float] | None = None,
    publish: Callable[[EngineReport], None] | None = None,
) -> AsyncIterator[RunningReplica]:
    application, lifecycle = model_application(
        args,
        new_engine,
        tuning=tuning,
        memory=memory,
        obtain=obtain,
        clock=clock,
        publish=publish,
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(application, log_level="warning", lifespan="on", log_config=None)
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        await wait_until(lambda: server.started or serving.done())
        try:
            async with aiohttp.ClientSession(base_url=base) as http:
                yield RunningReplica(http=http, lifecycle=lifecycle)
        finally:
            server.should_exit = True
            await serving


async def wait_until(
    condition: Callable[[], bool], *, within: float = 10.0, every: float = 0.01
) -> None:
    """Wait on a condition, with a deadline."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(every)
