"""The operator's process: settings, and what runs while it leads."""

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import kopf
from prometheus_client.core import Metric

from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import hub_id, token_key
from smallmodel_operator.clusters.ref import Resource
from smallmodel_operator.handlers.login import login
from smallmodel_operator.handlers.metrics import measures
from smallmodel_operator.handlers.objects import namespaces_of
from smallmodel_operator.handlers.operator import Operator
from smallmodel_operator.handlers.watch import registry
from smallmodel_operator.handlers.watched import WATCHED
from smallmodel_operator.process import KUBECONFIG, USAGE, Process, program
from smallmodel_operator.settings import Settings, SettingsError


class Hub:
    """The operator, from when this replica leads."""

    def __init__(self, settings: Settings, api: Api, process: Process) -> None:
        self._settings = settings
        self._api = api
        self._process = process
        file = os.environ.get(KUBECONFIG)
        self._kubeconfig = Path(file) if file else None
        self._operator: Operator | None = None

    async def act(self) -> None:
        """Decide and serve until cancelled.

        Raises:
            ApiError: What has to be there before anything else could not be read or made.
        """
        operator = Operator(
            api=self._api,
            settings=self._settings,
            hub_id=await hub_id(self._api, self._settings.namespace),
            token_key=await token_key(self._api, self._settings.namespace),
        )
        self._operator = operator
        async with asyncio.TaskGroup() as group:
            group.create_task(operator.run(), name="operator")
            group.create_task(self._watch(operator), name="watch")

    def unready(self) -> str | None:
        """Return why this replica is not ready, or None."""
        if self._operator is not None and not self._operator.is_synced:
            return "the cluster's objects are being read"
        return None

    def remark(self) -> str | None:
        """Return nothing: what there is to say of models and clusters is in their statuses."""
        return None

    def measures(self, *, leads: bool) -> Iterable[Metric]:
        """Return what Prometheus is told."""
        return measures(self._api, self._operator, leads=leads)

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
        made = registry(operator.triggers, kinds)
        kopf.on.login(registry=made)(login(self._kubeconfig))
        await kopf.operator(
            registry=made,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=self._process.stopping,
        )
        # kopf takes the process's signals, and returns when one came.
        self._process.stop()


def main() -> int:
    """Run the operator as the environment says; errors of settings are told without a traceback."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    return program("operator", settings, lambda api, process: Hub(settings, api, process))


if __name__ == "__main__":
    sys.exit(main())
