"""A real Envoy with the project's configuration in front of a mock upstream."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from builders.plan_values import gateway_model
from smallmodel_operator.local.envoy import Gateway, discovery_folder, start_gateway
from smallmodel_operator.plan.gateway.build import build_gateway
from smallmodel_operator.plan.gateway.values import (
    DiscoveryFile,
    Endpoint,
    GatewayConfig,
    GatewayModel,
    GatewaySettings,
)
from support.free_ports import free_port
from support.mock_upstream import MockUpstream


class Reply(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """OpenAI's error object, which must be the whole body and have its four fields."""
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


def settings_for(folder: Path, serve_port: int, **changed: Any) -> GatewaySettings:
    """Settings for an Envoy in that folder at a free port."""
    values: dict[str, Any] = {
        "listen": Endpoint(address="127.0.0.1", port=free_port()),
        "serve": Endpoint(address="127.0.0.1", port=serve_port),
        "discovery_folder": str(discovery_folder(folder)),
    }
    return GatewaySettings(**values | changed)


def with_routes(config: GatewayConfig, old: str, new: str) -> GatewayConfig:
    """The configuration with a text in its routes replaced."""
    assert old in config.routes.text
    routes = DiscoveryFile(text=config.routes.text.replace(old, new), version=config.routes.version)
    return GatewayConfig(bootstrap=config.bootstrap, routes=routes, clusters=config.clusters)


class RunningGateway:
    """What a client sees, and what stands behind it."""

    def __init__(self, settings: GatewaySettings, gateway: Gateway, upstream: MockUpstream) -> None:
        self.settings = settings
        self.gateway = gateway
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{settings.listen.port}"
        self.client = aiohttp.ClientSession()

    @classmethod
    async def start(
        cls, folder: Path, models: Sequence[GatewayModel] | None = None, **changed: Any
    ) -> "RunningGateway":
        """Start both; without other models, `chat` is served."""
        upstream = MockUpstream()
        await upstream.start()
        settings = settings_for(folder, upstream.port, **changed)
        served = (gateway_model("chat"),) if models is None else models
        try:
            gateway = await asyncio.to_thread(
                start_gateway, build_gateway(served, settings), settings, folder
            )
        except BaseException:
            await upstream.stop()
            raise
        return cls(settings, gateway, upstream)

    async def renew(self) -> None:
        """Serve `chat` alone, with a mock and a client that know of nothing before."""
        await self.client.close()
        self.client = aiohttp.ClientSession()
        await self.upstream.renew()
        config = build_gateway((gateway_model("chat"),), self.settings)
        if self.gateway.current != config:
            # By way of no models: a test's own text may have the version of what is wanted now.
            await self.serve()
            await self.apply(config)

    async def serve(self, *models: GatewayModel) -> None:
        """Serve these models instead, and return when Envoy does."""
        await self.apply(build_gateway(models, self.settings))

    async def apply(self, config: GatewayConfig) -> None:
        """Give Envoy that configuration, and return when it uses it."""
        await asyncio.to_thread(self.gateway.apply, config)

    async def request(self, method: str, path: str, **given: Any) -> Reply:
        """Send a request and read the whole answer."""
        async with self.client.request(method, self.url + path, **given) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, headers, await answer.read())

    async def get(self, path: str, **given: Any) -> Reply:
        """Send a GET."""
        return await self.request("GET", path, **given)

    async def ask(self, body: Any, path: str = "/v1/chat/completions", **given: Any) -> Reply:
        """POST a body: text as it is, anything else as JSON."""
        if not isinstance(body, str):
            return await self.request("POST", path, json=body, **given)
        headers = {"content-type": "application/json"} | given.pop("headers", {})
        data = io.BytesIO(body.encode())
        return await self.request("POST", path, data=data, headers=headers, **given)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes that need not be HTTP, and return what comes until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.listen.port)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), timeout=10)
        finally:
            writer.close()
            await writer.wait_closed()

    async def stop(self) -> None:
        """End everything."""
        await self.client.close()
        await self.upstream.stop()
        await asyncio.to_thread(self.gateway.stop, grace=0)
