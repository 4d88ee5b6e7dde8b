"""Reads the engine's own counters while it is awake, and keeps the gauges fresh."""

import asyncio
import logging
from collections.abc import Callable
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
        self,
        *,
        instruments: Instruments,
        relay: Relay,
        report: ReportFile | None = None,
        publish: Callable[[EngineReport], None] | None = None,
    ) -> None:
        """Make it.

        Args:
            instruments: Take the numbers.
            relay: Asks the engine.
            report: The report in the node's folder.
            publish: Leaves the report where the whole pool finds it; blocks, so it runs in a
                thread, and is called again after a while when it fails.
        """
        self._instruments = instruments
        self._report = report
        self._publish = publish
        self._latest: EngineReport | None = None
        self._news = asyncio.Event()
        self._relay = relay
        self._seen = (0.0, 0.0)
        self._last_text = b""

    @property
    def last_text(self) -> bytes:
        """The engine's own metrics as they were read last, in Prometheus's text format."""
        return self._last_text

    def changed(self, report: EngineReport) -> None:
        """Show at once what the engine does: to Prometheus, in the node's folder, to the pool."""
        self._instruments.level(waiting=0, running=0, awake=report.state == "Awake")
        if self._report is not None:
            self._report.write(report)
        self._latest = report
        self._news.set()

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
        """Read counters and publish reports; ends by cancellation."""
        await asyncio.gather(self._read_while_used(lifecycle), self._publish_changes())

    async def _publish_changes(self) -> None:
        while self._publish is not None:
            await self._news.wait()
            self._news.clear()
            if (report := self._latest) is None:
                continue
            try:
                await asyncio.to_thread(self._publish, report)
            except Exception as error:
                # The head may be restarting; serving does not depend on who knows of it.
                _log.warning("the engine's state could not be published: %s", error)
                await asyncio.sleep(_PERIOD_SECONDS)
                self._news.set()

    async def _read_while_used(self, lifecycle: Lifecycle) -> None:
        """Read every few seconds while the engine is awake and in use."""
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
