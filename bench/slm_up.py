"""A real `slm up` to be measured: its own state folder and port, the user's cache of weights."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from bench.children import child, family, free_port, tail, until
from bench.client import Client, LostError, Reply, chat_body
from bench.plan import Bench
from smallmodel_operator.api.serving import EngineReport
from smallmodel_operator.local.events import (
    DRIVER_EVENTS,
    DriverEvent,
    ModelEvent,
    StackEvent,
)
from smallmodel_operator.local.node import observe_engines
from smallmodel_operator.local.paths import RunFolder, ScratchFolder
from smallmodel_operator.local.state import ModelReport, read_record, read_status
from smallmodel_operator.status.state import State

CARD: Final = "smollm2-135m-instruct"
NAME: Final = "chat"

_READY_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What `slm up` reached, and when it said so, in seconds since the command was started."""

    text: str
    at: float


@dataclass(slots=True, kw_only=True)
class SlmRun:
    """One `slm up` that is Ready."""

    pid: int
    port: int
    folder: RunFolder
    ready_after: float
    """Seconds from starting the command until it said that the model is Ready."""
    phases: tuple[Phase, ...]
    _clients: list[Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self) -> Client:
        """Return a client of the gateway."""
        client = Client(self.url)
        self._clients.append(client)
        return client

    async def ask(self, tokens: int = 1, *, stream: bool = False) -> Reply:
        """Send one request over a connection of its own, without retries.

        Raises:
            LostError: It got no whole answer, or one that is not 200.
        """
        client = Client(self.url)
        try:
            reply = await client.post(
                "/chat/completions", chat_body(NAME, "Say hello.", tokens, stream=stream)
            )
        finally:
            client.close()
        if reply.status != 200:
            raise LostError(f"status {reply.status}: {reply.body[:300].decode(errors='replace')}")
        return reply

    def report(self) -> ModelReport:
        """Return what the run says of the model."""
        status = read_status(self.folder)
        assert status is not None, "a Ready run has written its status"
        return next(r for r in status.models if r.model.metadata.name == NAME)

    def engine(self) -> EngineReport | None:
        """Return what the model's replica says of its engine; None: there is no replica."""
        record = read_record(self.folder)
        assert record is not None, "a Ready run has written its record"
        return observe_engines(ScratchFolder(Path(record.scratch)).node).get(NAME)

    def is_asleep(self) -> bool:
        """Return whether the replica lives and its weights are not in memory."""
        report = self.engine()
        return report is not None and report.state == "Asleep"

    def is_parked(self) -> bool:
        """Return whether the model has no replica."""
        return self.engine() is None

    async def until_asleep(self, within: float = 60.0) -> None:
        """Wait until the engine sleeps."""
        await until(self.is_asleep, f"{NAME} is asleep", within)

    async def until_parked(self, within: float = 120.0) -> None:
        """Wait until the replica is gone."""
        await until(self.is_parked, f"{NAME} is parked", within)

    async def engine_url(self) -> str:
        """Return the base URL of the very engine that serves the model, past everything else.

        Raises:
            RuntimeError: There is no replica, or none of its ports is llama.cpp's.
        """
        report = self.engine()
        if report is None:
            raise RuntimeError(f"{NAME} has no replica")
        return await engine_url(report.pid)

    def processes(self) -> list[psutil.Process]:
        """Return every process of the run, the command itself first."""
        return family(self.pid)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()


@contextlib.asynccontextmanager
async def slm_up(bench: Bench, name: str, **spec: Any) -> AsyncIterator[SlmRun]:
    """Run `slm up` with one manifest until the model is Ready, and stop it however this ends.

    Args:
        bench: The benchmark.
        name: For the folder of manifests, state and logs.
        spec: Further fields of the manifest's `spec`.

    Raises:
        RuntimeError: The model did not become Ready.
    """
    folder = bench.new_folder(name)
    manifest = folder / "manifest.yaml"
    write_manifest(manifest, NAME, **spec)
    port = free_port()
    log = folder / "stderr.log"
    command = (sys.executable, "-m", "smallmodel_operator.cli", "up", str(manifest), "-o", "json")
    environment = {"XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    began = time.monotonic()
    async with child(*command, "--port", str(port), log=log, environment=environment) as process:
        assert process.stdout is not None
        phases = await _until_ready(process.stdout, began, log)
        # Nobody reads on, and a full pipe would stop the command.
        drained = asyncio.create_task(process.stdout.read())
        run = SlmRun(
            pid=process.pid,
            port=port,
            folder=RunFolder(folder / "smallmodel" / "runs" / str(port)),
            ready_after=phases[-1].at,
            phases=phases,
        )
        try:
            yield run
        finally:
            run.close()
            drained.cancel()


async def engine_url(pid: int) -> str:
    """Return the base URL of the engine in a replica's process.

    It listens on a port of loopback that only its own process knows, so each one is asked.

    Args:
        pid: Of the replica, whose network must be that of this process.

    Raises:
        RuntimeError: None of the replica's ports is llama.cpp's.
    """
    ports = [
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    for port in ports:
        if await asyncio.to_thread(_is_llama, port):
            return f"http://127.0.0.1:{port}/v1"
    raise RuntimeError(f"none of the replica's ports {ports} is llama.cpp's")


def write_manifest(path: Path, name: str, **spec: Any) -> None:
    """Write a manifest of the benchmark's model."""
    body = {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": name},
        "spec": {"model": CARD} | spec,
    }
    path.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")


async def _until_ready(output: asyncio.StreamReader, began: float, log: Path) -> tuple[Phase, ...]:
    """Return what the command reached, each thing once; the last is that the model is Ready."""
    reached: dict[str, float] = {}
    said = ""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            async for line in output:
                said += line.decode()
                event = DRIVER_EVENTS.validate_json(line)
                reached.setdefault(_text(event), time.monotonic() - began)
                if isinstance(event, ModelEvent) and event.state is State.READY:
                    return tuple(Phase(text=text, at=at) for text, at in reached.items() if text)
    raise RuntimeError(f"{NAME} did not become Ready; `slm up` said:\n{said[-3000:]}{tail(log)}")


def _text(event: DriverEvent) -> str:
    match event:
        case StackEvent(step=step, done=True):
            return f"{step} runs"
        case ModelEvent(name=name, state=state):
            return f"{name} {state}"
    return ""


def _is_llama(port: int) -> bool:
    """Tell llama.cpp's server from the others of a replica by its page of properties."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/props", timeout=2.0, trust_env=False)
        return answer.status_code == 200 and "total_slots" in answer.json()
    except (httpx.HTTPError, json.JSONDecodeError):
        return False
