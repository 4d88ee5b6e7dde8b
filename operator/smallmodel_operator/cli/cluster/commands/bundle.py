"""`slm bundle`: files that are carried to a cluster that no line reaches, and back."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from smallmodel_operator.api.bundle import BundleKind
from smallmodel_operator.cli.cluster.bundles.hub import Told, export_placements, import_status
from smallmodel_operator.cli.cluster.bundles.member import (
    Allowed,
    Taken,
    export_status,
    import_placements,
)
from smallmodel_operator.cli.cluster.bundles.opening import read_file, read_head
from smallmodel_operator.cli.cluster.options import Access, ContextOption, KubeconfigOption
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import print_note, print_table, print_text

_ONE_OF: Final = (
    "say what is written: the name of a cluster on its hub, or --status in the cluster itself"
)

app = typer.Typer(
    help="Files for a cluster that no line reaches: what is decided goes there, what became of it "
    "comes back.",
    no_args_is_help=True,
)


@app.command("export")
def export(
    cluster: Annotated[
        str | None, typer.Argument(help="On the hub: the ModelCluster that the file is for.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="In the cluster: what it has to tell its hub.")
    ] = False,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print a signed file: all that the hub decided for a cluster, or what became of it there."""
    if status is (cluster is not None):
        raise CommandError(_ONE_OF, ExitCode.USAGE)

    async def work(session: Session) -> str:
        if cluster is not None:
            return await export_placements(session, cluster)
        return await export_status(session)

    sys.stdout.write(ask(Access(context=context, kubeconfig=kubeconfig), work))


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="What `slm bundle export` wrote on the other side.")],
    roll_back: Annotated[
        bool,
        typer.Option("--roll-back", help="Take an older file than the last; it deletes nothing."),
    ] = False,
    allow_deletions: Annotated[
        bool, typer.Option("--allow-deletions", help="Let it end many models.")
    ] = False,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Take a file of the other side: a hub's in its cluster, a cluster's on its hub.

    Signature, hub, cluster and serial are checked before anything is done. A model that cannot be
    taken is told with the reason, and the others go on.
    """
    content = read_file(file)
    envelope = read_head(content, file)
    access = Access(context=context, kubeconfig=kubeconfig)
    if envelope.head.kind is BundleKind.STATUS:
        told = ask(access, lambda session: import_status(session, envelope, file))
        _tell(told)
        return
    allowed = Allowed(roll_back=roll_back, deletions=allow_deletions)
    _show(ask(access, lambda session: import_placements(session, envelope, content, file, allowed)))


def _tell(told: Told) -> None:
    file = f"the hub's file {told.applied}" if told.applied else "no file of the hub"
    print_text(
        f"{told.cluster} told of {told.exported_at}: it had taken {file}; "
        f"{len(told.changed)} of {told.count} placements have news"
    )


def _show(taken: Taken) -> None:
    steps = taken.coming.steps
    carried = sum(step.orders.apply is not None and step.problem is None for step in steps)
    print_text(
        f"{taken.cluster} has file {taken.serial} of its hub: {len(steps)} models, {carried} new "
        f"or changed, {len(taken.coming.deletions)} ending, {len(taken.refused)} refused"
    )
    for edit in taken.edits:
        print_note(f"{edit}. It is set back to what the hub decided.")
    if taken.coming.orphans:
        print_note(
            f"Not in the file, and served on: {', '.join(taken.coming.orphans)}. To end one, "
            "delete its ModelPlacement here."
        )
    if taken.refused:
        rows = [(model, problem.reason, problem.message) for model, problem in taken.refused]
        print_table(("model", "reason", "message"), rows)
        raise CommandError(
            f"{len(taken.refused)} of {len(steps)} models are not served by this file; where you "
            "correct what is said here, import it again"
        )
