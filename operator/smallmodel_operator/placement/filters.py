"""What an option must pass on a machine, one function for each question."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, Engine, SmallModelSpec
from smallmodel_operator.catalog import sizing
from smallmodel_operator.catalog.options import Option, Refusal
from smallmodel_operator.placement.machine import AcceleratorStock, Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An option on a machine: with a device, or on the CPU."""

    option: Option
    """Its size is what it needs there."""
    stock: AcceleratorStock | None
    """The devices that would be used; unset: the CPU."""
    devices: int
    """How many of them one replica takes; 0 on the CPU."""


Filter = Callable[[Candidate, SmallModelSpec, Machine], Refusal | None]


def candidates(option: Option, spec: SmallModelSpec, machine: Machine) -> tuple[Candidate, ...]:
    """Return the ways in which the machine could run the option, best first.

    vLLM takes the smallest device that the spec allows, and the CPU only where the user asked for
    vLLM and not for a device. llama.cpp runs on the CPU.
    """
    if option.engine is not Engine.VLLM:
        return (Candidate(option=option, stock=None, devices=0),)
    wanted = spec.resources.accelerator
    count = wanted.count if wanted else 1
    stocks = [s for s in machine.accelerators if wanted is None or s.product == wanted.class_]
    on_devices = [
        Candidate(option=option, stock=stock, devices=count)
        for stock in sorted(stocks, key=lambda s: (s.memory_bytes, s.product))
    ]
    if spec.engine is Engine.VLLM and wanted is None:
        option = replace(option, size=sizing.on_cpu(option.size))
        on_devices.append(Candidate(option=option, stock=None, devices=0))
    return tuple(on_devices) or (Candidate(option=option, stock=None, devices=count),)


def engine_is_installed(
    candidate: Candidate, spec: SmallModelSpec, machine: Machine
) -> Refusal | None:
    """Refuse an option whose engine the machine does not have."""
    del spec
    engine = candidate.option.engine
    if engine in machine.engines:
        return None
    have = ", ".join(sorted(machine.engines)) or "none"
    return _refuse(
        candidate,
        Reason.ENGINE_NOT_INSTALLED,
        f"{engine} is not installed on {machine.name}, which has: {have}. Install it, or choose a "
        "variant for an engine that is there.",
    )


def accelerator_is_there(
    candidate: Candidate, spec: SmallModelSpec, machine: Machine
) -> Refusal | None:
    """Refuse an option that needs more devices than the machine has."""
    need = candidate.devices * _kept(spec)
    have = candidate.stock.count if candidate.stock else 0
    if need <= have:
        return None
    wanted = spec.resources.accelerator
    listed = ", ".join(f"{s.count} x {s.product}" for s in machine.accelerators) or "none"
    step = (
        "Change spec.resources.accelerator or leave it out, or lower spec.scaling.minReplicas."
        if wanted
        else "Choose a GGUF variant, or set `engine: VLLM` to run vLLM on the CPU."
    )
    return _refuse(
        candidate,
        Reason.ACCELERATOR_MISSING,
        f"The variant {candidate.option.variant.name} needs {need} x "
        f"{wanted.class_ if wanted else 'any accelerator'}{_for_kept(spec)}, and {machine.name} "
        f"has: {listed}. {step}",
    )


def memory_suffices(candidate: Candidate, spec: SmallModelSpec, machine: Machine) -> Refusal | None:
    """Refuse an option that needs more memory than its device, or the machine, has."""
    option = candidate.option
    # Each replica has devices of its own, and all of them share the machine's memory.
    copies = 1 if candidate.stock else _kept(spec)
    need, have = option.size.total * copies, available(candidate, machine)
    if need <= have:
        return None
    where = f"{candidate.devices} x {candidate.stock.product}" if candidate.stock else machine.name
    return _refuse(
        candidate,
        Reason.MEMORY_FIT,
        f"The variant {option.variant.name} needs {human_bytes(need)} with {option.context_length} "
        f"tokens of context for {option.slots} requests at a time"
        f"{_for_kept(spec) if copies > 1 else ''}, and {where} has {human_bytes(have)} for models.",
    )


def _kept(spec: SmallModelSpec) -> int:
    return max(1, spec.scaling.min_replicas)


def _for_kept(spec: SmallModelSpec) -> str:
    return f" for minReplicas {_kept(spec)}" if _kept(spec) > 1 else ""


def available(candidate: Candidate, machine: Machine) -> int:
    """Return the bytes that one replica could use at most."""
    if candidate.stock is None:
        return machine.memory_bytes
    return candidate.stock.memory_bytes * candidate.devices


def accelerator_of(candidate: Candidate) -> Accelerator | None:
    """Return the devices of each replica as the API names them."""
    if candidate.stock is None:
        return None
    return Accelerator(class_=candidate.stock.product, count=candidate.devices)


def _refuse(candidate: Candidate, reason: Reason, message: str) -> Refusal:
    return Refusal(variant=candidate.option.variant.name, reason=reason, message=message)


FILTERS: Final[tuple[Filter, ...]] = (engine_is_installed, accelerator_is_there, memory_suffices)
"""In this order: what is not installed is not asked for memory."""


def first_refusal(candidate: Candidate, spec: SmallModelSpec, machine: Machine) -> Refusal | None:
    """Return what the first filter that a candidate does not pass says."""
    for check in FILTERS:
        refusal = check(candidate, spec, machine)
        if refusal is not None:
            return refusal
    return None
