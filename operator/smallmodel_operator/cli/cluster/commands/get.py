"""`slm get` of a cluster: the SmallModels of a namespace, or of all."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import SeenModel, read_model, read_models
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import (
    WideFormat,
    WideOutputOption,
    print_data,
    print_note,
    print_table,
)
from smallmodel_operator.status.state import find

_COLUMNS: Final = ("name", "model", "engine", "variant", "replicas", "state", "url")
_WIDE_COLUMNS: Final = ("reason", "pool", "message")


def get(
    name: Annotated[str | None, typer.Argument(help="One SmallModel; default: all.")] = None,
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")
    ] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: WideOutputOption = WideFormat.TABLE,
) -> None:
    """Show the SmallModels of a namespace: one row each, or the objects with their status."""
    if name and everywhere:
        raise CommandError(
            f"{name} is one model of one namespace; give -n NAMESPACE instead of -A, or no name",
            ExitCode.USAGE,
        )
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> tuple[SeenModel, ...]:
        if name:
            return (await read_model(session, name),)
        models = await read_models(session, everywhere=everywhere)
        if not models:
            where = "in any namespace" if everywhere else f"in namespace {session.namespace}"
            print_note(f"No SmallModels {where}.")
        return models

    models = ask(access, work)
    if output in (WideFormat.YAML, WideFormat.JSON):
        from smallmodel_operator.clusters.ref import without_managed_fields

        objects = [without_managed_fields(one.manifest) for one in models]
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        print_data(objects[0] if name else listed, output)
    elif models:
        wide = output is WideFormat.WIDE
        columns = (*_COLUMNS, *(_WIDE_COLUMNS if wide else ()))
        rows = [_row(one, wide=wide) for one in models]
        if everywhere:
            columns = ("namespace", *columns)
            rows = [(one.metadata.namespace, *row) for one, row in zip(models, rows, strict=True)]
        print_table(columns, rows)


def _row(model: SeenModel, *, wide: bool) -> Sequence[str]:
    status = model.status
    row = (
        model.metadata.name,
        model.weights,
        status.engine or "",
        status.variant or "",
        f"{status.replicas}/{model.most_replicas}",
        model.state,
        status.url or "",
    )
    if not wide:
        return row
    ready = find(status, ConditionType.READY)
    pools = ", ".join(copy.pool for copy in status.copies if copy.pool)
    return (*row, ready.reason if ready else "", pools, ready.message if ready else "")
