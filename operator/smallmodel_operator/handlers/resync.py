"""Everything is read by lists, at the start and every five minutes: what a watch missed is found.

Watches of other clusters list for themselves (`clusters/watch.py`).
"""

import asyncio
import logging
from typing import Final

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import Resource
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.objects import ObjectKey, key_of, namespaces_of
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.triggers import Triggers
from smallmodel_operator.handlers.watched import WATCHED

_LOG: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 300.0


class Resync:
    """Reads everything of the hub, and forgets what is not there any more."""

    def __init__(
        self,
        *,
        api: Api,
        stores: HubStores,
        local: ClusterStores,
        watched: tuple[str, ...],
        triggers: Triggers,
    ) -> None:
        """Make it; nothing is read before `read_everything`.

        Args:
            api: The hub's.
            stores: What is known of what the hub decides on.
            local: What is known of the hub's own cluster.
            watched: The namespaces with models, in which alone the operator may read, or none.
            triggers: Takes what was read, and has it worked on.
        """
        self._api = api
        self._stores = stores
        self._local = local
        self._watched = watched
        self._triggers = triggers
        self._synced = False

    @property
    def is_synced(self) -> bool:
        """Whether everything was read once since this process started."""
        return self._synced

    async def run(self) -> None:
        """Read everything again and again until cancelled; a failure waits for the next time."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            try:
                await self.read_everything()
            except errors.ApiError as error:
                _LOG.warning("resync failed, and is tried again later: %s", error)

    async def read_everything(self) -> None:
        """Fill the stores by lists, and have everything worked on once.

        Raises:
            ApiError: Something could not be read, so that what is known of it stays.
        """
        for resource in WATCHED:
            try:
                there, version = await self._see_all(resource)
            except errors.ListExpired:
                there, version = await self._see_all(resource)
            except errors.ApiMissing:
                # KubeRay's: models wait for it, and the cluster's status says so.
                continue
            await self._ask_for_missing(resource, there, version)
            self._stores.forget_missing(resource, there, version)
            self._local.forget_missing(resource, there, version)
        self._triggers.work_on_all()
        self._synced = True

    async def _ask_for_missing(
        self, resource: Resource, there: set[ObjectKey], version: str
    ) -> None:
        """Take what a list lacked though it is there: one look does not make anything absent.

        The absence of a SmallModel ends its copies, and that of a DataSource its law.

        Raises:
            ApiError: The API server does not say, so nothing counts as gone.
        """
        for namespace, name in self._stores.missing(resource, there, version):
            # A list of one name takes no other right than the list of all.
            found, _ = await self._api.list(resource, namespace, fields=f"metadata.name={name}")
            for item in found:
                _LOG.warning("a list of %s lacked %s/%s", resource.full_name, namespace, name)
                self._triggers.see(resource, item, gone=False)
                there.add(key_of(item))

    async def _see_all(self, resource: Resource) -> tuple[set[ObjectKey], str]:
        """Take all objects, or those of the watched namespaces.

        Page by page, so that not all of them are in memory twice.

        Returns:
            What there is, and a version at which that was so.
        """
        there, versions = set[ObjectKey](), list[str]()
        for name in namespaces_of(resource, self._watched) or (None,):
            version = ""
            async for page in self._api.pages(resource, name):
                version = page.resource_version
                for item in page.items:
                    self._triggers.see(resource, item, gone=False)
                    there.add(key_of(item))
            versions.append(version)
        return there, min(versions, key=lambda version: int(version or 0))
