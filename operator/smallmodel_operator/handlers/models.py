"""The decide loop: one pass over a SmallModel."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, SECRETS, SMALLMODELS
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.pacing import Pacing
from smallmodel_operator.handlers.refused import Refused
from smallmodel_operator.handlers.stores import HubStores, Unreadable
from smallmodel_operator.handlers.writer import Writer, set_finalizer
from smallmodel_operator.placement.assumed import assume
from smallmodel_operator.placement.cluster import ClusterView
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings
from smallmodel_operator.reconcile.model import decide_model, decide_unreadable, evaluates
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight, UnreadableSight
from smallmodel_operator.reconcile.sight import JobSight
from smallmodel_operator.reconcile.source import source_job

_LOG: Final = logging.getLogger(__name__)

_LATER_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A cluster as it was seen last, and as it will be."""

    seen: ClusterView
    changes: int | None
    """Of its placements, as counted then; None: they did not matter."""
    assumed: ClusterView
    """With what was decided for it and cannot be seen there yet."""


class ModelLoop:
    """Gathers once, decides purely, writes once."""

    def __init__(
        self,
        *,
        api: Api,
        stores: HubStores,
        fetching: ClusterStores,
        events: EventWriter,
        settings: PoolSettings,
        url: Callable[[str, str], str],
        now: Callable[[], str],
        views: Callable[[], Mapping[str, ClusterView]],
        placed: Callable[[ObjectKey], None],
        told: Callable[[ObjectKey], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Make it.

        Args:
            api: The hub's.
            stores: What is known of the objects.
            fetching: What is known of those of the cluster that fetches what cards are made of.
            events: Tells people of changes.
            settings: The installation's choices.
            url: Tells the base URL of a model, by its namespace and its name.
            now: Tells the time as RFC 3339.
            views: Returns each cluster as it was seen last, but for those not seen yet.
            placed: Called with a SmallModel's key when its placement was written: it is to be
                worked on again, since its status is a later pass's.
            told: Called with the same when its status was written.
            clock: By which moves are counted.
        """
        self._api = api
        self._stores = stores
        self._fetching = fetching
        self._events = events
        self._settings = settings
        self._writer = Writer(api, settings)
        self._url = url
        self._now = now
        self._views = views
        self._known_views: dict[str, _Known] = {}
        self._pacing = Pacing(stores, now, clock)
        self._refused = Refused()
        self._placed = placed
        self._told = told

    async def work(self, key: ObjectKey) -> float | None:
        """Do one pass, and return after how many seconds the next one is due.

        Raises:
            ApiError: Something could not be written that will be tried again.
        """
        model = self._stores.models.get(key)
        if model is None:
            return await self._work_missing(key)
        if isinstance(model, Unreadable):
            await self._work_unreadable(key, model)
            return None
        around, now = self._stores.around(key[0], self._now()), self._now()
        sight = ModelSight(
            model=model,
            placements=self._stores.placements_of(key),
            catalog=self._stores.catalog(),
            around=around,
            secrets=await self._secrets(model),
            url=self._url(*key),
            hub_id=self._stores.hub_id,
            job=self._job(model),
            refused=self._refused.get(key),
            due=self._pacing.is_due(key, around),
            pause=self._pacing.pause(),
        )
        if evaluates(sight):
            # A look at all pools, which a model that has its place does without.
            sight = replace(sight, views=self._seen())
        orders = decide_model(sight, self._settings, now)
        if not self._pacing.may_drop(key, orders.unwanted):
            orders = decide_model(replace(sight, drops_held=True), self._settings, now)
        self._pacing.moved(orders.moves)
        if orders.placements:
            # What was written now is told by the next pass, which looks again for that.
            self._pacing.look_again(key)
        elif sight.due:
            self._pacing.looked(key, around)
        await self._carry_out(orders, model.metadata, model.status, sight.placements)
        return orders.again

    def _seen(self) -> Mapping[str, ClusterView]:
        """Return each cluster with what was decided for it and cannot be seen there yet.

        It is the same object for as long as it is the same: what was computed of it is kept there.
        """
        several = len(self._stores.clusters) > 1
        self._known_views = {
            name: self._known(name, view, several=several) for name, view in self._views().items()
        }
        return {name: known.assumed for name, known in self._known_views.items()}

    def _known(self, name: str, view: ClusterView, *, several: bool) -> "_Known":
        placements = self._stores.placements_on(name)
        changes = placements.changes if several else None
        known = self._known_views.get(name)
        if known is not None and known.changes == changes and known.seen == view:
            return known
        assumed = assume(view, placements.by_model.values()) if several else view
        if known is not None and known.assumed == assumed:
            assumed = known.assumed
        return _Known(seen=view, changes=changes, assumed=assumed)

    async def _work_missing(self, key: ObjectKey) -> float | None:
        """Take down what is left of a model that is not there any more."""
        self._refused.forget(key)
        copies = tuple(
            one for one in self._stores.placements_of(key) if not one.metadata.deletion_timestamp
        )
        if not self._pacing.may_drop(key, copies):
            _LOG.warning(
                "%s is not there and its copies stay: too many would be taken down at once", key
            )
            return _LATER_SECONDS
        self._pacing.forget(key)
        await self._drop(copies)
        return None

    async def _work_unreadable(self, key: ObjectKey, model: Unreadable) -> None:
        sight = UnreadableSight(
            metadata=model.metadata,
            status=model.status,
            message=model.message,
            placements=self._stores.placements_of(key),
            around=self._stores.around(key[0], self._now()),
            url=self._url(*key),
        )
        orders = decide_unreadable(sight, self._now())
        await self._carry_out(orders, model.metadata, model.status, sight.placements)

    def _job(self, model: SmallModel) -> JobSight | None:
        """Return the Job that fetches the model's source, where there is one."""
        name = source_job(model)
        return self._fetching.job_sight(model.metadata.namespace, name) if name else None

    async def _carry_out(
        self,
        orders: ModelOrders,
        metadata: ObjectMeta,
        before: SmallModelStatus,
        placed: tuple[ModelPlacement, ...],
    ) -> None:
        key = (metadata.namespace, metadata.name)
        if orders.hold:
            # Before anything is made that would be left behind without it.
            await self._set_finalizer(metadata, present=True)
        refused = await self._fetch(key, orders.fetch) if orders.fetch is not None else None
        if orders.fetch_again is not None:
            await self._writer.delete_job(metadata.namespace, orders.fetch_again)
        await self._drop(orders.drops)
        for placement in orders.placements:
            await self._pin(placement, placed)
        if orders.placements:
            # Where many are placed, what serves them is not kept waiting by what is said of them.
            self._placed(key)
            return
        if orders.release:
            await self._set_finalizer(metadata, present=False)
        if orders.status is not None:
            await self._report(metadata, before, orders.status)
        if refused is not None:
            raise refused

    async def _fetch(self, key: ObjectKey, job: Manifest) -> errors.ApiError | None:
        """Have a source fetched, and return what is said against that."""

        async def made() -> None:
            await self._writer.namespace(key[0])
            live = await self._writer.create_job(job)
            if live is not None:
                self._fetching.see_job(live, gone=False)

        try:
            await self._refused.noted(key, made())
        except errors.ApiError as error:
            return error
        return None

    async def _pin(self, placement: ModelPlacement, placed: tuple[ModelPlacement, ...]) -> None:
        """Write a decision over the one that it was taken from, and know it from now on.

        Of two operators that both believe to lead, the one that has not seen the latest decision
        takes nothing back.
        """
        there = (one.metadata for one in placed if one.spec.cluster == placement.spec.cluster)
        seen = next(there, ObjectMeta(name=placement.metadata.name))
        written = await self._api.apply(
            placement_manifest(placement), resource_version=seen.resource_version, uid=seen.uid
        )
        self._stores.see_placement(written, gone=False)

    async def _report(
        self, metadata: ObjectMeta, before: SmallModelStatus, status: SmallModelStatus
    ) -> None:
        written = await self._api.patch_status(
            SMALLMODELS.ref(metadata.name, metadata.namespace),
            status.model_dump(mode="json", exclude_none=True, by_alias=True),
        )
        self._stores.see_model(written, gone=False)
        self._events.tell(metadata, before, status)
        self._told((metadata.namespace, metadata.name))

    async def _set_finalizer(self, metadata: ObjectMeta, *, present: bool) -> None:
        written = await set_finalizer(self._api, SMALLMODELS, metadata, present=present)
        if written is not None and present:
            self._stores.see_model(written, gone=False)

    async def _drop(self, copies: Iterable[ModelPlacement]) -> None:
        for one in copies:
            if not one.metadata.deletion_timestamp:
                ref = MODELPLACEMENTS.ref(one.metadata.name, one.metadata.namespace)
                await self._api.delete(ref, uid=one.metadata.uid)

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
