"""The gateway loop: everything that is served becomes one ConfigMap."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling, SmallModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.compare import is_applied, stamp
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import CONFIGMAPS, ref_of
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.last_good import WITHHELD_RETRY, LastGood, Tell
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.stores import HubStores, Unreadable
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import (
    EVERYONE,
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
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
from smallmodel_operator.plan.gateway.values import (
    Endpoint,
    GatewayConfig,
    GatewayModel,
    Unavailable,
)
from smallmodel_operator.plan.pools.values import SERVE_PORT, Manifest
from smallmodel_operator.settings import EVERY_NAMESPACE
from smallmodel_operator.status.state import find, state

_LOG: Final = logging.getLogger(__name__)

Routes: TypeAlias = tuple[NamespaceRoutes, ...]
MadeRoutes: TypeAlias = dict[
    RouteKey, tuple[SmallModel | Unreadable, ModelPlacement | None, RoutedModel]
]
"""Routes, and what each was made of: most stay the same from pass to pass."""


class GatewayLoop:
    """Keeps the gateway's ConfigMap in step with what is served."""

    def __init__(
        self,
        *,
        api: Api,
        hub: HubStores,
        stores: ClusterStores,
        events: Events,
        namespace: str,
        settings: ClusterGatewaySettings,
        allow_from: tuple[str, ...],
        all_pools_read: Callable[[], bool],
    ) -> None:
        """Make it.

        Args:
            api: The serving cluster's.
            hub: What is known of the models.
            stores: What is known of the cluster's objects.
            events: Tells people of a snapshot that is withheld.
            namespace: The operator's, where the ConfigMap lies.
            settings: What stays while the gateway runs.
            allow_from: Namespaces whose pods may ask every model, or `*`.
            all_pools_read: Tells whether everything was read once since this process started.
        """
        self._api = api
        self._hub = hub
        self._stores = stores
        self._events = events
        self._namespace = namespace
        self._settings = settings
        self._allow_from = allow_from
        self._last_good = LastGood(all_pools_read)
        self._bootstrap: str | None = None
        self._written: tuple[Routes, str] | None = None
        """Routes, and the version of the ConfigMap that has them."""
        self._made: MadeRoutes = {}
        self.problem: str | None = None
        """What is to be done before there are routes; a ConfigMap needs nothing."""

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
            ApiError: The ConfigMap could not be read or written.
        """
        namespaces = namespace_routes(
            self._hub, self._stores.placements, self._admitted, self._made
        )
        live = await self._api.get(CONFIGMAPS.ref(GATEWAY_NAME, self._namespace))
        if self._is_written(namespaces, live):
            return None
        after = routes_of(namespaces)
        if not await self._last_good.may_be_replaced(
            after, found=lambda: _routes_of_before(live), tell=self._teller(live)
        ):
            return WITHHELD_RETRY
        # Hundreds of models take tens of milliseconds, in which events should not wait.
        config = await asyncio.to_thread(build_cluster_gateway, namespaces, self._settings)
        if await self._write(namespaces, config, live):
            self._last_good.replaced(after)
        return None

    def _is_written(self, namespaces: Routes, live: Manifest | None) -> bool:
        """Tell whether these routes are in the ConfigMap, unbuilt: most events change none."""
        return (
            live is not None
            and self.withheld is None
            and self._written == (namespaces, live["metadata"].get("resourceVersion"))
        )

    async def _write(
        self, namespaces: Routes, config: GatewayConfig, live: Manifest | None
    ) -> bool:
        """Return whether these routes are in the ConfigMap now."""
        try:
            wanted = stamp(gateway_config_map(config, self._namespace))
        except SnapshotTooLarge as error:
            # The last good one stays, and the metric says so.
            why = Withheld(reason="SnapshotTooLarge", message=str(error))
            await self._last_good.keep(why, self._teller(live))
            return False
        if live is None or not is_applied(live, wanted):
            live = await self._api.apply(wanted)
        await self._restart_where_needed(config)
        self._written = (namespaces, live["metadata"].get("resourceVersion", ""))
        return True

    async def _restart_where_needed(self, config: GatewayConfig) -> None:
        """Give running Envoys another bootstrap, by a rolling restart of their Deployment."""
        if self._bootstrap == config.bootstrap:
            return
        wanted = gateway_restart(config, self._namespace)
        live = await self._api.get(ref_of(wanted))
        # Without a Deployment, the chart was told to leave the gateway to somebody else.
        if live is not None and not is_applied(live, wanted):
            await self._api.apply(wanted)
        self._bootstrap = config.bootstrap

    def _teller(self, live: Manifest | None) -> Tell:
        """Return what tells people by an Event of the ConfigMap, where there is one."""

        async def tell(withheld: Withheld) -> None:
            if live is not None:
                await self._events.record(
                    About.of(live), withheld.reason, withheld.message, type_=EventType.WARNING
                )

        return tell

    def _admitted(self, namespace: str) -> tuple[str, ...]:
        if EVERY_NAMESPACE in self._allow_from:
            return EVERYONE
        return self._stores.addresses({namespace, *self._allow_from})


def namespace_routes(
    hub: HubStores,
    placements: Placements,
    admitted: Callable[[str], tuple[str, ...]],
    made: MadeRoutes,
) -> Routes:
    """Return where requests for all models go, by namespace.

    Args:
        hub: What is known of the models.
        placements: Those of the cluster that serves them.
        admitted: Tells which addresses may ask a namespace's models.
        made: Routes that were made before; becomes those that are returned.
    """
    before = dict(made)
    made.clear()
    models: dict[str, list[RoutedModel]] = {}
    for key in sorted(hub.models):
        model, placement = hub.models[key], placements.by_model.get(key)
        if not model.metadata.deletion_timestamp:
            known = before.get(key)
            if known is None or known[0] is not model or known[1] is not placement:
                known = (model, placement, route_of(model, placement))
            made[key] = known
            models.setdefault(key[0], []).append(known[2])
    return tuple(
        NamespaceRoutes(name=name, models=tuple(found), admitted=admitted(name))
        for name, found in sorted(models.items())
    )


def _routes_of_before(live: Manifest | None) -> frozenset[RouteKey]:
    """Return what the ConfigMap of an earlier process leads to."""
    if live is None:
        return frozenset()
    try:
        return routes_in(read_snapshot(entries_of(live)))
    except InvalidSnapshot as error:
        _LOG.warning("the gateway's ConfigMap is written anew: %s", error)
        return frozenset()


def route_of(model: SmallModel | Unreadable, placement: ModelPlacement | None) -> RoutedModel:
    """Return where requests for the model go, or why it cannot be asked."""
    timeout = seconds(_scaling(model, placement).request_timeout)
    name = model.metadata.name
    pool = serving_pool(placement)
    if pool is not None:
        host = f"{pool}-serve-svc.{model.metadata.namespace}.svc"
        return RoutedModel(
            model=GatewayModel(name=name, request_timeout_seconds=timeout),
            upstream=Endpoint(address=host, port=SERVE_PORT),
        )
    ready = find(model.status, ConditionType.READY)
    reason = Reason(ready.reason) if ready else Reason.PROGRESSING
    message = (
        f"{name} is not ready yet ({state(model.status)}, {reason}); "
        f"`kubectl -n {model.metadata.namespace} describe smallmodel {name}` tells why."
    )
    unavailable = Unavailable(reason=reason, message=message)
    return RoutedModel(
        model=GatewayModel(name=name, request_timeout_seconds=timeout, unavailable=unavailable)
    )


def _scaling(model: SmallModel | Unreadable, placement: ModelPlacement | None) -> Scaling:
    """Return what the user asks for; of a model that cannot be read, what was decided before."""
    if isinstance(model, SmallModel):
        return model.spec.scaling
    return placement.spec.scaling if placement is not None else Scaling()


def serving_pool(placement: ModelPlacement | None) -> str | None:
    """Return the pool whose Serve has the model's application, starting ones included.

    A model that Serve has is Serve's to answer for: it holds requests while a replica comes up. For
    a model that never answered it has to say that it runs: a moment after it took the application,
    the HAProxies of its pods still answer 404 for it.
    """
    if placement is None or placement.metadata.deletion_timestamp:
        return None
    status = placement.status
    if status.deployment is None:
        return None
    runs = status.deployment.healthy or status.verified_hash is not None
    return status.pool if runs else None
