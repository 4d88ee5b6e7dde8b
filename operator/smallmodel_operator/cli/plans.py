"""What would run on a machine: each model's options, its memory, and what was refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from smallmodel_operator.api.base import ApiModel, human_bytes
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.catalog.options import Option, Refusal, ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.cli.desired import Desired
from smallmodel_operator.local.manifests import Manifest
from smallmodel_operator.placement.fits import largest_that_fits
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.plan.build import build_model
from smallmodel_operator.plan.pool import PlannedModel

_READ_FROM_THE_FILE = (
    "What these weights need is read from the file, and planned, when `slm up` has fetched it; "
    "set spec.resources.memory to plan with a size of your own."
)


class MachineReport(ApiModel):
    """The machine that was planned for."""

    name: str
    cpu_cores: int
    memory_for_models: str
    engines: tuple[str, ...]
    accelerators: tuple[str, ...]


class ChosenReport(ApiModel):
    """The option that would run."""

    variant: str
    engine: Engine
    uri: str
    context_length: int
    slots: int
    target_ongoing_requests: int
    max_replicas: int
    threads: int | None = None
    """Unset: all cores."""


class MemoryReport(ApiModel):
    """The memory of one replica: the sum as people read it, and its parts in bytes."""

    sum: str
    weights: int
    kv_cache: int
    compute: int
    process: int
    declared: int | None = None
    total: int


class RefusalReport(ApiModel):
    """A variant that would not run, and why."""

    variant: str
    reason: Reason
    message: str


class ModelPlan(ApiModel):
    """What would become of one SmallModel."""

    name: str
    file: str
    runs: bool
    reason: Reason
    message: str
    chosen: ChosenReport | None = None
    memory: MemoryReport | None = None
    rejected: tuple[RefusalReport, ...] = ()


class PlanReport(ApiModel):
    """What would run on one machine."""

    machine: MachineReport
    models: tuple[ModelPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One SmallModel, and what catalogue and machine say of it."""

    manifest: Manifest
    model: SmallModel
    resolved: ResolvedModel | None
    outcome: Placement | Unplaced | ResolveError

    @property
    def waits_for_weights(self) -> bool:
        """Whether only the weights can tell: a source has no card to read their size from."""
        unknown = self.outcome
        return (
            self.model.spec.source is not None
            and isinstance(unknown, ResolveError)
            and unknown.reason is Reason.ARCHITECTURE_UNKNOWN
        )

    @property
    def refusal(self) -> Unplaced | ResolveError | None:
        """Why it would not run; None where it would, or where that is not known yet."""
        if self.waits_for_weights or isinstance(self.outcome, Placement):
            return None
        return self.outcome

    @property
    def for_pool(self) -> PlannedModel | None:
        """The model as a pool would serve it; where its weights will lie, their URI stands."""
        if self.resolved is None or not isinstance(self.outcome, Placement):
            return None
        variant = self.outcome.option.variant
        weights = FetchDone(path=variant.uri, bytes=variant.bytes or 0, sha256=variant.sha256)
        return build_model(self.model, self.resolved, self.outcome, weights)


def plan_models(desired: Desired, machine: Machine, secrets: frozenset[str]) -> tuple[Planned, ...]:
    """Return what each model would become, in the order of the manifests."""
    return tuple(
        _plan(manifest, model, desired, machine, secrets) for manifest, model in desired.models
    )


def report(planned: Sequence[Planned], machine: Machine) -> PlanReport:
    """Return the plan as it is printed."""
    return PlanReport(
        machine=MachineReport(
            name=machine.name,
            cpu_cores=machine.cpu_cores,
            memory_for_models=human_bytes(machine.memory_bytes),
            engines=tuple(sorted(machine.engines)),
            accelerators=tuple(stock.described for stock in machine.accelerators),
        ),
        models=tuple(_model_plan(one) for one in planned),
    )


def _plan(
    manifest: Manifest,
    model: SmallModel,
    desired: Desired,
    machine: Machine,
    secrets: frozenset[str],
) -> Planned:
    resolved = resolve(model, desired.catalog, secrets=secrets)
    if isinstance(resolved, ResolveError):
        return Planned(manifest=manifest, model=model, resolved=None, outcome=resolved)
    outcome = place(resolved, model.spec, machine)
    if isinstance(outcome, Unplaced) and outcome.reason is Reason.MEMORY_FIT:
        task: Task = resolved.card.spec.task
        alternative = largest_that_fits(desired.catalog, machine, task)
        outcome = place(resolved, model.spec, machine, alternative=alternative)
    return Planned(manifest=manifest, model=model, resolved=resolved, outcome=outcome)


def _model_plan(planned: Planned) -> ModelPlan:
    outcome = planned.outcome
    chosen = outcome if isinstance(outcome, Placement) else None
    refusals = planned.resolved.refusals if planned.resolved else ()
    if isinstance(outcome, Placement | Unplaced):
        refusals = (*refusals, *outcome.rejected)
    if planned.waits_for_weights:
        return ModelPlan(
            name=planned.model.metadata.name,
            file=planned.manifest.file,
            runs=False,
            reason=Reason.WAITING,
            message=_READ_FROM_THE_FILE,
        )
    return ModelPlan(
        name=planned.model.metadata.name,
        file=planned.manifest.file,
        runs=chosen is not None,
        reason=Reason.PLACED if isinstance(outcome, Placement) else outcome.reason,
        message=outcome.message,
        chosen=_chosen(chosen) if chosen else None,
        memory=_memory(chosen.option) if chosen else None,
        rejected=tuple(_refusal(refusal) for refusal in refusals),
    )


def _chosen(placement: Placement) -> ChosenReport:
    option = placement.option
    return ChosenReport(
        variant=option.variant.name,
        engine=option.engine,
        uri=option.variant.uri,
        context_length=option.context_length,
        slots=option.slots,
        target_ongoing_requests=option.target_ongoing_requests,
        max_replicas=placement.max_replicas,
        threads=placement.threads,
    )


def _memory(option: Option) -> MemoryReport:
    size = option.size
    kv = f"{option.context_length} tokens x {option.slots} slots x " + human_bytes(
        option.kv_bytes_per_token
    )
    computed = size.weights + size.kv_cache + size.compute + size.process
    text = (
        f"{human_bytes(size.weights)} weights + {human_bytes(size.kv_cache)} KV cache ({kv}) + "
        f"{human_bytes(size.compute)} compute + {human_bytes(size.process)} process = "
        f"{human_bytes(computed)}"
    )
    if size.declared is not None:
        text += f"; spec.resources.memory says {human_bytes(size.declared)}, which counts"
    return MemoryReport(
        sum=text,
        weights=size.weights,
        kv_cache=size.kv_cache,
        compute=size.compute,
        process=size.process,
        declared=size.declared,
        total=size.total,
    )


def _refusal(refusal: Refusal) -> RefusalReport:
    return RefusalReport(variant=refusal.variant, reason=refusal.reason, message=refusal.message)
