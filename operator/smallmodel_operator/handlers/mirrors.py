"""The mirror loop: what the hub decided for another cluster is carried there, and told back."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.names import placement_name, placement_namespace
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.guard import Overwriting, apply_owned, delete_owned, tell_nobody
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, Ref
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.refused import Refused
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.handlers.writer import set_finalizer
from smallmodel_operator.reconcile.mirror import (
    Mirrored,
    MirrorOrders,
    MirrorSight,
    decide_mirror,
    mirror_manifest,
)

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """What a member knows of its hub."""

    api: Api
    stores: HubStores
    is_read: Callable[[], bool]
    """Tells whether all of the hub's placements were read: before, none of them is absent."""
    lets_go: bool = True
    """This process may take the finalizer off the hub's objects. False: an agent's may not, since
    who may do that may write their specs; it tells the hub that they may go."""


class MirrorLoop:
    """Gathers once, decides purely, writes once."""

    def __init__(
        self,
        *,
        api: Api,
        hub: Hub,
        stores: ClusterStores,
        name: str,
        namespace: str,
        now: Callable[[], str],
        carried: Callable[[ObjectKey], None],
        told: Callable[[ObjectKey], None],
        overwriting: Overwriting = tell_nobody,
    ) -> None:
        """Make it.

        Args:
            api: The cluster's.
            hub: Where the placements come from.
            stores: What is known of the cluster's objects, mirrors among them.
            name: The ModelCluster.
            namespace: Where mirrors lie in the cluster: the operator's, there as here.
            now: Tells the time as RFC 3339.
            carried: Called with a SmallModel's key when there is news of its mirror.
            told: Called with the same when the status of its placement was written.
            overwriting: Called before a mirror is written over.
        """
        self._api = api
        self._hub = hub
        self._stores = stores
        self._name = name
        self._namespace = namespace
        self._now = now
        self._carried = carried
        self._told = told
        self._overwriting = overwriting
        self._refused = Refused(of_mirrors=True)
        self.orphans: set[ObjectKey] = set()
        """Keys of mirrors whose placement the hub does not have."""

    def known(self) -> set[ObjectKey]:
        """Return everything that there is to work on."""
        decided = self._hub.stores.placements_on(self._name)
        mirrors = self._stores.placements
        return {*decided.by_model, *decided.unread, *mirrors.by_model, *mirrors.unread}

    def known_in(self, namespace: str) -> Iterable[ObjectKey]:
        """Return the same for the models of a namespace."""
        return (key for key in self.known() if key[0] == namespace)

    async def work(self, key: ObjectKey) -> float | None:
        """Do one pass over a placement and its mirror.

        Raises:
            ApiError: Something could not be read or written that will be tried again.
        """
        if not self._hub.is_read():
            return None
        sight = self._sight(key)
        orders = decide_mirror(sight, self._now())
        self._note_orphan(key, orphaned=orders.orphaned)
        await self._carry_out(key, orders, sight)
        return None

    def _sight(self, key: ObjectKey) -> MirrorSight:
        decided, mirrors = self._hub.stores.placements_on(self._name), self._stores.placements
        placement = decided.by_model.get(key)
        name = placement.metadata.name if placement is not None else placement_name(*key)
        there = Mirrored.NOTHING
        if key in mirrors.by_model or key in mirrors.unread:
            there = Mirrored.OURS
        elif name in self._stores.foreign_placements:
            there = Mirrored.FOREIGN
        return MirrorSight(
            cluster=self._name,
            namespace=self._namespace,
            placement=placement,
            unread=key in decided.unread,
            there=there,
            mirror=mirrors.by_model.get(key),
            accepted=key[0] in self._stores.accepting,
            refused=self._refused.get(key),
        )

    async def _carry_out(self, key: ObjectKey, orders: MirrorOrders, sight: MirrorSight) -> None:
        placement = sight.placement
        if placement is None:
            self._refused.forget(key)
            return
        if orders.status is not None:
            await self._report(placement.metadata, orders.status)
        if orders.apply is not None:
            await self._refused.noted(key, self._apply(orders.apply, sight.mirror))
        if orders.delete:
            await delete_owned(self._api, self._ref(placement), self._hub.stores.hub_id)
        if orders.release:
            await self._release(key, placement)

    async def _apply(self, mirror: ModelPlacement, seen: ModelPlacement | None) -> None:
        """Write a mirror over the version that was seen, and know it from now on."""
        version = seen.metadata.resource_version if seen is not None else None
        applied = await apply_owned(
            self._api,
            mirror_manifest(mirror),
            self._hub.stores.hub_id,
            resource_version=version,
            overwriting=self._overwriting,
        )
        seen_key = self._stores.see_placement(applied.live, gone=False)
        if seen_key is not None:
            # Its event will be no news.
            self._carried(seen_key)

    async def _report(self, metadata: ObjectMeta, status: ModelPlacementStatus) -> None:
        """Write the status of the hub's object over the one that it was computed from."""
        written = await self._hub.api.patch_status(
            MODELPLACEMENTS.ref(metadata.name, placement_namespace(self._name)),
            status.model_dump(mode="json", exclude_none=True, by_alias=True),
            resource_version=metadata.resource_version,
        )
        seen = self._hub.stores.see_placement(written, gone=False)
        if seen is not None:
            self._told(seen)

    async def _release(self, key: ObjectKey, placement: ModelPlacement) -> None:
        """Let the hub's object go, once the cluster itself says that it has no mirror of it.

        A list that lacks it is no proof.
        """
        live = await self._api.get(self._ref(placement))
        unseen = self._stores.see_placement(live, gone=False) if live is not None else None
        if unseen is not None:
            self._carried(unseen)
            raise errors.Conflict(
                f"{self._ref(placement)} is there, and was not seen; it is looked at again"
            )
        if self._hub.lets_go:
            await set_finalizer(self._hub.api, MODELPLACEMENTS, placement.metadata, present=False)
        elif not placement.status.ended:
            ended = placement.status.model_copy(update={"ended": True})
            await self._report(placement.metadata, ended)
        self._refused.forget(key)

    def _ref(self, placement: ModelPlacement) -> Ref:
        return MODELPLACEMENTS.ref(placement.metadata.name, self._namespace)

    def _note_orphan(self, key: ObjectKey, *, orphaned: bool) -> None:
        if not orphaned:
            self.orphans.discard(key)
        elif key not in self.orphans:
            self.orphans.add(key)
            _LOG.warning(
                "cluster %s has a placement that the hub does not have; it is served on, and not "
                "deleted by itself",
                self._name,
                extra={"namespace": key[0], "model": key[1], "cluster": self._name},
            )
