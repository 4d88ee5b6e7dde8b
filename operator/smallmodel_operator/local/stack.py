"""Ray, Serve and the gateway of one run: the fleet's world."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.local import fetcher, ray_serve
from smallmodel_operator.local.envoy import Gateway, discovery_folder, start_gateway
from smallmodel_operator.local.errors import StackFailed
from smallmodel_operator.local.fetcher import FetchRequest
from smallmodel_operator.local.node import node_environment, observe_engines
from smallmodel_operator.local.paths import RunFolder, ScratchFolder, cache_folder
from smallmodel_operator.local.ports import take_block
from smallmodel_operator.local.ray_serve import RaySettings
from smallmodel_operator.local.settings import RunSettings
from smallmodel_operator.local.world import Sight
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayModel, GatewaySettings
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.serve import ServeFront, build_serve_config, dump_serve_config
from smallmodel_operator.plan.timeouts import (
    LOCAL_DRAIN,
    StackPaths,
    StackPorts,
    serve_environment,
    stack_timeouts,
)
from smallmodel_operator.probe import Answer, probe

_T = TypeVar("_T")
_LOOPBACK: Final = "127.0.0.1"
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """One step of starting."""

    name: str
    start: Callable[[], Awaitable[None]]


class Stack:
    """Started step by step, then changed by `apply_pool` and `apply_gateway`."""

    def __init__(
        self, settings: RunSettings, folder: RunFolder, scratch: ScratchFolder, machine: Machine
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._scratch = scratch
        self._machine = machine
        self._block = take_block()
        self._ports = StackPorts(
            frontend=self._block.port(1),
            haproxy_stats=self._block.port(2),
            haproxy_metrics=self._block.port(3),
            fallback_http=self._block.port(4),
            fallback_grpc=self._block.port(5),
            ray_metrics=self._block.port(6),
            replica_http_first=self._block.replicas.start,
            replica_http_last=self._block.replicas.stop - 1,
            replica_grpc_first=self._block.replicas_grpc.start,
            replica_grpc_last=self._block.replicas_grpc.stop - 1,
        )
        self._dashboard_port = self._block.port(7) if settings.dashboard else None
        self._timeouts = stack_timeouts((), drain=LOCAL_DRAIN)
        self._front = ServeFront(host=_LOOPBACK, port=self._ports.frontend, timeouts=self._timeouts)
        self._gateway_settings = GatewaySettings(
            listen=Endpoint(address=settings.host, port=settings.port),
            serve=Endpoint(address=_LOOPBACK, port=self._ports.frontend),
            discovery_folder=str(discovery_folder(folder.envoy)),
            metrics=Endpoint(address=_LOOPBACK, port=self._ports.ray_metrics),
        )
        self._gateway: Gateway | None = None
        # One thread for all of Ray: the kernel ends Ray's processes when the thread that started
        # them ends, not only when this process does.
        self._ray = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ray")
        self._serve_runs = asyncio.Event()
        self._applied = ""
        self.logs: Path | None = None
        """The folder with the logs of Ray and Serve, once they exist."""

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://{self._settings.host}:{self._settings.port}/v1"

    @property
    def front(self) -> str:
        """URL of Serve's own front, past the gateway."""
        return f"http://{_LOOPBACK}:{self._ports.frontend}"

    @property
    def ports(self) -> Mapping[str, int]:
        """What listens where."""
        named = {
            "gateway": self._settings.port,
            "serve": self._ports.frontend,
            "haproxyStats": self._ports.haproxy_stats,
            "haproxyMetrics": self._ports.haproxy_metrics,
            "serveFallback": self._ports.fallback_http,
            "rayMetrics": self._ports.ray_metrics,
        }
        return named | ({"dashboard": self._dashboard_port} if self._dashboard_port else {})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of starting, in order.

        The gateway comes first: it can say of every model what is still missing.
        """
        return (
            Step("envoy", self._start_gateway),
            Step("ray", self._start_ray),
            Step("serve", self._start_serve),
        )

    async def _start_gateway(self) -> None:
        config = build_gateway((), self._gateway_settings)
        self._gateway = await asyncio.to_thread(
            start_gateway, config, self._gateway_settings, self._folder.envoy
        )

    async def _start_ray(self) -> None:
        for path in (self._scratch.ray, self._scratch.haproxy, self._scratch.node):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        paths = StackPaths(folder=str(self._scratch.haproxy))
        ray_serve.set_environment(
            dict(serve_environment(self._ports, paths, self._timeouts))
            | node_environment(self._scratch.node, self._machine.memory_bytes)
        )
        settings = RaySettings(
            folder=self._scratch.ray,
            metrics_port=self._ports.ray_metrics,
            cpus=1,
            dashboard_port=self._dashboard_port,
        )
        self.logs = await self._in_ray(lambda: ray_serve.start_ray(settings))

    async def _start_serve(self) -> None:
        empty = dump_serve_config(build_serve_config(Pool(models=()), self._front))
        await self._in_ray(lambda: ray_serve.start_serve(empty))
        self._serve_runs.set()

    async def apply_pool(self, pool: Pool) -> None:
        """Give Serve the whole pool, unless it has exactly that."""
        await self._serve_runs.wait()
        config = dump_serve_config(build_serve_config(pool, self._front))
        if config != self._applied:
            await self._in_ray(lambda: ray_serve.apply(config))
            self._applied = config

    async def apply_gateway(self, models: tuple[GatewayModel, ...]) -> None:
        """Give the gateway every model that it must know."""
        config = build_gateway(models, self._gateway_settings)
        await asyncio.to_thread(self._running_gateway().apply, config)

    async def observe(self) -> Sight:
        """Look at Serve and at the node's engines."""
        if not self._serve_runs.is_set():
            return Sight(applications={}, engines={})
        applications = await self._in_ray(ray_serve.observe)
        return Sight(applications=applications, engines=observe_engines(self._scratch.node))

    def fetch(self, request: FetchRequest) -> AsyncIterator[FetchEvent]:
        """Bring weights into this user's cache."""
        return fetcher.fetch(request, cache_folder())

    async def probe(self, model: str, task: Task, timeout: float) -> Answer:
        """Send the verifying request through the gateway."""
        return await probe(self.url, model, task, timeout)

    def check(self) -> None:
        """Raise where a process that everything needs is gone.

        Raises:
            StackFailed: Envoy ended by itself.
        """
        code = self._running_gateway().ended()
        if code is not None:
            raise StackFailed(
                f"Envoy ended by itself with code {code}; its log lies in {self._folder.envoy}"
            )

    async def drain(self, seconds: float) -> None:
        """Take no new request, and wait until none runs, at most that many seconds."""
        if self._gateway is None or self._gateway.ended() is not None:
            return
        gateway = self._gateway
        await asyncio.to_thread(gateway.drain)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await asyncio.to_thread(gateway.active_requests) == 0:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _running_gateway(self) -> Gateway:
        if self._gateway is None:
            raise StackFailed("the gateway is asked before it was started")
        return self._gateway

    async def _in_ray(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._ray, work)
