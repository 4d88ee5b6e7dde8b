"""One engine's life: loading, awake, asleep, failed; and who may use it when."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import (
    RETRY_AFTER_SECONDS,
    EngineReport,
    ModelArgs,
    ModelTuning,
)
from smallmodel_serving.runtime.asgi import RequestError
from smallmodel_serving.runtime.engine import Engine, EngineError
from smallmodel_serving.runtime.idle import seconds_until_sleep

_log: Final = logging.getLogger(__name__)

_MENDED_ELSEWHERE: Final = frozenset({Reason.SOURCE_UNREACHABLE, Reason.DISK_FULL})
"""Why weights cannot be fetched now: not at once, but it passes without a change here."""

# Below this the idle loop would spin; sleeping this much later than configured harms nobody.
_IDLE_TICK_SECONDS: Final = 0.2


class State(StrEnum):
    """Where an engine is in its life."""

    LOADING = "Loading"
    AWAKE = "Awake"
    ASLEEP = "Asleep"
    FAILED = "Failed"


class Memory(Protocol):
    """The node's memory, as one replica sees it."""

    def listen(self, on_give_way: Callable[[float], None]) -> None:
        """Say what to call when another engine waits for this one's memory, with its patience."""
        ...

    async def acquire(self) -> int:
        """Wait until this replica may load; return how many other engines are awake here.

        Raises:
            EngineError: `MemoryFit`: it does not fit, or nobody gave way in time.
        """
        ...

    async def release(self) -> None:
        """Say that the engine's memory is free again."""
        ...

    async def keep_awake(self, value: bool) -> None:
        """Say whether the engine may be asked to give way."""
        ...

    async def close(self) -> None:
        """Release, and leave the node."""
        ...

    def note_use(self, *, in_flight: int, last_use: float) -> None:
        """Say how busy the engine is; called for every request, so it must be cheap."""
        ...


class Observer(Protocol):
    """What wants to know of changes in an engine's life."""

    def changed(self, report: EngineReport) -> None:
        """The engine's state is now what the report says."""
        ...

    async def loaded(self, address: str, seconds: float) -> None:
        """The engine loaded in `seconds`, and nobody has used it yet."""
        ...

    async def before_sleep(self, address: str) -> None:
        """Last chance to read the engine's own counters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the engine is not there."""

    reason: Reason
    message: str
    at: float


class Lifecycle:
    """Loads the engine, lets requests in, puts it to sleep, wakes it.

    Everything here runs in one event loop; only the engine's `start` and `stop` run in threads.
    """

    def __init__(
        self,
        *,
        args: ModelArgs,
        tuning: ModelTuning,
        new_engine: Callable[[], Engine],
        memory: Memory,
        observer: Observer,
        obtain: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it; needs a running event loop.

        Args:
            args: What is served.
            tuning: The idle timeout and whether it counts.
            new_engine: Called once, in a thread: an engine's imports are slow, and may fail.
            memory: The node's memory.
            observer: Told of every change.
            obtain: Has the weights there before each load, in a thread; holds no memory meanwhile.
            clock: Seconds, never going back, the same for all processes of the node.
        """
        self._args = args
        self._tuning = tuning
        self._retuned = asyncio.Event()
        self._memory = memory
        self._observer = observer
        self._clock = clock
        self._new_engine = new_engine
        self._obtain = obtain
        self._engine: Engine | None = None
        self._state = State.LOADING
        self._failure: Failure | None = None
        self._loads = 0
        self._load_seconds = 0.0
        self._in_flight = 0
        self._waiting = 0
        self._served = 0
        self._last_use = clock()
        self._yield_until = 0.0
        self._quiet = asyncio.Event()
        self._changing = asyncio.Lock()
        self._wake_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        memory.listen(self.give_way)

    @property
    def state(self) -> State:
        """Where the engine is in its life."""
        return self._state

    @property
    def waiting(self) -> int:
        """Requests that are held."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Requests that the engine works on."""
        return self._in_flight

    @property
    def served(self) -> int:
        """Requests that the engine was given so far."""
        return self._served

    @property
    def address(self) -> str | None:
        """The engine's base URL while it is awake."""
        return self._engine.address if self._engine and self._state is State.AWAKE else None

    def start(self) -> None:
        """Begin the first load and the idle clock; returns at once."""
        self._wake()
        self._spawn(self._watch_idle())

    def tune(self, tuning: ModelTuning) -> None:
        """Take another idle timeout, or stay awake from now on."""
        self._tuning = tuning
        self._retuned.set()
        if tuning.keep_awake and self._state is State.ASLEEP:
            self._wake()
        self._spawn(self._memory.keep_awake(tuning.keep_awake))

    async def stop(self) -> None:
        """End the engine. A load that is under way ends with the process."""
        self._stopped = True
        for task in tuple(self._tasks):
            task.cancel()
        if self._engine is not None and not self._changing.locked():
            await asyncio.to_thread(self._engine.stop)
        await self._memory.close()

    def alive(self) -> bool:
        """Return False when the engine died under us: then the replica has to be replaced."""
        return self._engine is None or self._state is not State.AWAKE or self._engine.alive()

    @contextlib.asynccontextmanager
    async def use(self, *, counts: bool) -> AsyncIterator[str]:
        """Hold the request until the engine is awake, then give its base URL.

        Args:
            counts: False for probes, which leave the idle clock alone.

        Raises:
            RequestError: 503 with the reason, the moment that the engine cannot come.
        """
        address = await self._enter(counts=counts)
        try:
            yield address
        finally:
            self._leave(counts=counts)

    def report(self) -> EngineReport:
        """Return what changes only with the engine's state."""
        failure = self._failure if self._state is State.FAILED else None
        return EngineReport(
            model=self._args.name,
            pid=os.getpid(),
            state=self._state.value,
            reason=failure.reason if failure else None,
            message=failure.message if failure else "",
            load_seconds=round(self._load_seconds, 3),
            threads=self._engine.threads if self._engine and self._state is State.AWAKE else None,
        )

    def health(self) -> dict[str, object]:
        """Return the engine's state, for `GET /health`; costs nothing."""
        return {
            **self.report().model_dump(mode="json"),
            "memoryBytes": self._args.memory_bytes if self._state is State.AWAKE else 0,
            "lastUseAgeSeconds": round(self._clock() - self._last_use, 3),
            "inFlight": self._in_flight,
            "waiting": self._waiting,
        }

    def give_way(self, until: float) -> None:
        """Free the memory for a model that waits for it: now when idle, else when in a moment.

        From here to `until` no new request enters, so that a busy engine comes to rest.
        """
        if self._state is not State.AWAKE or self._tuning.keep_awake:
            return
        if self._in_flight == 0 and self._waiting > 0 and self._clock() >= self._yield_until:
            # Woken for requests that are about to enter: they come first, or nobody ever would.
            return
        self._yield_until = until
        if self._in_flight == 0:
            self._spawn(self._sleep())

    async def _enter(self, *, counts: bool) -> str:
        tried = False
        self._waiting += 1
        try:
            while True:
                if self._engine is not None and self._state is State.AWAKE:
                    if self._clock() >= self._yield_until:
                        break
                    await self._rest()
                elif (
                    self._failure is not None
                    and self._state is State.FAILED
                    and (tried or not self._may_retry(self._failure))
                ):
                    raise RequestError(503, self._failure.reason, self._failure.message)
                else:
                    tried = True
                    await asyncio.shield(self._wake())
        finally:
            self._waiting -= 1
        self._in_flight += 1
        self._served += 1
        self._note(counts=counts)
        return self._engine.address

    def _leave(self, *, counts: bool) -> None:
        self._in_flight -= 1
        self._note(counts=counts)
        if self._in_flight == 0 and self._clock() < self._yield_until:
            self._spawn(self._sleep())

    def _note(self, *, counts: bool) -> None:
        if counts:
            self._last_use = self._clock()
        self._memory.note_use(in_flight=self._in_flight, last_use=self._last_use)

    async def _rest(self) -> None:
        """Wait until the engine slept for another model, or until that model gave up."""
        self._quiet.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), max(0.0, self._yield_until - self._clock()))

    def _may_retry(self, failure: Failure) -> bool:
        """Tell whether the same load may go better the next time.

        Memory and files change by themselves. What loaded before in this process fails for a cause
        outside of it; what never loaded fails the same way until its arguments change.
        """
        if failure.reason in (Reason.MEMORY_FIT, Reason.WEIGHTS_MISSING):
            return True
        outside = self._loads > 0 or failure.reason in _MENDED_ELSEWHERE
        return outside and self._clock() - failure.at >= RETRY_AFTER_SECONDS

    def _wake(self) -> asyncio.Task[None]:
        if self._wake_task is None or self._wake_task.done():
            self._wake_task = self._spawn(self._load())
        return self._wake_task

    async def _load(self) -> None:
        async with self._changing:
            if self._state is State.AWAKE or self._stopped:
                return
            self._become(State.LOADING)
            try:
                if self._engine is None:
                    self._engine = await asyncio.to_thread(self._new_engine)
                engine = self._engine
                await asyncio.to_thread(self._obtain)
                others = await self._memory.acquire()
                began = self._clock()
                await asyncio.to_thread(engine.start, others)
                self._load_seconds = self._clock() - began
                await self._observer.loaded(engine.address, self._load_seconds)
            except Exception as error:
                self._failure = self._failed(error)
                await self._memory.release()
                self._become(State.FAILED)
                return
            self._loads += 1
            self._yield_until = 0.0
            self._become(State.AWAKE)
            _log.info(
                "%s is awake: loaded in %.2f s with %d threads",
                self._args.name,
                self._load_seconds,
                engine.threads or 0,
            )

    def _failed(self, error: Exception) -> Failure:
        if isinstance(error, ImportError):
            error = EngineError(
                Reason.ENGINE_NOT_INSTALLED, f"The engine cannot be imported here: {error}"
            )
        if isinstance(error, EngineError):
            _log.error("%s: %s: %s", self._args.name, error.reason, error.message)
            return Failure(reason=error.reason, message=error.message, at=self._clock())
        _log.exception("%s: the engine could not start", self._args.name, exc_info=error)
        message = f"The engine could not start: {type(error).__name__}: {error}"
        return Failure(reason=Reason.LOAD_FAILED, message=message, at=self._clock())

    async def _sleep(self) -> None:
        async with self._changing:
            engine = self._engine
            if engine is None or self._in_flight or self._state is not State.AWAKE:
                return
            # From here nobody enters: who comes now waits for the lock, and then wakes it.
            self._become(State.ASLEEP)
            try:
                await self._observer.before_sleep(engine.address)
                await asyncio.to_thread(engine.sleep)
            except Exception:
                # The next request loads anew; held requests must not wait for this one.
                _log.exception("%s did not fall asleep in order", self._args.name)
            await self._memory.release()
            self._quiet.set()
            _log.info("%s is asleep", self._args.name)

    async def _watch_idle(self) -> None:
        while True:
            left = seconds_until_sleep(
                last_use=self._last_use,
                in_flight=self._in_flight,
                timeout=self._tuning.idle_timeout_seconds,
                now=self._clock(),
            )
            if left <= 0 and self._state is State.AWAKE and not self._tuning.keep_awake:
                await self._sleep()
            self._retuned.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._retuned.wait(), max(left, _IDLE_TICK_SECONDS))

    def _become(self, state: State) -> None:
        self._state = state
        self._observer.changed(self.report())

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
