"""The decide loop: one pass over a SmallModel."""

import asyncio
from collections.abc import Callable

from smallmodel_operator.api.names import placement_namespace
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, SECRETS, SMALLMODELS
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.stores import ObjectKey, Stores, Unreadable
from smallmodel_operator.handlers.writer import set_finalizer
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.reconcile.model import ModelOrders, ModelSight, decide_model


class ModelLoop:
    """Gathers once, decides purely, writes once."""

    def __init__(
        self,
        *,
        api: Api,
        stores: Stores,
        events: EventWriter,
        cluster: str,
        base_url: str,
        now: Callable[[], str],
        view: Callable[[], ClusterView | None],
    ) -> None:
        """Make it.

        Args:
            api: The hub's.
            stores: What is known of the objects.
            events: Tells people of changes.
            cluster: The ModelCluster on which everything is placed.
            base_url: Where `/NAMESPACE/v1` follows.
            now: Tells the time as RFC 3339.
            view: Returns the cluster as it was seen last, None before the first look.
        """
        self._api = api
        self._stores = stores
        self._events = events
        self._placements = placement_namespace(cluster)
        self._base_url = base_url
        self._now = now
        self._view = view

    async def work(self, key: ObjectKey) -> float | None:
        """Do one pass, and return after how many seconds the next one is due.

        Raises:
            ApiError: Something could not be written that will be tried again.
        """
        model = self._stores.models.get(key)
        if model is None:
            await self._drop(key)
            return None
        if isinstance(model, Unreadable):
            return None
        sight = ModelSight(
            model=model,
            placement=self._stores.placements.get(key),
            catalog=self._stores.catalog(),
            cluster=self._view(),
            secrets=await self._secrets(model),
            url=f"{self._base_url}/{key[0]}/v1",
            hub_id=self._stores.hub_id,
        )
        orders = decide_model(sight, self._now())
        await self._carry_out(orders, sight)
        return orders.again

    async def _carry_out(self, orders: ModelOrders, sight: ModelSight) -> None:
        metadata = sight.model.metadata
        key = (metadata.namespace, metadata.name)
        if orders.hold:
            # Before anything is made that would be left behind without it.
            await set_finalizer(self._api, SMALLMODELS, metadata, present=True)
        if orders.placement is not None:
            await self._api.apply(placement_manifest(orders.placement))
        if orders.drop:
            await self._drop(key)
        if orders.release:
            await set_finalizer(self._api, SMALLMODELS, metadata, present=False)
        if orders.status is not None:
            await self._report(sight.model, orders.status)

    async def _report(self, model: SmallModel, status: SmallModelStatus) -> None:
        metadata = model.metadata
        await self._api.patch_status(
            SMALLMODELS.ref(metadata.name, metadata.namespace),
            status.model_dump(mode="json", exclude_none=True, by_alias=True),
        )
        await self._events.tell(model, status)

    async def _drop(self, key: ObjectKey) -> None:
        placement = self._stores.placements.get(key)
        if placement is None or placement.metadata.deletion_timestamp:
            return
        ref = MODELPLACEMENTS.ref(placement.metadata.name, self._placements)
        await self._api.delete(ref, uid=placement.metadata.uid)

    async def _secrets(self, model: SmallModel) -> frozenset[str]:
        """Return the Secrets that the model may need and that are there."""
        names = set()
        card = self._stores.cards.get(model.spec.model or "")
        if card is not None and card.spec.license.gated:
            names.add(gate_secret(card))
        if model.spec.source is not None and model.spec.source.secret_ref is not None:
            names.add(model.spec.source.secret_ref.name)
        found = await asyncio.gather(
            *(self._api.get(SECRETS.ref(name, model.metadata.namespace)) for name in sorted(names))
        )
        return frozenset(secret["metadata"]["name"] for secret in found if secret is not None)
