"""`slm pool`: the Ray clusters that models share, and how to have fewer of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from smallmodel_operator.api.names import ANNOTATION_COMPACT
from smallmodel_operator.cli.cluster.installed import settings_of
from smallmodel_operator.cli.cluster.observed import (
    find_operators,
    read_hub,
    read_placements,
    read_pools,
)
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    print_data,
    print_note,
    print_table,
)
from smallmodel_operator.plan.pools.assign import is_current
from smallmodel_operator.plan.pools.compact import Emptied, compaction
from smallmodel_operator.plan.pools.pods import HEAD_REQUESTS
from smallmodel_operator.plan.pools.values import LivePool, PoolError, PoolSettings

app = typer.Typer(
    help="The pools of a namespace: Ray clusters that models share.", no_args_is_help=True
)

_COLUMNS: Final = ("name", "class", "models", "head", "worker", "workers", "state", "served")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The pools of a namespace, and by which choices they are judged."""

    pools: tuple[LivePool, ...]
    settings: PoolSettings


@app.command("list")
def list_pools(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the pools of a namespace: their models, what head and workers ask for, their state."""
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)
    seen = ask(access, _see)
    if output is not Format.TABLE:
        print_data([_data(pool, seen.settings) for pool in seen.pools], output)
    elif seen.pools:
        print_table(_COLUMNS, [_row(pool, seen.settings) for pool in seen.pools])


@app.command()
def compact(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would move, and ask for nothing.")
    ] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Ask the operator to move models out of the emptiest pools into fuller ones, which then end.

    Each model moves as in an upgrade: it is added to its next pool, asked there, and only then
    taken out of the one before. The operator takes the wish back where there is no room any more,
    or a model does not answer in its next pool.
    """
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> tuple[Emptied, ...]:
        from smallmodel_operator.clusters.ref import RAYSERVICES

        seen = await _see(session)
        placements = [
            one
            for one in await read_placements(session)
            if one.spec.model.namespace == session.namespace
        ]
        buildable = [pool for pool in seen.pools if _is_current(pool, seen.settings) is not None]
        names = {pool.name for pool in buildable}
        emptied = compaction(placements, buildable, seen.settings, names)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for each in () if dry_run else emptied:
            await session.api.merge_patch(
                RAYSERVICES.ref(each.pool, session.namespace),
                {"metadata": {"annotations": {ANNOTATION_COMPACT: now}}},
            )
        return emptied

    emptied = ask(access, work)
    if output is not Format.TABLE:
        print_data([{"pool": one.pool, "moves": dict(one.targets)} for one in emptied], output)
        return
    if not emptied:
        print_note("No pool can be emptied into the others.")
        return
    rows = [(one.pool, model, target) for one in emptied for model, target in one.targets]
    print_table(("pool", "model", "into"), rows)
    if dry_run:
        print_note("Nothing was asked for: this is a dry run.")
    else:
        words = f"{access.words()}{f' -n {namespace}' if namespace else ''}"
        print_note(f"The operator moves them, one at a time: `slm pool list{words}` shows how far.")


async def _see(session: Session) -> _Seen:
    """Return the pools of the namespace.

    Raises:
        ApiError: They could not be read.
        CommandError: The operator's settings could not be read.
    """
    operators = await find_operators(session)
    settings = settings_of(operators[0]) if operators else None
    if settings is None:
        raise CommandError(
            "the operator's Deployment could not be found or read, and only its settings tell "
            f"which pools are current; `slm doctor{session.access.words() or ' --context NAME'}` "
            "tells what is there"
        )
    hub = await read_hub(session)
    pools = await read_pools(session, hub, session.namespace)
    if not pools:
        print_note(f"No pools in namespace {session.namespace}.")
    return _Seen(pools=pools, settings=settings.pools(hub))


def _is_current(pool: LivePool, settings: PoolSettings) -> bool | None:
    """Return whether a pool has today's template; None: none can be made for its workers."""
    try:
        return is_current(pool, settings)
    except PoolError:
        return None


def _state(pool: LivePool, settings: PoolSettings) -> str:
    if pool.deleting:
        return "Ending"
    if not _is_current(pool, settings):
        return "Outdated"
    return "Emptying" if pool.wish else "Open"


def _worker(pool: LivePool) -> str:
    worker = pool.key.worker
    devices = worker.accelerator
    return ", ".join(
        [
            f"{worker.cpu} CPU",
            worker.memory,
            *([f"{devices.count} {devices.class_}"] if devices else []),
        ]
    )


def _row(pool: LivePool, settings: PoolSettings) -> Sequence[str]:
    most = 1 if pool.key.dedicated_to else settings.models_per_pool
    return (
        pool.name,
        pool.key.worker.name,
        f"{len(pool.models)}/{most}",
        f"{HEAD_REQUESTS['cpu']} CPU, {HEAD_REQUESTS['memory']}",
        _worker(pool),
        f"0-{pool.key.worker.max_workers}",
        _state(pool, settings),
        ", ".join(sorted(pool.models)),
    )


def _data(pool: LivePool, settings: PoolSettings) -> dict[str, object]:
    return {
        "name": pool.name,
        "state": _state(pool, settings),
        "models": sorted(pool.models),
        "head": dict(HEAD_REQUESTS),
        "worker": pool.key.worker.model_dump(mode="json", by_alias=True, exclude_none=True),
        "dedicatedTo": pool.key.dedicated_to,
    }
