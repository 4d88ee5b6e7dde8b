"""The agent's own port: its health, and metrics."""

from collections.abc import Callable

from aiohttp import web

from smallmodel_operator.gateway.metrics import AgentMetrics


def build_app(ready: Callable[[], bool], metrics: AgentMetrics) -> web.Application:
    """Return the application with `/healthz`, `/ready` and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readiness(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="Envoy's files are not there yet\n")

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.text(), headers={"content-type": "text/plain; version=0.0.4"}
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/ready", readiness),
            web.get("/metrics", prometheus),
        ]
    )
    return app
