"""Who may have the node's memory: a decision over the engines of one node, without I/O."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.base import human_bytes

MAX_WAIT_SECONDS: Final = 10.0
"""How long a model waits for others to give way before its requests get 503 `MemoryFit`."""

PATIENCE_SECONDS: Final = 1.0
"""How long a model waits for idle engines before it asks busy ones to come to rest.

Together with the order of waiting this is the fairness bound: a busy engine lets its running
requests end, starts no others, and queues up behind the model that waited.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One engine of the node that holds memory or waits for it.

    Times are of one monotonic clock that all processes of the node share.
    """

    key: str
    model: str
    bytes: int
    holds: bool
    since: float
    """When it began to wait, or was admitted."""
    last_use: float
    in_flight: int
    keep_awake: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The engine may load."""

    others_awake: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The engine has to wait; `ask` are the engines that should give way, in order."""

    ask: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The engine does not fit, or waited long enough."""

    message: str


Decision = Admitted | Waiting | Refused


def admit(entries: tuple[Entry, ...], request: Entry, capacity: int | None, now: float) -> Decision:
    """Decide on one engine's wish to load.

    Whoever began to wait earlier comes first: its need is set aside, and only what is left beyond
    it can be taken. So nobody is overtaken by smaller or by busier models.

    Args:
        entries: All live engines of the node that hold or wait; the request itself may be among
            them.
        request: The engine that wishes to load.
        capacity: Bytes that the node has for engines; None is no bound.
        now: The time.
    """
    others = [entry for entry in entries if entry.key != request.key]
    holders = [entry for entry in others if entry.holds]
    if capacity is None:
        return Admitted(others_awake=len(holders))
    fixed = sum(entry.bytes for entry in holders if entry.keep_awake)
    if request.bytes > capacity:
        return Refused(message=_message(request, holders, capacity, "The node is too small"))
    if request.bytes > capacity - fixed:
        return Refused(
            message=_message(request, holders, capacity, "What is kept awake never gives way")
        )
    earlier = sum(entry.bytes for entry in others if not entry.holds and _before(entry, request))
    free = capacity - sum(entry.bytes for entry in holders) - earlier
    if request.bytes <= free:
        return Admitted(others_awake=len(holders))
    if now - request.since >= MAX_WAIT_SECONDS:
        waited = f"No engine gave way within {MAX_WAIT_SECONDS:.0f} s"
        return Refused(message=_message(request, holders, capacity, waited))
    patient = now - request.since < PATIENCE_SECONDS
    return Waiting(ask=_to_ask(holders, request.bytes - free, patient=patient))


def _before(entry: Entry, request: Entry) -> bool:
    return (entry.since, entry.key) < (request.since, request.key)


def _to_ask(holders: list[Entry], missing: int, *, patient: bool) -> tuple[Entry, ...]:
    """Return the fewest engines, longest idle first, whose memory covers what is missing.

    Busy engines come last, and of those the one that was awake the longest: turns go round.
    """
    idle = [entry for entry in holders if not entry.keep_awake and not entry.in_flight]
    busy = [entry for entry in holders if not entry.keep_awake and entry.in_flight]
    order = sorted(idle, key=lambda entry: (entry.last_use, entry.key))
    if not patient:
        order += sorted(busy, key=lambda entry: (entry.since, entry.key))
    chosen: list[Entry] = []
    for entry in order:
        if missing <= 0:
            break
        chosen.append(entry)
        missing -= entry.bytes
    return tuple(chosen)


def _message(request: Entry, holders: list[Entry], capacity: int, why: str) -> str:
    held = sum(entry.bytes for entry in holders)
    by = ", ".join(
        f"{entry.model} {human_bytes(entry.bytes)}"
        + (" (kept awake)" if entry.keep_awake else f" ({entry.in_flight} running)")
        for entry in sorted(holders, key=lambda entry: entry.model)
    )
    return (
        f"{request.model} needs {human_bytes(request.bytes)}, and "
        f"{human_bytes(max(0, capacity - held))} of {human_bytes(capacity)} is free; held by: "
        f"{by or 'nobody'}. {why}. Try again, or give the models less memory or the node more."
    )
