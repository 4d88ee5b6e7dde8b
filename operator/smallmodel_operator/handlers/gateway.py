"""The gateway loop: everything that is served becomes one ConfigMap."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.compare import is_applied, stamp
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import CONFIGMAPS, ref_of
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.last_good import WITHHELD_RETRY, LastGood, Tell, nobody
from smallmodel_operator.handlers.routes import ModelRoutes, Routes
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import EVERYONE, ClusterGatewaySettings
from smallmodel_operator.plan.gateway.config_map import (
    GATEWAY_NAME,
    InvalidSnapshot,
    SnapshotTooLarge,
    entries_of,
    gateway_config_map,
    gateway_restart,
    read_snapshot,
)
from smallmodel_operator.plan.gateway.snapshot import (
    RouteKey,
    Withheld,
    routes_in,
    routes_of,
)
from smallmodel_operator.plan.gateway.values import GatewayConfig
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.settings import EVERY_NAMESPACE

_LOG: Final = logging.getLogger(__name__)

LOOK: Final = "gateway"
"""The key under which the ConfigMap is looked at, whatever is known of it."""
CHANGED: Final = "changed"
"""The key under which it is looked at where routes changed: of many clusters, few did."""

_BUILDER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gateway")
"""One for the gateways of all clusters. Each thread that builds takes as much of the processor as
all events together, which many clusters would wait for."""


class GatewayLoop:
    """Keeps the gateway's ConfigMap in step with what is served."""

    def __init__(
        self,
        *,
        api: Api,
        hub: HubStores,
        stores: ClusterStores,
        namespace: str,
        settings: ClusterGatewaySettings,
        allow_from: tuple[str, ...],
        all_pools_read: Callable[[], bool],
        events: Events | None = None,
        name: str = LOCAL_CLUSTER,
        of_placements: bool = False,
    ) -> None:
        """Make it.

        Args:
            api: The serving cluster's.
            hub: What is known of the models.
            stores: What is known of the cluster's objects.
            namespace: The operator's, where the ConfigMap lies.
            settings: What stays while the gateway runs.
            allow_from: Namespaces whose pods may ask every model, or `*`.
            all_pools_read: Tells whether everything was read once since this process started.
            events: Tells people of a snapshot that is withheld; None: the log alone does.
            name: The ModelCluster. In another one than the hub's a namespace is not the hub's of
                that name unless its administrator said so by the label.
            of_placements: The models are not known here, and their placements stand for them.
        """
        self._api = api
        self._is_hub = name == LOCAL_CLUSTER
        self._routes = ModelRoutes(hub, stores.placements, name, of_placements)
        self._stores = stores
        self._events = events
        self._namespace = namespace
        self._settings = settings
        self._allow_from = allow_from
        self._last_good = LastGood(all_pools_read)
        self._bootstrap: str | None = None
        self._written: tuple[Routes, tuple[str, ...], str] | None = None
        """Routes, who may ask, and the version of the ConfigMap that says so."""
        self.problem: str | None = None
        """What is to be done before there are routes; a ConfigMap needs nothing."""

    @property
    def withheld(self) -> Withheld | None:
        """Why the last good routes stay, or None where they do not."""
        return self._last_good.withheld

    def note_deleted(self, key: RouteKey) -> None:
        """Remember that a SmallModel was seen to be deleted."""
        self._last_good.note_deleted(key)

    async def work(self, key: str) -> float | None:
        """Do one pass, and return after how many seconds the next one is due.

        Raises:
            ApiError: The ConfigMap could not be read or written.
        """
        namespaces, identities = self._routes.now(self._admitted), self._routes.identities()
        if key == CHANGED and self._is_written(namespaces, identities):
            return None
        live = await self._api.get(CONFIGMAPS.ref(GATEWAY_NAME, self._namespace))
        if self._is_written(namespaces, identities) and self._is_version(live):
            return None
        after = routes_of(namespaces)
        if not await self._last_good.may_be_replaced(
            after,
            going=self._routes.going(),
            found=lambda: _routes_of_before(live),
            tell=self._teller(live),
        ):
            return WITHHELD_RETRY
        version = await self._write(namespaces, identities, live)
        if version is not None:
            self._written = (namespaces, identities, version)
            self._last_good.replaced(after)
        return None

    def _is_written(self, namespaces: Routes, identities: tuple[str, ...]) -> bool:
        """Tell whether these routes were written, unbuilt: most events change none."""
        return (
            self.withheld is None
            and self._written is not None
            and self._written[:2] == (namespaces, identities)
        )

    def _is_version(self, live: Manifest | None) -> bool:
        """Tell whether the ConfigMap is as it was written."""
        return (
            live is not None
            and self._written is not None
            and self._written[2] == live["metadata"].get("resourceVersion")
        )

    async def _write(
        self, namespaces: Routes, identities: tuple[str, ...], live: Manifest | None
    ) -> str | None:
        """Return the version of the ConfigMap that has these routes; None: they are too many."""
        # A thousand models take a fifth of a second, in which events should not wait.
        loop = asyncio.get_running_loop()
        try:
            config, wanted = await loop.run_in_executor(
                _BUILDER, self._built, namespaces, identities
            )
        except SnapshotTooLarge as error:
            # The last good one stays, and the metric says so.
            why = Withheld(reason="SnapshotTooLarge", message=str(error))
            await self._last_good.keep(why, self._teller(live))
            return None
        if live is None or not is_applied(live, wanted):
            live = await self._api.apply(wanted)
        await self._restart_where_needed(config)
        version: str = live["metadata"].get("resourceVersion", "")
        return version

    def _built(
        self, namespaces: Routes, identities: tuple[str, ...]
    ) -> tuple[GatewayConfig, Manifest]:
        """Return the configuration, and the ConfigMap that has it.

        Raises:
            SnapshotTooLarge: It has no room there.
        """
        config = build_cluster_gateway(namespaces, self._settings, identities)
        return config, stamp(gateway_config_map(config, self._namespace))

    async def _restart_where_needed(self, config: GatewayConfig) -> None:
        """Give running Envoys another bootstrap, by a rolling restart of their Deployment."""
        if self._bootstrap == config.bootstrap:
            return
        wanted = gateway_restart(config, self._namespace)
        live = await self._api.get(ref_of(wanted))
        # A cluster is joined before its gateway is installed, or never has one.
        if live is None:
            return
        if not is_applied(live, wanted):
            await self._api.apply(wanted)
        self._bootstrap = config.bootstrap

    def _teller(self, live: Manifest | None) -> Tell:
        """Return what tells people by an Event of the ConfigMap, where there is one."""
        events = self._events
        if events is None:
            return nobody

        async def tell(withheld: Withheld) -> None:
            if live is not None:
                await events.record(
                    About.of(live), withheld.reason, withheld.message, type_=EventType.WARNING
                )

        return tell

    def _admitted(self, namespace: str) -> tuple[str, ...]:
        if EVERY_NAMESPACE in self._allow_from:
            return EVERYONE
        sources = {namespace, *self._allow_from}
        return self._stores.addresses(sources if self._is_hub else sources & self._stores.accepting)


def _routes_of_before(live: Manifest | None) -> frozenset[RouteKey]:
    """Return what the ConfigMap of an earlier process leads to."""
    if live is None:
        return frozenset()
    try:
        return routes_in(read_snapshot(entries_of(live)))
    except InvalidSnapshot as error:
        _LOG.warning("the gateway's ConfigMap is written anew: %s", error)
        return frozenset()
