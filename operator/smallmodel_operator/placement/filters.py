"""What an option must pass on one machine, one function for each question."""

from collections.abc import Callable
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.catalog.options import Refusal
from smallmodel_operator.placement.candidates import (
    Candidate,
    devices_refused,
    engine_refusal,
    for_kept,
    kept,
    needs,
    refuse,
)
from smallmodel_operator.placement.machine import Machine

Filter = Callable[[Candidate, SmallModelSpec, Machine], Refusal | None]


def engine_is_installed(
    candidate: Candidate, spec: SmallModelSpec, machine: Machine
) -> Refusal | None:
    """Refuse an option whose engine the machine does not have."""
    del spec
    step = "Install it, or choose a variant for an engine that is there."
    return engine_refusal(candidate, machine.engines, machine.name, step)


def accelerator_is_there(
    candidate: Candidate, spec: SmallModelSpec, machine: Machine
) -> Refusal | None:
    """Refuse an option that needs more devices than the machine has."""
    need = candidate.devices * kept(spec)
    have = candidate.stock.count if candidate.stock else 0
    if need <= have:
        return None
    listed = ", ".join(f"{s.count} x {s.product}" for s in machine.accelerators)
    return devices_refused(candidate, spec, need, machine.name, listed)


def memory_suffices(candidate: Candidate, spec: SmallModelSpec, machine: Machine) -> Refusal | None:
    """Refuse an option that needs more memory than its device, or the machine, has."""
    # Each replica has devices of its own, and all of them share the machine's memory.
    copies = 1 if candidate.stock else kept(spec)
    need, have = candidate.option.size.total * copies, available(candidate, machine)
    if need <= have:
        return None
    where = f"{candidate.devices} x {candidate.stock.product}" if candidate.stock else machine.name
    return refuse(
        candidate,
        Reason.MEMORY_FIT,
        f"{needs(candidate, need)}{for_kept(spec) if copies > 1 else ''}, and {where} has "
        f"{human_bytes(have)} for models.",
    )


def available(candidate: Candidate, machine: Machine) -> int:
    """Return the bytes that one replica could use at most."""
    if candidate.stock is None:
        return machine.memory_bytes
    return (candidate.stock.memory_bytes or 0) * candidate.devices


FILTERS: Final[tuple[Filter, ...]] = (engine_is_installed, accelerator_is_there, memory_suffices)
"""In this order: what is not installed is not asked for memory."""


def first_refusal(candidate: Candidate, spec: SmallModelSpec, machine: Machine) -> Refusal | None:
    """Return what the first filter that a candidate does not pass says."""
    for check in FILTERS:
        refusal = check(candidate, spec, machine)
        if refusal is not None:
            return refusal
    return None
