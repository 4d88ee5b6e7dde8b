"""All models of a run: each brought from its manifest to a verified answer, and kept there.

The decisions are the pure rooms'; this is the order in which they are asked and carried out. Each
model is brought up by a task of its own, so that none waits for another but where it must: the
pool is written by one hand, and one model at a time is verified.
"""

import asyncio
import dataclasses
import datetime
import itertools
import logging
import time
from collections.abc import Callable
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.fetch import FetchDone, FetchFailed
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import SmallModel, Source
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.local.fetcher import FetchRequest
from smallmodel_operator.local.manifests import ManifestSet
from smallmodel_operator.local.secrets import known_secrets, secret_file
from smallmodel_operator.local.tracked import TrackedModel
from smallmodel_operator.local.world import World
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.plan.build import build_model, serving_hash
from smallmodel_operator.plan.diff import diff
from smallmodel_operator.plan.gateway.values import GatewayModel, gateway_models
from smallmodel_operator.plan.pool import PlannedModel, Pool
from smallmodel_operator.probe import Answer
from smallmodel_operator.status.observation import Deployment, Probe

_LOG: Final = logging.getLogger(__name__)

_RETRY_SECONDS: Final = (15.0, 60.0, 300.0)
"""Pauses before a step that time may mend is tried again; the last one repeats."""

_MENDED_BY_TIME: Final = frozenset({Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL})
_FREED_BY_OTHERS: Final = frozenset({Reason.MEMORY_FIT, Reason.ENGINE_DIED})

_PROBE_PAUSE_SECONDS: Final = 0.25


class Fleet:
    """The models of one run."""

    def __init__(
        self,
        world: World,
        *,
        catalog: Catalog,
        machine: Machine,
        url: str,
        changed: Callable[[TrackedModel], None],
    ) -> None:
        self._world = world
        self._bundled = catalog
        self._catalog = catalog
        self._machine = machine
        self._url = url
        self._changed = changed
        self._models: dict[str, TrackedModel] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pool_written = asyncio.Lock()
        self._pool = Pool(models=())
        self._routes_written = asyncio.Lock()
        self._routes: tuple[GatewayModel, ...] = ()
        self._one_probe = asyncio.Lock()
        self._seen = asyncio.Condition()

    @property
    def models(self) -> tuple[TrackedModel, ...]:
        """Every model, by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    async def accept(self, manifests: ManifestSet) -> None:
        """Make the given manifests the desire: start, change and remove models accordingly.

        A model whose file has a problem is kept as it is: unreadable is not absent.
        """
        self._catalog = self._bundled.extended_by(manifests.cards)
        wanted = {
            manifest.object.metadata.name: manifest
            for manifest in manifests.manifests
            if isinstance(manifest.object, SmallModel)
        }
        unreadable = {problem.file for problem in manifests.problems}
        for name, tracked in list(self._models.items()):
            if name not in wanted and tracked.file not in unreadable:
                await self._remove(name)
        for name, manifest in wanted.items():
            if isinstance(manifest.object, SmallModel):
                self._want(name, manifest.file, manifest.object)
        await self._write_routes()

    def _want(self, name: str, file: str, model: SmallModel) -> None:
        tracked = self._models.get(name)
        if tracked is None:
            tracked = TrackedModel(file=file, model=model, generation=1)
            self._models[name] = tracked
        elif tracked.model.spec == model.spec:
            tracked.file, tracked.model = file, model
            return
        else:
            tracked.file, tracked.model = file, model
            tracked.generation += 1
            self._cancel(name)
        self._tasks[name] = asyncio.create_task(self._bring_up(tracked), name=f"bring up {name}")

    def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def _remove(self, name: str) -> None:
        self._cancel(name)
        del self._models[name]
        # Routes go first, so that no request enters an application that is being removed.
        await self._write_routes()
        await self._write_pool()

    async def close(self) -> None:
        """Stop bringing models up; what runs goes on."""
        for name in list(self._tasks):
            self._cancel(name)
        await asyncio.sleep(0)

    def settled(self) -> bool:
        """Return whether no model is on its way: each is up, given up, or rests before a retry."""
        return all(task.done() or self._models[name].resting for name, task in self._tasks.items())

    async def observe(self) -> None:
        """Look once, and make every status anew."""
        sight = await self._world.observe()
        for tracked in self.models:
            served = sight.applications.get(tracked.name)
            report = sight.engines.get(tracked.name)
            tracked.engine = EngineState(report.state) if report else None
            tracked.engine_message = report.message if report else ""
            if tracked.deployment is not None and served is not None:
                tracked.see(served)
            self._refresh(tracked)
        await self._write_routes()
        async with self._seen:
            self._seen.notify_all()

    def _refresh(self, tracked: TrackedModel) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if tracked.refresh(self._url, now):
            self._changed(tracked)

    async def _bring_up(self, tracked: TrackedModel) -> None:
        """Take one model from its spec to a verified answer, again where time can mend it."""
        pauses = itertools.chain(_RETRY_SECONDS, itertools.repeat(_RETRY_SECONDS[-1]))
        while await self._needs_another_try(tracked):
            tracked.resting = True
            await asyncio.sleep(next(pauses))
            tracked.resting = False

    async def _needs_another_try(self, tracked: TrackedModel) -> bool:
        try:
            planned = await self._plan(tracked)
            if planned is None:
                failed = tracked.fetch
                return isinstance(failed, FetchFailed) and failed.reason in _MENDED_BY_TIME
            await self._deploy(tracked, planned)
            return await self._verify(tracked, planned) in _FREED_BY_OTHERS
        except Exception:
            _LOG.exception("bringing up %s failed by a defect of this program", tracked.name)
            raise
        finally:
            self._refresh(tracked)

    async def _plan(self, tracked: TrackedModel) -> PlannedModel | None:
        """Resolve, place and fetch; None where one of them said no, which the status tells."""
        tracked.outcome, tracked.resolved, tracked.fetch = None, None, None
        source = tracked.model.spec.source
        weights = await self._fetch(tracked, _request_for(source)) if source else None
        if source and weights is None:
            return None
        resolved = resolve(
            tracked.model,
            self._catalog,
            secrets=known_secrets(),
            weights=weights,
        )
        if isinstance(resolved, ResolveError):
            tracked.outcome = resolved
            return None
        placement = place(resolved, tracked.model.spec, self._machine)
        tracked.resolved, tracked.outcome = resolved, placement
        self._refresh(tracked)
        if isinstance(placement, Unplaced):
            return None
        if weights is None:
            weights = await self._fetch(tracked, _request_for_card(resolved.card, placement))
        return build_model(tracked.model, resolved, placement, weights) if weights else None

    async def _fetch(self, tracked: TrackedModel, request: FetchRequest) -> FetchDone | None:
        async for event in self._world.fetch(request):
            tracked.fetch = event
            self._refresh(tracked)
        return tracked.fetch if isinstance(tracked.fetch, FetchDone) else None

    async def _deploy(self, tracked: TrackedModel, planned: PlannedModel) -> None:
        """Give the pool the model as it is now, and wait until Serve runs it or gave up."""
        wanted = serving_hash(planned)
        known = tracked.probe is not None and tracked.probe.serving_hash == wanted
        restarts = tracked.planned is None or tracked.planned.args != planned.args
        tracked.wanted_hash = wanted
        tracked.planned = dataclasses.replace(planned, verified=True) if known else planned
        tracked.applied_at = time.time() if restarts else tracked.applied_at
        await self._write_pool()
        if restarts:
            tracked.running_hash = None
            tracked.deployment = Deployment(
                serving_hash=wanted, healthy=False, failed=False, replicas=0
            )
        async with self._seen:
            await self._seen.wait_for(lambda: _has_settled(tracked.deployment))
        await self._write_routes()

    async def _verify(self, tracked: TrackedModel, planned: PlannedModel) -> Reason:
        wanted = serving_hash(planned)
        if tracked.probe and tracked.probe.serving_hash == wanted and tracked.probe.passed:
            return Reason.VERIFIED
        if tracked.deployment is not None and tracked.deployment.failed:
            return Reason.DEPLOY_FAILED
        async with self._one_probe:
            answer = await self._probe(tracked, planned)
        tracked.probe = Probe(
            serving_hash=wanted,
            passed=answer.passed,
            reason=answer.reason,
            message=answer.message,
            performance=answer.performance,
        )
        if answer.passed and not planned.verified:
            # From here on the number of its replicas is the autoscaler's alone.
            tracked.planned = dataclasses.replace(planned, verified=True)
            await self._write_pool()
        return answer.reason

    async def _probe(self, tracked: TrackedModel, planned: PlannedModel) -> Answer:
        scaling = tracked.model.spec.scaling
        patience = seconds(scaling.start_timeout)
        deadline = time.monotonic() + patience
        while True:
            answer = await self._world.probe(
                tracked.name, planned.args.task, seconds(scaling.request_timeout)
            )
            if not answer.worth_repeating or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(_PROBE_PAUSE_SECONDS)

    async def _write_pool(self) -> None:
        async with self._pool_written:
            pool = Pool(models=self._planned())
            for action in diff(self._pool, pool):
                _LOG.info("%s %s: %s", action.model, action.change.lower(), action.reason)
            await self._world.apply_pool(pool)
            self._pool = pool

    def _planned(self) -> tuple[PlannedModel, ...]:
        return tuple(t.planned for t in self.models if t.planned is not None)

    async def _write_routes(self) -> None:
        """Tell the gateway which models there are, where that is news to it."""
        async with self._routes_written:
            unavailable = {t.name: t.unavailable for t in self.models if t.unavailable}
            routes = gateway_models(Pool(models=self._planned()), unavailable)
            if routes != self._routes:
                await self._world.apply_gateway(routes)
                self._routes = routes


def _has_settled(deployment: Deployment | None) -> bool:
    return deployment is not None and (deployment.healthy or deployment.failed)


def _request_for(source: Source) -> FetchRequest:
    token = secret_file(source.secret_ref.name) if source.secret_ref else None
    return FetchRequest(
        uri=source.uri, revision=source.revision, sha256=source.sha256, token_file=token
    )


def _request_for_card(card: ModelCard, placement: Placement) -> FetchRequest:
    variant = placement.option.variant
    return FetchRequest(
        uri=variant.uri,
        revision=variant.revision,
        sha256=variant.sha256,
        bytes=variant.bytes,
        token_file=secret_file(gate_secret(card)) if card.spec.license.gated else None,
    )
