"""The operator as a process on this machine, and what it says and uses."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.children import ChildError, child, end, free_port, tail

SYSTEM: Final = "smallmodel-system"

_WRITES: Final = frozenset({"create", "update", "patch", "delete"})
_RESYNC: Final = ("list", "smallmodels")
_NOT_COUNTED: Final = frozenset({"leases"})
_CALLS: Final = "smallmodel_operator_api_calls_total"
_QUEUES: Final = ("smallmodel_operator_queue_depth", "smallmodel_operator_queue_busy")
_POLL_SECONDS: Final = 0.05
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What `/metrics` said once."""

    queued: int
    """Keys that wait or are worked on."""
    writes: Mapping[str, int]
    """Writing calls to the API server by resource and verb, those of the Lease left out."""
    reads: int
    lists: int
    """Of SmallModels: each resync makes one."""

    @property
    def written(self) -> int:
        """All writing calls."""
        return sum(self.writes.values())

    def writes_since(self, before: "Said") -> dict[str, int]:
        """Return what was written since, by resource and verb."""
        changed = {key: count - before.writes.get(key, 0) for key, count in self.writes.items()}
        return {key: count for key, count in sorted(changed.items()) if count}


class OperatorProcess:
    """One that runs."""

    def __init__(
        self,
        child_process: asyncio.subprocess.Process,
        session: aiohttp.ClientSession,
        health: int,
        metrics: int,
    ) -> None:
        self._child = child_process
        self._ended = False
        self._process = psutil.Process(child_process.pid)
        self._session = session
        self._health = f"http://127.0.0.1:{health}/readyz"
        self._metrics = f"http://127.0.0.1:{metrics}/metrics"

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it was asked to end."""
        return self._ended

    async def end(self) -> None:
        """Have it end as Kubernetes does, and wait for that."""
        self._ended = True
        await end(self._child)

    def rss(self) -> int:
        """Return its resident memory in bytes."""
        return int(self._process.memory_info().rss)

    def peak(self) -> int:
        """Return its most resident memory so far, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ChildError(f"process {self.pid} has no VmHWM")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    async def said(self) -> Said:
        """Read its metrics."""
        async with self._session.get(self._metrics) as answer:
            text = await answer.text()
        queued, reads, lists, writes = 0, 0, 0, dict[str, int]()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in _QUEUES:
                    queued += int(sample.value)
                if sample.name != _CALLS or sample.labels["resource"] in _NOT_COUNTED:
                    continue
                if sample.labels["verb"] not in _WRITES:
                    reads += int(sample.value)
                    if (sample.labels["verb"], sample.labels["resource"]) == _RESYNC:
                        lists += int(sample.value)
                    continue
                parts = (sample.labels[name] for name in ("resource", "subresource", "verb"))
                key = "/".join(part for part in parts if part)
                writes[key] = writes.get(key, 0) + int(sample.value)
        return Said(queued=queued, writes=writes, reads=reads, lists=lists)

    async def wait_ready(self) -> None:
        """Return when it has read everything."""
        async with asyncio.timeout(_READY_SECONDS):
            while not await self._is_ready():
                await asyncio.sleep(_POLL_SECONDS)

    async def wait_idle(self, within: float) -> None:
        """Return when nothing waits in its queues and nothing is worked on.

        Raises:
            TimeoutError: It did not get there.
        """
        async with asyncio.timeout(within):
            while (await self.said()).queued:
                await asyncio.sleep(_POLL_SECONDS)

    async def _is_ready(self) -> bool:
        try:
            async with self._session.get(self._health) as answer:
                # Before it leads, it is ready and has nothing to say of queues.
                text = await answer.text()
            if answer.status != 200:
                return False
            async with self._session.get(self._metrics) as answer:
                text = await answer.text()
        except aiohttp.ClientError:
            return False
        return _QUEUES[0] in text


@contextlib.asynccontextmanager
async def operator_process(
    kubeconfig: Path, log: Path, *command: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[OperatorProcess]:
    """Start one, and end it however this ends; it may not be ready yet.

    Args:
        kubeconfig: Of the cluster.
        log: Gets what it says.
        command: Instead of `-m smallmodel_operator.main`.
        environment: Further variables.

    Raises:
        ChildError: It ended while it was used.
    """
    health, metrics = free_port(), free_port()
    variables = {
        "KUBECONFIG": str(kubeconfig),
        "SMALLMODEL_LISTEN": "127.0.0.1",
        "SMALLMODEL_NAMESPACE": SYSTEM,
        "SMALLMODEL_SERVING_CPU_IMAGE": "example.invalid/serving-cpu:bench",
        "SMALLMODEL_HEALTH_PORT": str(health),
        "SMALLMODEL_METRICS_PORT": str(metrics),
        # As in the image.
        "MALLOC_ARENA_MAX": "2",
    } | dict(environment or {})
    words = command or ("-m", "smallmodel_operator.main")
    async with (
        aiohttp.ClientSession() as session,
        child(sys.executable, *words, log=log, environment=variables) as process,
    ):
        operator = OperatorProcess(process, session, health, metrics)
        yield operator
        if process.returncode is not None and not operator.ended:
            raise ChildError(f"the operator ended with {process.returncode}:\n{tail(log)}")
