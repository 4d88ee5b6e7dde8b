"""Health, readiness and metrics over HTTP."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class Measures(Collector):
    """Metrics that are read when somebody asks."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        return self._collect()


@asynccontextmanager
async def served(
    *,
    host: str,
    health_port: int,
    metrics_port: int,
    healthy: Callable[[], str | None],
    ready: Callable[[], str | None],
    metrics: CollectorRegistry,
    remark: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Serve `/healthz` and `/readyz` on one port and `/metrics` on another inside the block.

    Args:
        host: The address to listen at.
        health_port: Of health and readiness.
        metrics_port: Of the metrics.
        healthy: Returns why the process should be started anew, or None.
        ready: Returns why it is not ready, or None.
        metrics: What is shown.
        remark: Returns what is said in the place of "ok", or None.

    Raises:
        OSError: A port is taken.
    """

    def judged(judge: Callable[[], str | None]) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            problem = judge()
            return web.Response(text=problem or remark() or "ok", status=503 if problem else 200)

        return answer

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics), headers={"content-type": PLAIN})

    health, exporter = web.Application(), web.Application()
    health.router.add_get("/healthz", judged(healthy))  # type: ignore[arg-type]  # aiohttp's Handler is a union of old and new forms.
    health.router.add_get("/readyz", judged(ready))  # type: ignore[arg-type]  # As above.
    exporter.router.add_get("/metrics", show)
    runners = []
    try:
        for application, port in ((health, health_port), (exporter, metrics_port)):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
            await runner.setup()
            runners.append(runner)
            await web.TCPSite(runner, host, port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
