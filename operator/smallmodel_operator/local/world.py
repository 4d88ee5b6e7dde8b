"""The effects that the fleet needs, as one small port: defined where they are consumed."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import EngineReport
from smallmodel_operator.local.fetcher import FetchRequest
from smallmodel_operator.plan.gateway.values import GatewayModel
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.probe import Answer
from smallmodel_operator.status.serve import ServedApplication


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at the stack showed."""

    applications: Mapping[str, ServedApplication]
    """By model name."""
    engines: Mapping[str, EngineReport]
    """The busiest engine of each model, by model name; without a replica there is none."""


class World(Protocol):
    """Everything outside the fleet."""

    def fetch(self, request: FetchRequest) -> AsyncIterator[FetchEvent]:
        """Bring weights into the cache."""

    async def apply_pool(self, pool: Pool) -> None:
        """Give Serve the whole pool."""

    async def apply_gateway(self, models: tuple[GatewayModel, ...]) -> None:
        """Give the gateway every model that it must know."""

    async def observe(self) -> Sight:
        """Look at Serve and at the node's ledger."""

    async def probe(self, model: str, task: Task, timeout: float) -> Answer:
        """Send the verifying request."""
