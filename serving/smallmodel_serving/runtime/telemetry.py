"""Reads the engine's own counters while it is awake, and keeps the gauges fresh."""

import asyncio
import logging
from typing import Final

import aiohttp

from smallmodel_operator.api.serving import EngineReport
from smallmodel_serving.runtime.lifecycle import Lifecycle, State
from smallmodel_serving.runtime.metrics import Instruments, token_counts
from smallmodel_serving.runtime.relay import Relay
from smallmodel_serving.runtime.report import ReportFile

_log: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 5.0
_READ_TIMEOUT_SECONDS: Final = 2.0


class Telemetry:
    """The observer of one engine's life."""

    def __init__(
        self, *, instruments: Instruments, relay: Relay, report: ReportFile | None = None
    ) -> None:
        self._instruments = instruments
        self._report = report
        self._relay = relay
        self._seen = (0.0, 0.0)
        self._last_text = b""

    @property
    def last_text(self) -> bytes:
        """The engine's own metrics as they were read last, in Prometheus's text format."""
        return self._last_text

    def changed(self, report: EngineReport) -> None:
        """Show at once what the engine does, to Prometheus and in the node's folder."""
        self._instruments.level(waiting=0, running=0, awake=report.state == "Awake")
        if self._report is not None:
            self._report.write(report)

    async def loaded(self, address: str, seconds: float) -> None:
        """Take the counters as they are: an engine that woke up kept them, a new one did not."""
        self._instruments.loaded(seconds)
        self._seen = token_counts(await self._text(address))

    async def before_sleep(self, address: str) -> None:
        """Read the counters that go with the engine."""
        await self.read(address)

    async def read(self, address: str) -> None:
        """Read the engine's counters, and add what they grew."""
        prompt, generated = token_counts(await self._text(address))
        self._instruments.tokens(
            prompt=max(0.0, prompt - self._seen[0]), generated=max(0.0, generated - self._seen[1])
        )
        self._seen = (max(prompt, self._seen[0]), max(generated, self._seen[1]))

    async def _text(self, address: str) -> bytes:
        try:
            self._last_text = await self._relay.get(
                f"{address}/metrics", timeout_seconds=_READ_TIMEOUT_SECONDS
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Counters are read again in a few seconds; serving does not depend on them.
            _log.warning("the engine's metrics could not be read: %s", error)
        return self._last_text

    def end(self) -> None:
        """Take the report away: there is no engine any more."""
        if self._report is not None:
            self._report.remove()

    async def watch(self, lifecycle: Lifecycle) -> None:
        """Read every few seconds while the engine is awake and in use; ends by cancellation."""
        served = -1
        while True:
            self._instruments.level(
                waiting=lifecycle.waiting,
                running=lifecycle.in_flight,
                awake=lifecycle.state is State.AWAKE,
            )
            address = lifecycle.address
            if address is not None and (lifecycle.in_flight or lifecycle.served != served):
                served = lifecycle.served
                await self.read(address)
            await asyncio.sleep(_PERIOD_SECONDS)
