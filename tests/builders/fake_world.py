"""A world without Ray, Envoy or network, for tests of the fleet's order of steps."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from smallmodel_operator.api.fetch import FetchDone, FetchEvent
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineReport
from smallmodel_operator.local.fetcher import FetchRequest
from smallmodel_operator.local.world import Sight
from smallmodel_operator.plan.gateway.values import GatewayModel
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.probe import Answer
from smallmodel_operator.status.serve import ServedApplication

GOOD_ANSWER = Answer(passed=True, reason=Reason.VERIFIED, message="it answered")


@dataclass
class FakeWorld:
    """Serves what it is given at once. Tests set what goes wrong, and read what was asked."""

    weights: dict[str, FetchEvent] = field(default_factory=dict)
    """By URI; what is missing is fetched at once."""
    answers: list[Answer] = field(default_factory=list)
    """For the next probes, then good ones."""
    broken: set[str] = field(default_factory=set)
    """Models whose application Serve cannot start."""
    deploying: bool = False
    """True: Serve calls every application deploying, as while any of them changes."""
    engines: dict[str, EngineReport] = field(default_factory=dict)
    pools: list[Pool] = field(default_factory=list)
    gateways: list[tuple[GatewayModel, ...]] = field(default_factory=list)
    fetched: list[FetchRequest] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)
    probes_at_once: int = 0
    most_probes_at_once: int = 0

    async def fetch(self, request: FetchRequest) -> AsyncIterator[FetchEvent]:
        self.fetched.append(request)
        done = FetchDone(path=f"/weights/{request.uri}", bytes=1, sha256=None)
        yield self.weights.get(request.uri, done)

    async def apply_pool(self, pool: Pool) -> None:
        self.pools.append(pool)

    async def apply_gateway(self, models: tuple[GatewayModel, ...]) -> None:
        self.gateways.append(models)

    async def observe(self) -> Sight:
        models = self.pools[-1].models if self.pools else ()
        return Sight(
            applications={model.name: self._application(model.name) for model in models},
            engines=self.engines,
        )

    def _application(self, name: str) -> ServedApplication:
        broken = name in self.broken
        return ServedApplication(
            name=name,
            status="DEPLOY_FAILED" if broken else "DEPLOYING" if self.deploying else "RUNNING",
            healthy=not broken and not self.deploying,
            failed=broken,
            replicas=0 if broken else 1,
            target_replicas=1,
            deployed_at=time.time() + 1,
            message="ImportError: no engine" if broken else "",
        )

    async def probe(self, model: str, task: Task, timeout: float) -> Answer:
        self.probed.append(model)
        self.probes_at_once += 1
        self.most_probes_at_once = max(self.most_probes_at_once, self.probes_at_once)
        await asyncio.sleep(0)
        self.probes_at_once -= 1
        return self.answers.pop(0) if self.answers else GOOD_ANSWER
