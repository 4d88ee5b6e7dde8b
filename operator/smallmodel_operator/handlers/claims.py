"""The loop over DataSources: where the claim or the bucket is that they name."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.datasource import DataSource, DataSourceStatus
from smallmodel_operator.api.modelcluster import ConnectionMode
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, LOCAL_CLUSTER
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.claims import observe_claim
from smallmodel_operator.clusters.ref import DATASOURCES
from smallmodel_operator.handlers.buckets import Buckets
from smallmodel_operator.handlers.failures import log_failure
from smallmodel_operator.handlers.linked import LinkedMember
from smallmodel_operator.handlers.logs import named
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.queue import WorkQueue
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.status.buckets import summarise_bucket
from smallmodel_operator.status.data import Look, summarise_source

PERIOD_SECONDS: Final = 60.0
"""Volumes hardly ever move."""
_LOOK_SECONDS: Final = 10.0
_WORKERS: Final = 4

_WITH_AGENTS: Final = frozenset({ConnectionMode.PULL, ConnectionMode.BUNDLE})
_NOT_ASKED: Final = (
    "agents are not asked for claims; where the data is there too, write it in spec.locations"
)
_NOT_CONNECTED: Final = (
    "the hub is not connected at the moment, so what was found there before counts"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Another cluster that the hub works on."""

    api: Api
    accepting: Collection[str]
    """Its namespaces that take models of this hub."""


def reached(members: Iterable[LinkedMember]) -> dict[str, Reached]:
    """Return those of the connected clusters of which everything was read, by name."""
    return {
        member.name: Reached(api=member.api, accepting=member.stores.accepting)
        for member in members
        if member.is_read
    }


class Claims:
    """Looks for the claims and the buckets that DataSources name, and for no others."""

    def __init__(
        self,
        *,
        api: Api,
        stores: HubStores,
        members: Callable[[], Mapping[str, Reached]],
        buckets: Buckets,
        now: Callable[[], str],
        conflicts: Counter[str],
    ) -> None:
        """Make it; whoever made it runs the queue.

        Args:
            api: The hub's.
            stores: What is known of DataSources and of ModelClusters.
            members: Returns the other clusters that are connected and read, by name.
            buckets: Tells where a bucket is.
            now: Tells the time as RFC 3339.
            conflicts: Counts writes over something that was newer, by queue.
        """
        self._api = api
        self._stores = stores
        self._members = members
        self._buckets = buckets
        self._now = now
        self.queue = WorkQueue[ObjectKey](
            "data",
            named(self.work, _fields),
            workers=_WORKERS,
            failed=log_failure("data", _fields, conflicts),
        )

    def see(self, key: ObjectKey) -> None:
        """Look for the data of a DataSource whose spec its status does not speak of."""
        source = self._stores.sources.get(key)
        if not isinstance(source, DataSource):
            return
        if source.metadata.generation != source.status.observed_generation:
            self.queue.add(key)

    async def work(self, key: ObjectKey) -> float | None:
        """Look for the data of one DataSource, and say what was found.

        Returns:
            After how many seconds to look again; None: not before its spec is another.

        Raises:
            ApiError: It could not be said; it is tried again.
        """
        source = self._stores.sources.get(key)
        if not isinstance(source, DataSource):
            return None
        status, again = await self._found(source)
        if status != source.status:
            await self._api.patch_status(
                DATASOURCES.ref(source.metadata.name, source.metadata.namespace),
                status.model_dump(mode="json", exclude_none=True, by_alias=True),
                resource_version=source.metadata.resource_version,
            )
        return again

    async def _found(self, source: DataSource) -> tuple[DataSourceStatus, float | None]:
        claim, bucket = source.spec.claim, source.spec.bucket
        if claim is not None:
            looks = await self._look(source.metadata.namespace, claim)
            return summarise_source(source, looks, self._now()), PERIOD_SECONDS
        if bucket is None:
            return DataSourceStatus(), None
        if source.spec.locations:
            return summarise_bucket(source, bucket, None, self._now()), None
        look, again = await self._buckets.look(bucket)
        return summarise_bucket(source, bucket, look, self._now()), again

    async def _look(self, namespace: str, claim: str) -> tuple[Look, ...]:
        members = self._members()
        names = sorted(self._stores.clusters)
        looks = (self._look_in(name, members, namespace, claim) for name in names)
        return tuple(await asyncio.gather(*looks))

    async def _look_in(
        self, name: str, members: Mapping[str, Reached], namespace: str, claim: str
    ) -> Look:
        if name == LOCAL_CLUSTER:
            return await _asked(name, self._api, namespace, claim)
        if self._stores.clusters[name].spec.connection.mode in _WITH_AGENTS:
            return Look(cluster=name, unasked=_NOT_ASKED)
        member = members.get(name)
        if member is None:
            return Look(cluster=name, unasked=_NOT_CONNECTED)
        if namespace not in member.accepting:
            # Its claims are not the business of whoever may write DataSources on the hub.
            return Look(cluster=name, unasked=self._not_accepted(namespace))
        return await _asked(name, member.api, namespace, claim)

    def _not_accepted(self, namespace: str) -> str:
        return (
            f"its namespace {namespace} takes no models of this hub, so it is not asked; its "
            f"administrator labels it {LABEL_ACCEPT_FROM}={self._stores.hub_id}"
        )


async def _asked(name: str, api: Api, namespace: str, claim: str) -> Look:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return Look(cluster=name, claim=await observe_claim(api, namespace, claim))
    except TimeoutError:
        return Look(cluster=name, unasked=f"it did not answer within {_LOOK_SECONDS:g} s")
    except errors.ApiError as error:
        return Look(cluster=name, unasked=str(error))


def _fields(key: ObjectKey) -> Mapping[str, str]:
    return {"namespace": key[0], "source": key[1]}
