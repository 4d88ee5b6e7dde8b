"""A cluster's gateway as in its pod: the Envoy of the start script, and the agent."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from smallmodel_operator.gateway.certificates import Certificates
from smallmodel_operator.gateway.files import GatewayFiles
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
)
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayConfig
from support.free_ports import free_port
from support.running_gateway import Reply
from support.waiting import eventually


def settings_for(folder: Path, **changed: Any) -> ClusterGatewaySettings:
    """Settings for an Envoy whose folder that is, at free ports."""
    values: dict[str, Any] = {
        "listen": Endpoint(address="127.0.0.1", port=free_port()),
        "admin": Endpoint(address="127.0.0.1", port=free_port()),
        "metrics": Endpoint(address="127.0.0.1", port=free_port()),
        "peers": Endpoint(address="127.0.0.1", port=free_port()),
        "certificates_folder": str(folder / "certificates"),
        "discovery_folder": str(folder / "discovery"),
    }
    return ClusterGatewaySettings(**values | changed)


class Program:
    """One of the pod's programs, in a process of its own."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": "operator"},
                cwd=Path(__file__).parents[2],
            )

    def stop(self, within: float = 10.0) -> int:
        """Send SIGTERM, and return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start_envoy(folder: Path) -> Program:
    """Start Envoy on what lies in the folder."""
    words = ("smallmodel_operator.gateway.envoy", "--folder", str(folder), "--concurrency", "1")
    return Program(folder / "envoy.log", *words)


def start_agent(folder: Path, settings: ClusterGatewaySettings, *more: str) -> Program:
    """Start the agent of that folder."""
    return Program(
        folder / "agent.log",
        "smallmodel_operator.gateway",
        *("--namespace", "smallmodel-system"),
        *("--folder", str(folder)),
        *("--seed", str(folder / "seed")),
        *("--admin", f"127.0.0.1:{settings.admin.port}"),
        *("--secret", str(folder / "tls")),
        *("--certificates", settings.certificates_folder),
        *more,
    )


def requests_from(source: str) -> aiohttp.ClientSession:
    """A client whose connections come from that address of loopback, one for each request."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0), force_close=True)
    return aiohttp.ClientSession(connector=connector)


class ClusterGateway:
    """A running Envoy, and what a client sees of it."""

    def __init__(self, folder: Path, settings: ClusterGatewaySettings) -> None:
        self.folder = folder
        self.settings = settings
        self.files = GatewayFiles(folder)
        self.url = f"http://127.0.0.1:{settings.listen.port}"
        self.envoy: Program | None = None
        self.agent: Program | None = None
        self.client = requests_from("127.0.0.1")

    def build(self, *namespaces: NamespaceRoutes) -> GatewayConfig:
        """The configuration of these namespaces, for this Envoy."""
        return build_cluster_gateway(namespaces, self.settings)

    async def start(self, namespaces: Sequence[NamespaceRoutes] | None = None) -> None:
        """Start Envoy with these namespaces, or with the files that are there."""
        if namespaces is not None:
            self.files.write(self.build(*namespaces))
        Certificates(self.folder / "tls", Path(self.settings.certificates_folder)).keep()
        self.envoy = start_envoy(self.folder)
        await eventually(self.listens, "Envoy listens", within=30)

    def listens(self) -> bool:
        """Whether clients can connect."""
        assert self.envoy is not None
        assert self.envoy.process.poll() is None, self.envoy.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.settings.listen.port), 1).close()
        except OSError:
            return False
        return True

    async def request(
        self, method: str, path: str, source: str | None = None, **given: Any
    ) -> Reply:
        """Send a request, from another address where one is given, and read the whole answer."""
        client = self.client if source is None else requests_from(source)
        try:
            async with client.request(method, self.url + path, **given) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, headers, await answer.read())
        finally:
            if client is not self.client:
                await client.close()

    async def ask(self, namespace: str, model: str, **given: Any) -> Reply:
        """Ask a model by its name in the body."""
        path = f"/{namespace}/v1/chat/completions"
        return await self.request("POST", path, json={"model": model}, **given)

    async def stop(self) -> None:
        """End everything."""
        await self.client.close()
        for program in (self.agent, self.envoy):
            if program is not None:
                await asyncio.to_thread(program.stop)
