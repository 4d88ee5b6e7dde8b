"""`slm describe` of a cluster: everything that is known of one model, and why it is so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchDone, FetchFailed
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_JOB, LABEL_POOL
from smallmodel_operator.api.reasons import EXPLANATIONS, Reason
from smallmodel_operator.api.serving import LlamaCppArgs
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NameArgument,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import (
    SeenEvent,
    SeenModel,
    SeenPod,
    memory_text,
    read_events,
    read_model,
    read_placement,
    read_pods,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.output import (
    Fields,
    Format,
    OutputOption,
    as_plain,
    print_conditions,
    print_data,
    print_fields,
    print_lines,
    print_section,
    print_table,
    print_text,
)
from smallmodel_operator.status.state import find
from smallmodel_operator.status.summarise import fetch_message

_CHAIN: Final = (
    ConditionType.RESOLVED,
    ConditionType.PLACED,
    ConditionType.DEPLOYED,
    ConditionType.VERIFIED,
    ConditionType.AVAILABLE,
)
_NOT_TAKEN: Final = re.compile(r"(?:(?<=\. )|^)Not (?=[\w.-]+: )")
_EVENTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    model: SeenModel
    placement: ModelPlacement | None
    unread: tuple[str, ...]
    """What could not be read, and why."""
    pods: tuple[SeenPod, ...]
    events: tuple[SeenEvent, ...]


def describe(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show one model: why here, why not elsewhere, what it waits for, and what happened."""
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> _Described:
        return await _read(session, name)

    told = ask(access, work)
    if output is not Format.TABLE:
        from smallmodel_operator.clusters.ref import without_managed_fields

        placement = as_plain(told.placement) if told.placement else None
        model = without_managed_fields(told.model.manifest)
        print_data({"model": model, "placement": placement}, output)
        return
    print_fields(_identity(told.model))
    print_lines("Waits for", waits_for(told.model))
    _print_choice(told)
    _print_serving(told)
    print_conditions(told.model.status.conditions)
    _print_events(told.events)
    print_lines("Not shown", told.unread)


async def _read(session: Session, name: str) -> _Described:
    from smallmodel_operator.clusters import errors

    model = await read_model(session, name)
    found = await read_placement(session, name)
    unread = [found] if isinstance(found, str) else []
    placement = found if isinstance(found, ModelPlacement) else None
    pods: tuple[SeenPod, ...] = ()
    events: tuple[SeenEvent, ...] = ()
    try:
        for pool in _pools(model, placement):
            pods += await read_pods(session, f"{LABEL_POOL}={pool}")
        if placement is not None and placement.status.fetch_job:
            job = f"{LABEL_JOB}={placement.status.fetch_job}"
            pods += await read_pods(session, job)
    except errors.Forbidden as error:
        unread.append(f"its pods: {error}")
    try:
        events = await read_events(session, "SmallModel", name)
    except errors.Forbidden as error:
        unread.append(f"its events: {error}")
    return _Described(
        model=model, placement=placement, unread=tuple(unread), pods=pods, events=events
    )


def _pools(model: SeenModel, placement: ModelPlacement | None) -> list[str]:
    """Return the pools that have the model, or will have it."""
    known = {copy.pool for copy in model.status.copies}
    if placement is not None:
        known |= {placement.status.moving_to, placement.status.leaving}
    return sorted(filter(None, known))


def waits_for(model: SeenModel) -> Iterator[str]:
    """Yield why the model is not Ready: the first condition that is not True explains the rest."""
    if not model.status.conditions:
        yield "The operator, which has not looked at it yet: `slm doctor` tells whether one runs"
        return
    if not model.current:
        yield (
            f"The operator, which has not looked at generation {model.metadata.generation} yet; "
            f"what follows is about {model.status.observed_generation}"
        )
    for kind in _CHAIN:
        condition = find(model.status, kind)
        if condition is not None and condition.status != "True":
            yield f"{kind}: {condition.reason}. {condition.message}"
            yield from _meaning(condition)
            return


def _meaning(condition: Condition) -> Iterator[str]:
    if condition.reason in set(Reason):
        yield EXPLANATIONS[Reason(condition.reason)].replace("`", "")
        yield f"docs/how-to/troubleshoot-a-cluster.md has what to type next for {condition.reason}"


def why_here(message: str) -> tuple[list[str], list[str]]:
    """Return a placement's message as what was taken, and each option that was not, with why."""
    taken, *others = _NOT_TAKEN.split(message)
    return [taken.strip()] if taken.strip() else [], [other.strip() for other in others]


def _identity(model: SeenModel) -> Fields:
    return (
        ("Name", model.metadata.name),
        ("Namespace", model.metadata.namespace),
        ("State", model.state),
        ("URL", model.status.url),
        ("Model", model.weights),
        ("Generation", f"{model.metadata.generation}, seen {model.status.observed_generation}"),
        ("Being deleted", model.metadata.deletion_timestamp),
    )


def _print_choice(told: _Described) -> None:
    status = told.model.status
    placed = find(status, ConditionType.PLACED)
    here, others = why_here(placed.message if placed else "")
    if placed is not None and placed.status == "True":
        print_lines("Why here", here)
        print_lines("Why not", others)
    print_section("Choice", (
        ("Engine", status.engine),
        ("Variant", status.variant),
        ("Serving hash", status.serving_hash),
        *(_of_placement(told.placement) if told.placement else ()),
        ("Replicas", f"{status.replicas} running, {told.model.least_replicas} at least, "
            f"{_most(told)} at most"),
    ))  # fmt: skip


def _most(told: _Described) -> int:
    return told.placement.spec.max_replicas if told.placement else told.model.most_replicas


def _of_placement(placement: ModelPlacement) -> Fields:
    spec = placement.spec
    worker = spec.worker
    engine = spec.args.engine
    slots = engine if isinstance(engine, LlamaCppArgs) else None
    devices = worker.accelerator
    return (
        ("Context", f"{slots.context_length} tokens per request" if slots else None),
        ("Slots", f"{slots.slots} requests at the same time" if slots else None),
        ("Memory", f"{memory_text(spec.args.memory_bytes)} awake, "
            f"{memory_text(spec.resting_memory_bytes)} at rest"),
        ("Worker class", f"{worker.name}: {worker.cpu} CPU, {worker.memory}"
            + (f", {devices.count} x {devices.class_}" if devices else "")
            + (f", of which a replica takes {spec.device_percent} %" if spec.device_percent else "")
            + f"; at most {worker.max_workers} of them in a pool"),
    )  # fmt: skip


def _print_serving(told: _Described) -> None:
    status = told.model.status
    if told.placement is not None:
        print_section("Weights", _weights(told.placement))
        print_section("Pool", _pool(told.placement))
        print_section("Quarantine", _quarantine(told.placement))
    if status.copies:
        print_text("\nCopies:")
        print_table(
            ("cluster", "pool", "engine", "variant", "serving hash", "replicas"),
            [
                (
                    c.cluster,
                    c.pool or "",
                    c.engine,
                    c.variant,
                    c.serving_hash or "",
                    str(c.replicas),
                )
                for c in status.copies
            ],
        )
    if told.pods:
        print_text("\nPods:")
        print_table(
            ("name", "role", "phase", "ready", "node", "trouble"),
            [
                (p.name, p.role, p.phase, "yes" if p.ready else "no", p.node, p.trouble)
                for p in told.pods
            ],
        )
    if status.performance:
        measured = status.performance
        print_section("Verified", (
            ("First token", f"{measured.time_to_first_token_seconds:.2f} s"),
            ("Speed", f"{measured.tokens_per_second:.0f} tokens/s"),
        ))  # fmt: skip


def _weights(placement: ModelPlacement) -> Fields:
    spec, fetch = placement.spec, placement.status.fetch
    match fetch:
        case FetchDone(bytes=count, path=path):
            progress = f"There: {memory_text(count)} at {path}"
        case FetchFailed(reason=reason, message=message):
            progress = f"{reason}: {message}"
        case _:
            progress = fetch_message(fetch)
    return (
        ("Source", spec.weights.uri),
        ("Progress", progress),
        ("Job", placement.status.fetch_job),
    )


def _pool(placement: ModelPlacement) -> Fields:
    status = placement.status
    served = status.deployment
    return (
        ("Answers", status.pool),
        ("Moves to", status.moving_to),
        ("Leaves", status.leaving),
        ("Serve says", served.message if served else None),
        ("Problem", f"{status.problem.reason}: {status.problem.message}" if status.problem else ""),
    )


def _quarantine(placement: ModelPlacement) -> Fields:
    held = placement.status.quarantine
    if held is None:
        return ()
    return (
        ("Serving hash", held.serving_hash),
        ("Tried", f"{held.attempts} times" if held.attempts != 1 else "once"),
        ("Next try", f"{held.until}, or at once when the spec changes"),
        ("Why", f"{held.reason}: {held.message}"),
    )


def _print_events(events: tuple[SeenEvent, ...]) -> None:
    if not events:
        return
    print_text("\nEvents:")
    rows = [(e.at, e.type, e.reason, str(e.count), e.message) for e in events[-_EVENTS:]]
    print_table(("last seen", "type", "reason", "times", "message"), rows)
