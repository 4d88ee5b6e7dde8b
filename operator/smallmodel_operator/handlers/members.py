"""The clusters that the hub works on by their own clients, as their links come and go."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Iterator
from typing import Final

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.linked import LinkedMember
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.placement.cluster import ClusterView

_LOG: Final = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_JITTER: Final = 0.3
_LOOK_SECONDS: Final = 0.1


async def until_seen(
    names: Collection[str], views: Callable[[], Collection[str]], *, within: float
) -> None:
    """Return once all of these clusters were seen, or after that many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while not set(views()).issuperset(names):
                await asyncio.sleep(_LOOK_SECONDS)


class Members:
    """All of them, by the names of their ModelClusters.

    Links call `connected` and `disconnected`; neither deletes anything anywhere.
    """

    def __init__(self, make: Callable[[str, Api], LinkedMember]) -> None:
        """Make it; `run` lets members begin.

        Args:
            make: Makes a member of a name and a client.
        """
        self._make = make
        self._members: dict[str, LinkedMember] = {}
        self._clients: dict[str, Api] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[LinkedMember]:
        """Return those that are connected, by name."""
        return iter([self._members[name] for name in sorted(self._members)])

    def connected(self, name: str, api: Api) -> None:
        """Work on a cluster from now on, by this client and no other one."""
        self._end(name)
        self._clients[name] = api
        self._begin(name)

    def disconnected(self, name: str) -> None:
        """Leave a cluster alone, as it is."""
        self._end(name)
        self._clients.pop(name, None)

    def decided(self, cluster: str, key: ObjectKey) -> None:
        """Have carried to a cluster what was decided for it; later, where it is not connected."""
        member = self._members.get(cluster)
        if member is not None:
            member.mirror(key)

    def lead(self) -> None:
        """Have the gateways of all clusters learn where requests go now."""
        for member in self._members.values():
            member.lead()

    def note_deleted(self, key: ObjectKey) -> None:
        """Have their gateways know that a SmallModel was seen to be deleted."""
        for member in self._members.values():
            member.note_deleted(key)

    def views(self) -> dict[str, ClusterView]:
        """Return the clusters that are connected as they were seen last, by name."""
        seen = ((member.name, member.view()) for member in self)
        return {name: view for name, view in seen if view is not None}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self._clients:
                self._begin(name)
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def _begin(self, name: str) -> None:
        if self._group is not None:
            self._tasks[name] = self._group.create_task(self._work(name), name=f"member {name}")

    def _end(self, name: str) -> None:
        self._members.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def _work(self, name: str) -> None:
        """Work on one cluster until cancelled: whatever it says, nobody else ends by it."""
        api, failures = self._clients[name], 0
        while True:
            member = self._members[name] = self._make(name, api)
            try:
                await member.run()
            except errors.ApiError as error:
                _LOG.warning("cluster %s is begun anew: %s", name, error)
            except Exception:
                # Nothing that one cluster says may end the operator.
                _LOG.exception("cluster %s is begun anew, after a defect of this program", name)
            pause = min(_FIRST_PAUSE * 2.0**failures, _LONGEST_PAUSE)
            failures += 1
            await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
