"""The ways in which an option could run: on devices of one product, or on the CPU."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, Engine, Isolation, SmallModelSpec
from smallmodel_operator.catalog import sizing
from smallmodel_operator.catalog.options import Option, Refusal, ResolvedModel
from smallmodel_operator.placement.machine import AcceleratorStock


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An option at a place: with a device, or on the CPU."""

    option: Option
    """Its size is what it needs there."""
    stock: AcceleratorStock | None
    """The devices that would be used; unset: the CPU."""
    devices: int
    """How many of them one replica takes; 0 on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The first candidate that nothing speaks against, and what spoke against those before it."""

    candidate: Candidate | None
    rejected: tuple[Refusal, ...]


Judge = Callable[[Candidate], Refusal | None]

# What a person can act on most easily counts as the reason when every option has another one.
_TELLING: Final = (
    Reason.MEMORY_FIT,
    Reason.CPU_FIT,
    Reason.ACCELERATOR_CAPACITY,
    Reason.ACCELERATOR_MISSING,
    Reason.ENGINE_NOT_INSTALLED,
)


def choose(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    stocks: Sequence[AcceleratorStock],
    judge: Judge,
) -> Choice:
    """Return the best candidate that passes.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        stocks: Devices at the place, by product.
        judge: Says what speaks against a candidate.
    """
    rejected: list[Refusal] = []
    for candidate in all_candidates(resolved, spec, stocks):
        refusal = judge(candidate)
        if refusal is None:
            return Choice(candidate=candidate, rejected=tuple(rejected))
        rejected.append(refusal)
    return Choice(candidate=None, rejected=tuple(rejected))


def all_candidates(
    resolved: ResolvedModel, spec: SmallModelSpec, stocks: Sequence[AcceleratorStock]
) -> Iterator[Candidate]:
    """Yield the ways in which any of the options could run, best first."""
    for option in resolved.options:
        yield from candidates(option, spec, stocks)


def candidates(
    option: Option, spec: SmallModelSpec, stocks: Sequence[AcceleratorStock]
) -> tuple[Candidate, ...]:
    """Return the ways in which the option could run, best first.

    vLLM takes the smallest device that the spec allows, and the CPU only where the user asked for
    vLLM and not for a device. llama.cpp runs on the CPU.
    """
    if option.engine is not Engine.VLLM:
        return (Candidate(option=option, stock=None, devices=0),)
    wanted = spec.resources.accelerator
    count = wanted.count if wanted else 1
    allowed = [s for s in stocks if wanted is None or s.product == wanted.class_]
    on_devices = [
        Candidate(option=option, stock=stock, devices=count)
        for stock in sorted(allowed, key=lambda s: (s.memory_bytes or 0, s.product))
    ]
    if spec.engine is Engine.VLLM and wanted is None:
        option = replace(option, size=sizing.on_cpu(option.size))
        on_devices.append(Candidate(option=option, stock=None, devices=0))
    return tuple(on_devices) or (Candidate(option=option, stock=None, devices=count),)


def telling(rejected: Sequence[Refusal]) -> tuple[Reason, str]:
    """Return the reason that says most, and what was said with it."""
    reason = next(r for r in _TELLING if any(refusal.reason is r for refusal in rejected))
    messages = dict.fromkeys(refusal.message for refusal in rejected if refusal.reason is reason)
    return reason, " ".join(messages)


def engine_refusal(
    candidate: Candidate, engines: frozenset[Engine], where: str, step: str
) -> Refusal | None:
    """Refuse an option whose engine is not at the place.

    Args:
        candidate: What would run.
        engines: What is there.
        where: The place's name.
        step: What a person can do about it.
    """
    engine = candidate.option.engine
    if engine in engines:
        return None
    have = ", ".join(sorted(engines)) or "none"
    return refuse(
        candidate,
        Reason.ENGINE_NOT_INSTALLED,
        f"{engine} is not installed on {where}, which has: {have}. {step}",
    )


def devices_refused(
    candidate: Candidate, spec: SmallModelSpec, need: int, where: str, listed: str
) -> Refusal:
    """Return the refusal of an option that needs more devices than the place has."""
    wanted = spec.resources.accelerator
    step = (
        "Change spec.resources.accelerator or leave it out, or lower spec.scaling.minReplicas."
        if wanted
        else "Choose a GGUF variant, or set `engine: VLLM` to run vLLM on the CPU."
    )
    return refuse(
        candidate,
        Reason.ACCELERATOR_MISSING,
        f"The variant {candidate.option.variant.name} needs {need} x "
        f"{wanted.class_ if wanted else 'any accelerator'}{for_kept(spec)}, and {where} "
        f"has: {listed or 'none'}. {step}",
    )


def needs(candidate: Candidate, need: int) -> str:
    """Return the beginning of a sentence that says how much memory an option needs, and why."""
    option = candidate.option
    return (
        f"The variant {option.variant.name} needs {human_bytes(need)} with {option.context_length} "
        f"tokens of context for {option.slots} requests at a time"
    )


def kept(spec: SmallModelSpec) -> int:
    """Return how many replicas have to fit at a time."""
    return max(1, spec.scaling.min_replicas)


def for_kept(spec: SmallModelSpec) -> str:
    """Return what makes more than one replica necessary, in words."""
    return f" for minReplicas {kept(spec)}" if kept(spec) > 1 else ""


def threads_of(option: Option) -> int | None:
    """Return the threads of one engine, where the user said so."""
    return max(1, int(option.cpu)) if option.cpu is not None else None


def accelerator_of(candidate: Candidate) -> Accelerator | None:
    """Return the devices of each replica as the API names them."""
    if candidate.stock is None:
        return None
    return Accelerator(class_=candidate.stock.product, count=candidate.devices)


def device_percent_of(candidate: Candidate, spec: SmallModelSpec) -> int | None:
    """Return the hundredths of one device that a replica takes, or None: its devices are its own.

    They are where it needs several, and where the user wants the model apart from others.
    """
    stock = candidate.stock
    if stock is None or stock.memory_bytes is None or candidate.devices != 1:
        return None
    if spec.isolation is Isolation.DEDICATED:
        return None
    return sizing.device_percent(candidate.option.size.total, stock.memory_bytes)


def refuse(candidate: Candidate, reason: Reason, message: str, *, waits: bool = False) -> Refusal:
    """Return a refusal of the candidate's variant."""
    return Refusal(
        variant=candidate.option.variant.name, reason=reason, message=message, waits=waits
    )
