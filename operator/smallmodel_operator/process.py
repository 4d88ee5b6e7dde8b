"""What every process of the operator does around its work: health, metrics, and leadership."""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio import sslproto
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.lease import hold
from smallmodel_operator.handlers.endpoints import Measures, served
from smallmodel_operator.handlers.logs import set_up_logging
from smallmodel_operator.settings import Settings

_LOG: Final = logging.getLogger(__name__)

KUBECONFIG: Final = "KUBECONFIG"
USAGE: Final = 2
FAILED: Final = 1

_TLS_BUFFER: Final = 2**15
"""Bytes that asyncio keeps for each connection with TLS (`SSLProtocol.max_size`); its own 2**18 are
touched whole. A hub has a dozen connections to each cluster that it calls."""


class Acting(Protocol):
    """What a process does while it leads."""

    async def act(self) -> None:
        """Work until cancelled.

        Raises:
            ApiError: What has to be there before anything else could not be read or made.
        """

    def unready(self) -> str | None:
        """Return why this replica is not ready, or None; one that waits for the Lease is."""

    def remark(self) -> str | None:
        """Return what people should know of one that is ready, or None."""

    def measures(self, *, leads: bool) -> Iterable[Metric]:
        """Return what Prometheus is told."""


class Process:
    """One replica: it waits for the Lease, and then acts until it ends."""

    def __init__(self, settings: Settings, lease_api: Api) -> None:
        self._settings = settings
        self._lease_api = lease_api
        self._leads = False
        self._lost: str | None = None
        self._stop = asyncio.Event()

    @property
    def stopping(self) -> asyncio.Event:
        """Set when it is to end."""
        return self._stop

    def stop(self) -> None:
        """Have it end gracefully."""
        self._stop.set()

    async def run(self, acting: Acting) -> int:
        """Run until told to stop, or until the Lease is lost; return the exit status."""
        metrics = CollectorRegistry()
        metrics.register(Measures(lambda: acting.measures(leads=self._leads)))
        async with served(
            host=self._settings.listen,
            health_port=self._settings.health_port,
            metrics_port=self._settings.metrics_port,
            healthy=lambda: self._lost,
            ready=lambda: acting.unready() or self._lost,
            remark=acting.remark,
            metrics=metrics,
        ):
            await self._until_stopped(self._lead(acting))
        return FAILED if self._lost else 0

    async def _lead(self, acting: Acting) -> None:
        settings = self._settings
        async with hold(
            self._lease_api, settings.namespace, settings.lease, settings.pod_name, self._lose
        ):
            self._leads = True
            try:
                await acting.act()
            finally:
                self._leads = False

    def _lose(self, reason: str) -> None:
        """End at once: another replica may act a moment later."""
        _LOG.critical("%s; this process ends, so that only one acts", reason)
        self._lost = reason
        os._exit(FAILED)

    async def _until_stopped(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task in done:
            await task
            return
        _LOG.info("stopping")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def replica(
    settings: Settings, kubeconfig: Path | None, make: Callable[[Api, Process], Acting]
) -> int:
    """Run one replica until SIGTERM or SIGINT, and return its exit status.

    Args:
        settings: The installation's.
        kubeconfig: Of the cluster that it runs in; None: it runs there as a pod.
        make: Makes what it does while it leads, of its connection and this process.

    Raises:
        ApiError: What has to be there before anything else could not be read or made.
    """
    async with (
        await Api.connect(kubeconfig) as api,
        # The Lease has connections of its own, so that its renewal never waits behind other calls.
        await Api.connect(kubeconfig) as lease_api,
    ):
        lease_api.calls, lease_api.permissions = api.calls, api.permissions
        process = Process(settings, lease_api)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop)
        return await process.run(make(api, process))


def program(what: str, settings: Settings, make: Callable[[Api, Process], Acting]) -> int:
    """Run a program as the environment says, and return its exit status.

    Args:
        what: The program, for the log.
        settings: The installation's.
        make: See `replica`.
    """
    set_up_logging(level=settings.log_level, as_json=settings.log_format == "json")
    sslproto.SSLProtocol.max_size = _TLS_BUFFER
    file = os.environ.get(KUBECONFIG)
    try:
        return asyncio.run(replica(settings, Path(file) if file else None, make))
    except (errors.ApiError, ExceptionGroup) as error:
        known = expected(error)
        if known is None:
            raise
        _LOG.critical("the %s cannot run: %s", what, known)
        return FAILED


def expected(error: BaseException) -> errors.ApiError | None:
    """Return the API server's refusal that ended the process, or None for a defect of ours."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(expected, error.exceptions)), None)
    return error if isinstance(error, errors.ApiError) else None
