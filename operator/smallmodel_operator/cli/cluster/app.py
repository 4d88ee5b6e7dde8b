"""The commands of `slm` that speak to a cluster."""

from typing import Annotated

import typer

from smallmodel_operator.cli.cluster.commands import (
    bundle,
    chat,
    clusters,
    describe,
    doctor,
    explain,
    get,
    logs,
    plan,
    pool,
    snapshot,
    url,
    validate,
)

app = typer.Typer(
    name="kubectl slm",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(get.get)
app.command()(describe.describe)
app.command()(explain.explain)
app.command()(chat.chat)
app.command()(url.url)
app.command()(logs.logs)
app.command()(validate.validate)
app.command()(plan.plan)
app.command()(doctor.doctor)
app.command()(snapshot.snapshot)
app.add_typer(pool.app, name="pool")
app.add_typer(clusters.app, name="cluster")
app.add_typer(bundle.app, name="bundle")


@app.callback(epilog="The commands catalog, crd, version and whatif of slm are there, too.")
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """Small language models in a Kubernetes cluster.

    The same as slm with one of --context, --kubeconfig, -n and -A, or with SLM_TARGET=cluster.
    """
