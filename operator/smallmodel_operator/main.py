"""The operator's process: settings, connection, leadership, and what runs while it leads."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import kopf
from prometheus_client import CollectorRegistry

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import hub_id, token_key
from smallmodel_operator.clusters.lease import hold
from smallmodel_operator.clusters.ref import Resource
from smallmodel_operator.handlers.endpoints import Measures, served
from smallmodel_operator.handlers.login import login
from smallmodel_operator.handlers.logs import set_up_logging
from smallmodel_operator.handlers.metrics import measures
from smallmodel_operator.handlers.operator import WATCHED, Operator, namespaces_of
from smallmodel_operator.handlers.watch import registry
from smallmodel_operator.settings import Settings, SettingsError

_LOG: Final = logging.getLogger(__name__)

KUBECONFIG: Final = "KUBECONFIG"
_USAGE: Final = 2
_FAILED: Final = 1


class Process:
    """One replica of the operator: it waits for the Lease, and then acts until it ends."""

    def __init__(
        self, settings: Settings, api: Api, lease_api: Api, kubeconfig: Path | None
    ) -> None:
        self._settings = settings
        self._api = api
        self._lease_api = lease_api
        self._kubeconfig = kubeconfig
        self._operator: Operator | None = None
        self._leads = False
        self._lost: str | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Have it end gracefully."""
        self._stop.set()

    async def run(self) -> int:
        """Run until told to stop, or until the Lease is lost; return the exit status."""
        metrics = CollectorRegistry()
        metrics.register(
            Measures(lambda: measures(self._api, lambda: self._operator, lambda: self._leads))
        )
        async with served(
            host=self._settings.listen,
            health_port=self._settings.health_port,
            metrics_port=self._settings.metrics_port,
            healthy=lambda: self._lost,
            ready=self._unready,
            metrics=metrics,
        ):
            await self._until_stopped(self._lead())
        return _FAILED if self._lost else 0

    def _unready(self) -> str | None:
        """Return why this replica is not ready; one that waits for the Lease is."""
        if self._operator is not None and not self._operator.is_synced:
            return "the cluster's objects are being read"
        return self._lost

    async def _lead(self) -> None:
        settings = self._settings
        async with hold(
            self._lease_api, settings.namespace, settings.lease, settings.pod_name, self._lose
        ):
            self._leads = True
            operator = Operator(
                api=self._api,
                settings=settings,
                hub_id=await hub_id(self._api, settings.namespace),
                token_key=await token_key(self._api, settings.namespace),
            )
            self._operator = operator
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(operator.run(), name="operator")
                    group.create_task(self._watch(operator), name="watch")
            finally:
                self._leads = False

    async def _watch(self, operator: Operator) -> None:
        places: dict[tuple[str, ...], list[Resource]] = {}
        for resource in WATCHED:
            # What has no namespace is watched beside what has one.
            where = namespaces_of(resource, self._settings.watch_namespaces)
            places.setdefault(where or self._settings.watch_namespaces, []).append(resource)
        # One kopf watches all of its kinds in all of its namespaces, and may not in some of them.
        await asyncio.gather(
            *(self._watch_in(place, kinds, operator) for place, kinds in places.items())
        )

    async def _watch_in(
        self, namespaces: tuple[str, ...], kinds: list[Resource], operator: Operator
    ) -> None:
        """Watch kinds in namespaces; none: everywhere."""
        made = registry(operator, kinds)
        kopf.on.login(registry=made)(login(self._kubeconfig))
        await kopf.operator(
            registry=made,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=self._stop,
        )
        # kopf takes the process's signals, and returns when one came.
        self.stop()

    def _lose(self, reason: str) -> None:
        """End at once: another replica may act a moment later."""
        _LOG.critical("%s; this process ends, so that only one acts", reason)
        self._lost = reason
        os._exit(_FAILED)

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


async def run(settings: Settings, kubeconfig: Path | None) -> int:
    """Run one replica until SIGTERM or SIGINT, and return its exit status.

    Raises:
        ApiError: What has to be there before anything else could not be read or made.
    """
    async with (
        await Api.connect(kubeconfig) as api,
        # The Lease has connections of its own, so that its renewal never waits behind other calls.
        await Api.connect(kubeconfig) as lease_api,
    ):
        lease_api.calls, lease_api.permissions = api.calls, api.permissions
        process = Process(settings, api, lease_api, kubeconfig)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop)
        return await process.run()


def main() -> int:
    """Run the operator as the environment says; errors of settings are told without a traceback."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    set_up_logging(level=settings.log_level, as_json=settings.log_format == "json")
    file = os.environ.get(KUBECONFIG)
    try:
        return asyncio.run(run(settings, Path(file) if file else None))
    except (errors.ApiError, ExceptionGroup) as error:
        known = expected(error)
        if known is None:
            raise
        _LOG.critical("the operator cannot run: %s", known)
        return _FAILED


def expected(error: BaseException) -> errors.ApiError | None:
    """Return the API server's refusal that ended the process, or None for a defect of ours."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(expected, error.exceptions)), None)
    return error if isinstance(error, errors.ApiError) else None


if __name__ == "__main__":
    sys.exit(main())
