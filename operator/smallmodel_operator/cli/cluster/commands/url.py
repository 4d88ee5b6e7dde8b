"""`slm url`: the base URL of a namespace's models, inside the cluster or on this machine."""

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from smallmodel_operator.cli.cluster.installed import gateway_port
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import read_model
from smallmodel_operator.cli.cluster.session import Session, ask, held
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import print_note, print_text


def url(
    name: Annotated[
        str | None, typer.Argument(help="A SmallModel; with --forward none is needed.")
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    forward: Annotated[
        bool,
        typer.Option("--forward", help="Lead a port of this machine there, until Ctrl-C."),
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="That port; 0: any free one.")
    ] = 0,
) -> None:
    """Print a model's base URL for any OpenAI client in the cluster, or one on this machine."""
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)
    if forward:
        _forward(access, name, port)
        return
    if name is None:
        raise CommandError(
            "say which model's URL: `slm url NAME`; or `slm url --forward` for all models of the "
            "namespace",
            ExitCode.USAGE,
        )

    async def work(session: Session) -> str:
        model = await read_model(session, name)
        if model.status.url is None:
            raise CommandError(
                f"SmallModel {session.namespace}/{name} has no URL yet, because no operator has "
                f"looked at it; `slm doctor{access.words()}` tells whether one runs"
            )
        return model.status.url

    print_text(ask(access, work))


def _forward(access: Access, name: str | None, port: int) -> None:
    @asynccontextmanager
    async def hold(session: Session) -> AsyncIterator[str]:
        if name is not None:
            await read_model(session, name)
        async with gateway_port(session, port) as base_url:
            yield base_url

    with held(access, hold) as base_url:
        print_text(base_url)
        print_note("This leads to the gateway until Ctrl-C.")
        _wait_for_the_end()


def _wait_for_the_end() -> None:
    """Return at Ctrl-C or when the process is told to stop."""
    stop = threading.Event()
    former = {
        each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        stop.wait()
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
