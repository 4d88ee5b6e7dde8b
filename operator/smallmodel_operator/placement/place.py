"""Placing: the first option of a resolved model that a machine can run, or why none can."""

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.api.where import PlacementBounds
from smallmodel_operator.catalog.options import Refusal, ResolvedModel
from smallmodel_operator.placement.candidates import (
    Candidate,
    accelerator_of,
    choose,
    telling,
    threads_of,
)
from smallmodel_operator.placement.filters import available, first_refusal
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.placement.suggest import within_card


def place(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    machine: Machine,
    *,
    alternative: str | None = None,
) -> Placement | Unplaced:
    """Return what the machine serves of a resolved model, or why it can serve nothing of it.

    Args:
        resolved: The options, best first.
        spec: What the user asks for; bounds on replicas and threads are read from it.
        machine: Where.
        alternative: The name of another model that would fit, for the message of `MemoryFit`;
            `fits.largest_that_fits` finds it.
    """
    if spec.data or spec.placement != PlacementBounds():
        return Unplaced(
            reason=Reason.NOT_SELECTED,
            message=f"Nothing is declared of {machine.name}: no law, no price, no tier. So "
            "spec.data and spec.placement cannot be honoured there; leave them out, or serve the "
            "model in a cluster, where they hold.",
        )
    choice = choose(
        resolved, spec, machine.accelerators, lambda found: first_refusal(found, spec, machine)
    )
    if choice.candidate is None:
        return _unplaced(resolved, spec, machine, choice.rejected, alternative)
    return _placement(choice.candidate, spec, machine, choice.rejected)


def _placement(
    candidate: Candidate, spec: SmallModelSpec, machine: Machine, rejected: tuple[Refusal, ...]
) -> Placement:
    option = candidate.option
    threads = threads_of(option)
    most, why = _most_replicas(candidate, threads, spec, machine)
    return Placement(
        machine=machine.name,
        option=option,
        max_replicas=most,
        threads=threads,
        accelerator=accelerator_of(candidate),
        rejected=rejected,
        message=f"The variant {option.variant.name} runs with {option.engine} on {machine.name}: "
        f"{human_bytes(option.size.total)} of {human_bytes(available(candidate, machine))}, "
        f"{option.context_length} tokens of context, {option.slots} requests at a time. {why}",
    )


def _most_replicas(
    candidate: Candidate, threads: int | None, spec: SmallModelSpec, machine: Machine
) -> tuple[int, str]:
    """Return how many replicas have room, and which bound says so.

    Never fewer than `minReplicas`: the filters saw to their memory and devices, and cores are
    shared where the user keeps more replicas than the cores have room for.
    """
    wanted = spec.scaling.max_replicas
    bounds = [(wanted, f"At most {wanted} replicas, as spec.scaling.maxReplicas says.")]
    if candidate.stock is not None:
        room = candidate.stock.count // candidate.devices
        bounds.append((room, f"At most {room} replicas, of {candidate.devices} devices each."))
    else:
        room = machine.memory_bytes // max(1, candidate.option.size.total)
        bounds.append((room, f"At most {room} replicas have room in memory."))
        bounds.append(_bound_by_cores(threads, spec, machine))
    return min(bounds, key=lambda bound: bound[0])


def _bound_by_cores(threads: int | None, spec: SmallModelSpec, machine: Machine) -> tuple[int, str]:
    kept, cores = max(1, spec.scaling.min_replicas), machine.cpu_cores
    room = max(1, cores // (threads or cores))
    if room < kept:
        return kept, f"{kept} replicas share {cores} cores, as spec.scaling.minReplicas says."
    if threads is None:
        return room, (
            f"One replica: its engine uses all {cores} cores; set spec.resources.cpu for more."
        )
    return room, f"At most {room} replicas of {threads} threads on {cores} cores."


def _unplaced(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    machine: Machine,
    rejected: tuple[Refusal, ...],
    alternative: str | None,
) -> Unplaced:
    reason, told = telling(rejected)
    if reason is not Reason.MEMORY_FIT:
        return Unplaced(reason=reason, message=told, rejected=rejected)
    steps = [
        told,
        within_card(
            resolved, spec, machine.accelerators, lambda found: first_refusal(found, spec, machine)
        ),
        f"Of the other models, {alternative} fits." if alternative else "",
    ]
    return Unplaced(reason=reason, message=" ".join(filter(None, steps)), rejected=rejected)
