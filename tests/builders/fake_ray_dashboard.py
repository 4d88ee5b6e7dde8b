"""A fake of a pool's head over HTTP: the paths of its dashboard and of `_index` that are read."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from builders.fake_kube_api import Reply, serving

RUNNING = {
    "tiny": {
        "status": "RUNNING",
        "message": "",
        "last_deployed_time_s": 1.0,
        "deployments": {"model": {"status": "HEALTHY", "replicas": [{"state": "RUNNING"}]}},
    }
}


@dataclass
class FakeRayDashboard:
    """What it answers."""

    address: str = ""
    port: int = 0
    token: str = "pool-token"
    content: str = field(default_factory=lambda: json.dumps({"applications": RUNNING}))
    reply: Reply | None = None
    asked: int = 0
    engines: Reply = lambda _request: web.Response(status=404)
    """What `_index` says of engines; an image of before that was told says 404."""

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a test may put its own in this place."""
        return await self.answer(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.path == "/-index/engines":
            return self.engines(request) or web.Response(status=500)
        self.asked += 1
        given = self.reply(request) if self.reply else None
        if given is not None:
            return given
        if request.headers.get("x-ray-authorization") != f"Bearer {self.token}":
            return web.Response(status=403, text="invalid token")
        assert request.path == "/api/serve/applications/"
        return web.Response(text=self.content, content_type="application/json")


@asynccontextmanager
async def fake_ray_dashboard() -> AsyncIterator[FakeRayDashboard]:
    """Run a fake dashboard."""
    fake = FakeRayDashboard()
    async with serving(lambda request: fake.dispatch(request)) as url:
        parts = urlsplit(url)
        fake.address, fake.port = parts.hostname or "", parts.port or 0
        yield fake
