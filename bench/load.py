"""A closed loop of clients in a process of its own: `python -m bench.load SETTINGS`.

Each client sends its next request when it has the whole answer to the one before. The load is
bounded by time. The process prints one line of JSON.
"""

import asyncio
import resource
import sys
import time
from collections import Counter

from bench.client import Client, LostError, events
from bench.summary import percentile
from smallmodel_operator.api.base import ApiModel


class LoadSettings(ApiModel):
    """What to send, and for how long."""

    url: str
    path: str
    body: str
    headers: str = ""
    clients: int
    seconds: float
    warm_up_seconds: float
    events: int | None = None
    """How many events each answer must have; unset: the answer is no stream."""


class LoadResult(ApiModel):
    """What came back, warm-up aside."""

    completed: int
    completed_with_warm_up: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu_seconds: float
    """Of this process, its start included."""
    errors: dict[str, int]
    """How often something else came than a whole answer with status 200."""

    @property
    def per_second(self) -> float:
        """Whole answers per second."""
        return self.completed / self.seconds


class _Loop:
    def __init__(self, settings: LoadSettings) -> None:
        self._settings = settings
        self._body = settings.body.encode()
        self._errors: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._total = 0
        now = time.perf_counter()
        self._from = now + settings.warm_up_seconds
        self._until = self._from + settings.seconds

    async def run(self) -> LoadResult:
        clients = [self._client() for _ in range(self._settings.clients)]
        await asyncio.gather(*clients)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        taken = self._seconds or [0.0]
        return LoadResult(
            completed=len(self._seconds),
            completed_with_warm_up=self._total,
            seconds=self._settings.seconds,
            p50_ms=1000 * percentile(taken, 0.5),
            p99_ms=1000 * percentile(taken, 0.99),
            client_cpu_seconds=usage.ru_utime + usage.ru_stime,
            errors=dict(self._errors),
        )

    async def _client(self) -> None:
        client = Client(self._settings.url)
        while time.perf_counter() < self._until:
            try:
                reply = await client.post(
                    self._settings.path, self._body, headers=self._settings.headers
                )
            except LostError as error:
                self._errors[str(error)] += 1
                # A server that is away must not turn this loop into a busy one.
                await asyncio.sleep(0.05)
                continue
            self._total += 1
            if reply.status != 200:
                self._errors[f"status {reply.status}"] += 1
            elif (wanted := self._settings.events) is not None and (
                got := len(events(reply.body))
            ) != wanted:
                self._errors[f"{got} events instead of {wanted}"] += 1
            elif self._from <= reply.ended < self._until:
                self._seconds.append(reply.seconds)
        client.close()


async def put_load(settings: LoadSettings) -> LoadResult:
    """Run the load in a process of its own.

    Raises:
        RuntimeError: That process failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        settings.model_dump_json(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load process ended with code {process.returncode}")
    return LoadResult.model_validate_json(output)


async def _main() -> None:
    settings = LoadSettings.model_validate_json(sys.argv[1])
    print((await _Loop(settings).run()).model_dump_json())


if __name__ == "__main__":
    asyncio.run(_main())
