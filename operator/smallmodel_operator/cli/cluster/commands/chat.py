"""`slm chat` with a model of a cluster, through a port-forward of its own to the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from smallmodel_operator.cli.answers import connect
from smallmodel_operator.cli.cluster.installed import gateway_port
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NameArgument,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import read_model
from smallmodel_operator.cli.cluster.session import Session, held
from smallmodel_operator.cli.commands.chat import announce, talk
from smallmodel_operator.status.state import State


def chat(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    once: Annotated[
        str | None, typer.Option("--once", metavar="PROMPT", help="Ask this, and exit.")
    ] = None,
) -> None:
    """Talk to a model. What is piped in is one prompt; /exit or Ctrl-D ends a conversation."""
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    @asynccontextmanager
    async def hold(session: Session) -> AsyncIterator[tuple[State, str]]:
        model = await read_model(session, name)
        async with gateway_port(session) as base_url:
            yield model.state, base_url

    with held(access, hold) as (state, base_url):
        announce(state)
        talk(connect(base_url, name), once)
