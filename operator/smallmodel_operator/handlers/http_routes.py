"""The HTTPRoute loop: everything that is served becomes routes of somebody's own Gateway."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.compare import is_applied, stamp
from smallmodel_operator.clusters.guard import apply_owned, delete_owned
from smallmodel_operator.clusters.ref import HTTPROUTES, Ref, ref_of
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.last_good import WITHHELD_RETRY, LastGood
from smallmodel_operator.handlers.routes import ModelRoutes, Routes
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import EVERYONE
from smallmodel_operator.plan.gateway.http_route import (
    INSTALL_GATEWAY_API,
    ParentGateway,
    build_http_routes,
    models_in,
    service_models,
)
from smallmodel_operator.plan.gateway.snapshot import RouteKey, Withheld, routes_of
from smallmodel_operator.plan.pools.values import Manifest

_LOG: Final = logging.getLogger(__name__)

_MISSING_RETRY: Final = 10.0
_CHECK_SECONDS: Final = 60.0
"""How long routes that were seen to be as they should are believed to stay so."""

MISSING: Final = (
    "The Gateway API is not installed: there is no HTTPRoute, and the operator is set to write "
    f"them. Install it: {INSTALL_GATEWAY_API}"
)


class HttpRouteLoop:
    """Keeps the HTTPRoutes in step with what is served."""

    def __init__(
        self,
        *,
        api: Api,
        hub: HubStores,
        stores: ClusterStores,
        parent: ParentGateway,
        watched: tuple[str, ...],
        all_pools_read: Callable[[], bool],
    ) -> None:
        """Make it.

        Args:
            api: The serving cluster's.
            hub: What is known of the models.
            stores: What is known of the cluster's objects.
            parent: The Gateway that the routes attach to.
            watched: The namespaces with models; none: all.
            all_pools_read: Tells whether everything was read once since this process started.
        """
        self._api = api
        self._parent = parent
        self._watched = watched
        self._last_good = LastGood(all_pools_read)
        self._written: tuple[Routes, float] | None = None
        """Routes, and when it was seen that they are there."""
        self._stores = stores
        self._routes = ModelRoutes(hub, stores.placements)
        self.problem: str | None = None
        """What is to be done before there can be routes."""

    @property
    def withheld(self) -> Withheld | None:
        """Why the last good routes stay, or None where they do not."""
        return self._last_good.withheld

    def note_deleted(self, key: RouteKey) -> None:
        """Remember that a SmallModel was seen to be deleted."""
        self._last_good.note_deleted(key)

    async def work(self, _: str) -> float | None:
        """Do one pass, and return after how many seconds the next one is due.

        Raises:
            ApiError: A route could not be read or written; the others were.
        """
        namespaces = self._routes.now(lambda _: EVERYONE)
        if self._is_written(namespaces):
            return _CHECK_SECONDS
        try:
            live = await self._live()
        except errors.ApiMissing:
            if self.problem is None:
                _LOG.warning("%s", MISSING)
            self.problem = MISSING
            return _MISSING_RETRY
        self.problem = None
        after = routes_of(namespaces)
        if not await self._last_good.may_be_replaced(
            after, going=self._routes.going(), found=lambda: models_in(live.values())
        ):
            return WITHHELD_RETRY
        await self._write(namespaces, live)
        self._written = (namespaces, time.monotonic())
        self._last_good.replaced(after)
        return _CHECK_SECONDS

    def _is_written(self, namespaces: Routes) -> bool:
        """Tell whether these routes were there a short while ago: most events change none."""
        if self._written is None or self.withheld is not None:
            return False
        known, at = self._written
        return known == namespaces and time.monotonic() - at < _CHECK_SECONDS

    async def _live(self) -> dict[Ref, Manifest]:
        """Return the routes of this installation."""
        labels = f"{LABEL_HUB}={self._stores.hub_id}"
        pages = await asyncio.gather(
            *(
                self._api.list(HTTPROUTES, namespace, labels=labels)
                for namespace in self._watched or (None,)
            )
        )
        return {ref_of(item): item for items, _ in pages for item in items}

    async def _write(self, namespaces: Routes, live: dict[Ref, Manifest]) -> None:
        hub_id = self._stores.hub_id
        wanted = {
            ref_of(route): route
            for namespace in namespaces
            if namespace.name not in self._stores.ending
            for route in build_http_routes(
                namespace.name, service_models(namespace.models), self._parent, hub_id
            )
        }
        changed = [
            route
            for ref, route in wanted.items()
            if ref not in live or not is_applied(live[ref], stamp(route))
        ]
        raise_first(
            await asyncio.gather(
                *(apply_owned(self._api, route, hub_id) for route in changed),
                *(delete_owned(self._api, ref, hub_id) for ref in live.keys() - wanted.keys()),
                return_exceptions=True,
            )
        )


def raise_first(came: Iterable[object]) -> None:
    """Raise the first error of what came of several writes."""
    for one in came:
        if isinstance(one, BaseException):
            raise one
