"""The node's ledger: which engines of this node hold memory, kept in files that survive nobody.

One folder for the node. Each replica that holds or waits has an entry there: `<key>.entry` with the
facts, `<key>.use` with how busy it is, `<key>.sock` to be spoken to. Decisions are made under one
lock file. An entry counts only while the process that wrote it lives, so a replica that is killed
leaves nothing that blocks, and the lock goes with the process that held it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.engine import EngineError
from smallmodel_serving.runtime.memory import (
    MAX_WAIT_SECONDS,
    Admitted,
    Decision,
    Entry,
    Refused,
    admit,
)

_log: Final = logging.getLogger(__name__)

# Waiters are told when memory becomes free; this catches what could not be told: a killed replica.
_POLL_SECONDS: Final = 0.25
_USE: Final = struct.Struct("<dq")


class _Facts(ApiModel):
    """What an entry's file says."""

    pid: int
    started: int
    """Of the process, in clock ticks since boot: tells a pid from its later namesakes."""
    model: str
    bytes: int
    holds: bool
    since: float
    keep_awake: bool


class _Note(ApiModel):
    """What replicas tell each other."""

    give_way_until: float | None = None
    """Set: free your memory, and start no request before then. Unset: memory became free."""


class NodeLedger:
    """One replica's hand on the ledger of its node."""

    def __init__(
        self,
        *,
        folder: Path,
        capacity: int | None,
        model: str,
        memory_bytes: int,
    ) -> None:
        """Join the node; needs a running event loop.

        Args:
            folder: The node's folder, the same for all its replicas.
            capacity: Bytes for all engines of the node; None is no bound.
            model: The model's name.
            memory_bytes: What this replica's engine needs.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._capacity = capacity
        self._on_give_way: Callable[[float], None] = _nothing
        self._key = f"{os.getpid()}-{model}"
        self._facts = _Facts(
            pid=os.getpid(),
            started=_started(os.getpid()),
            model=model,
            bytes=memory_bytes,
            holds=False,
            since=0.0,
            keep_awake=False,
        )
        self._freed = asyncio.Event()
        self._directory = os.open(folder, os.O_PATH)
        self._use = os.open(self._path("use"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._socket = self._listen()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._on_notes)

    def listen(self, on_give_way: Callable[[float], None]) -> None:
        """Say what to call when another engine waits for this one's memory, with its patience."""
        self._on_give_way = on_give_way

    async def acquire(self) -> int:
        """Wait until this replica may load; return how many other engines are awake here.

        Raises:
            EngineError: `MemoryFit`: it does not fit, or nobody gave way in time.
        """
        since = time.monotonic()
        while True:
            self._freed.clear()
            decision = await asyncio.to_thread(self._decide, since)
            if isinstance(decision, Admitted):
                return decision.others_awake
            if isinstance(decision, Refused):
                raise EngineError(Reason.MEMORY_FIT, decision.message)
            for entry in decision.ask:
                self._tell(entry.key, _Note(give_way_until=since + MAX_WAIT_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), _POLL_SECONDS)

    async def release(self) -> None:
        """Say that the engine's memory is free again, to all that wait for it."""
        for key in await asyncio.to_thread(self._give_up):
            self._tell(key, _Note())

    def note_use(self, *, in_flight: int, last_use: float) -> None:
        """Write how busy the engine is: one small write to memory of the system, about 2 us."""
        os.pwrite(self._use, _USE.pack(last_use, in_flight), 0)

    async def keep_awake(self, value: bool) -> None:
        """Say whether the engine may be asked to give way."""
        await asyncio.to_thread(self._set_keep_awake, value)

    async def close(self) -> None:
        """Leave the node."""
        await self.release()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.close(self._use)
        os.close(self._directory)
        for kind in ("use", "sock"):
            self._path(kind).unlink(missing_ok=True)

    def _decide(self, since: float) -> Decision:
        with self._locked():
            now = time.monotonic()
            wish = self._facts.model_copy(update={"holds": False, "since": since})
            request = _entry(self._key, wish, last_use=now, in_flight=0)
            decision = admit(self._entries(), request, self._capacity, now)
            if isinstance(decision, Refused):
                self._path("entry").unlink(missing_ok=True)
            elif isinstance(decision, Admitted):
                self.note_use(in_flight=0, last_use=now)
                self._write(wish.model_copy(update={"holds": True, "since": now}))
            else:
                self._write(wish)
            return decision

    def _give_up(self) -> list[str]:
        with self._locked():
            self._path("entry").unlink(missing_ok=True)
            self._facts = self._facts.model_copy(update={"holds": False})
            return [entry.key for entry in self._entries() if not entry.holds]

    def _set_keep_awake(self, value: bool) -> None:
        with self._locked():
            self._facts = self._facts.model_copy(update={"keep_awake": value})
            if self._path("entry").exists():
                self._write(self._facts)

    def _write(self, facts: _Facts) -> None:
        self._facts = facts
        new = self._path("tmp")
        new.write_text(facts.model_dump_json())
        new.replace(self._path("entry"))

    def _entries(self) -> tuple[Entry, ...]:
        """Return all entries of live processes, and remove what dead ones left."""
        found = []
        for path in sorted(self._folder.glob("*.entry")):
            try:
                facts = _Facts.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                _log.warning("%s is not an entry of the ledger (%s); it is left out", path, error)
                continue
            if _started(facts.pid) != facts.started:
                for kind in ("entry", "use", "sock", "tmp"):
                    path.with_suffix(f".{kind}").unlink(missing_ok=True)
                continue
            last_use, in_flight = _read_use(path.with_suffix(".use"))
            found.append(_entry(path.stem, facts, last_use=last_use, in_flight=in_flight))
        return tuple(found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # Opened anew each time: two threads of one process exclude each other as well.
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._key}.{kind}"

    def _short_path(self, key: str) -> str:
        # A socket's path may have 107 bytes; this one is short wherever the folder lies.
        return f"/proc/self/fd/{self._directory}/{key}.sock"

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._path("sock").unlink(missing_ok=True)
        listening.bind(self._short_path(self._key))
        return listening

    def _tell(self, key: str, note: _Note) -> None:
        try:
            self._socket.sendto(note.model_dump_json().encode(), self._short_path(key))
        except OSError as error:
            # It died, or its buffer is full of the same: the one that waits asks again.
            _log.debug("%s could not be told: %s", key, error)

    def _on_notes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._on_note(self._socket.recv(4096))

    def _on_note(self, text: bytes) -> None:
        try:
            note = _Note.model_validate_json(text)
        except ValidationError as error:
            _log.warning("a note in %s makes no sense: %s", self._folder, error)
            return
        if note.give_way_until is None:
            self._freed.set()
        else:
            self._on_give_way(note.give_way_until)


class NoLedger:
    """A node without a ledger: everything fits, and nobody else is known."""

    def listen(self, on_give_way: Callable[[float], None]) -> None:
        """Do nothing: nobody ever asks."""

    async def acquire(self) -> int:
        """Return at once."""
        return 0

    async def release(self) -> None:
        """Do nothing."""

    async def keep_awake(self, value: bool) -> None:
        """Do nothing."""

    def note_use(self, *, in_flight: int, last_use: float) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


def _nothing(_until: float) -> None:
    pass


def _entry(key: str, facts: _Facts, *, last_use: float, in_flight: int) -> Entry:
    return Entry(
        key=key,
        model=facts.model,
        bytes=facts.bytes,
        holds=facts.holds,
        since=facts.since,
        last_use=last_use,
        in_flight=in_flight,
        keep_awake=facts.keep_awake,
    )


def _read_use(path: Path) -> tuple[float, int]:
    try:
        last_use, in_flight = _USE.unpack(path.read_bytes())
    except (OSError, struct.error):
        return 0.0, 0
    return last_use, in_flight


def _started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when there is none.

    proc(5): field 22 of `stat`, counted behind the name in parentheses, which may hold anything.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only its parent has not looked yet.
    return 0 if fields[0] in "ZX" else int(fields[19])
