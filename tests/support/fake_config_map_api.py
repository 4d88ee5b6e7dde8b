"""A fake of an API server that knows one ConfigMap: it lists, watches, forgets, and goes away.

It shares nothing with the client under test but HTTP. Admission, storage and everything else that
a real one does is not there.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import web

PATH: Final = "/api/v1/namespaces/{namespace}/configmaps"


class FakeConfigMapApi:
    """A server on a free port of loopback, at the same port after each start."""

    def __init__(self) -> None:
        self.port = 0
        self.lists = 0
        self.watches = 0
        self.refuse_with: int | None = None
        """Answer every request with this status instead."""
        self.end_watches_at_once = False
        self._object: dict[str, Any] | None = None
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, dict[str, Any]]] = []
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get(PATH, self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away with all connections; what is stored stays."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def put(self, config_map: dict[str, Any]) -> None:
        """Create or replace the ConfigMap."""
        kind = "ADDED" if self._object is None else "MODIFIED"
        await self._store(kind, config_map)

    async def delete(self) -> None:
        """Delete the ConfigMap."""
        assert self._object is not None
        await self._store("DELETED", self._object)
        self._object = None

    def forget(self) -> None:
        """Compact: no watch can begin at a version from before."""
        self._version += 10
        self._oldest = self._version

    def write_kubeconfig(self, path: Path) -> Path:
        """Write how to reach it, and return where."""
        cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        user = {"name": "fake", "user": {"token": "of-nobody"}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [user],
            "contexts": [context],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    async def _store(self, kind: str, config_map: dict[str, Any]) -> None:
        async with self._changed:
            self._version += 1
            metadata = config_map["metadata"] | {"resourceVersion": str(self._version)}
            self._object = config_map | {"metadata": metadata}
            self._history.append((self._version, {"type": kind, "object": self._object}))
            self._changed.notify_all()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == "Bearer of-nobody"
        if self.refuse_with is not None:
            return web.json_response({"message": "as the test wants"}, status=self.refuse_with)
        if request.query.get("watch") == "true":
            return await self._watch(request)
        self.lists += 1
        wanted = request.query["fieldSelector"].removeprefix("metadata.name=")
        found = self._object
        items = [found] if found and found["metadata"]["name"] == wanted else []
        return web.json_response(
            {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches += 1
        seen = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if self.end_watches_at_once:
            return response
        if seen < self._oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await _send(response, {"type": "ERROR", "object": status})
            return response
        while True:
            news = [one for one in self._history if one[0] > seen]
            for version, event in news:
                await _send(response, event)
                seen = version
            if not news:
                async with self._changed:
                    await self._changed.wait()


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(json.dumps(event).encode() + b"\n")
