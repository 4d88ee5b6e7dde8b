"""The options by which a command finds its cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

ContextOption = Annotated[
    str | None, typer.Option("--context", help="The context of the kubeconfig; default: current.")
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="The kubeconfig; default: KUBECONFIG, ~/.kube/config."),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace; default: the context's.")
]
NameArgument = Annotated[str, typer.Argument(help="The SmallModel's name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which cluster is meant, and which namespace of it."""

    context: str | None = None
    kubeconfig: Path | None = None
    namespace: str | None = None

    def words(self) -> str:
        """Return the options that name this cluster to another command, each after a space."""
        given = (("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return "".join(f" {option} {value}" for option, value in given if value)
