"""The entry of `slm`: its commands, and the one place where errors become exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from smallmodel_operator import __version__
from smallmodel_operator.cli.commands import (
    catalog,
    chat,
    crd,
    describe,
    doctor,
    down,
    get,
    logs,
    plan,
    up,
    validate,
    whatif,
)
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import print_note, print_text
from smallmodel_operator.cli.target import VARIABLE, Target, choose_target
from smallmodel_operator.local.errors import (
    AlreadyRunning,
    LocalError,
    NotRunning,
    PlatformUnsupported,
    PortTaken,
)

_PLATFORMS: Final = ("linux",)

_LOCAL_ERRORS: Final[dict[type[LocalError], ExitCode]] = {
    AlreadyRunning: ExitCode.PORT_TAKEN,
    NotRunning: ExitCode.NOT_FOUND,
    PlatformUnsupported: ExitCode.PLATFORM,
    PortTaken: ExitCode.PORT_TAKEN,
}

app = typer.Typer(
    name="slm",
    help="Small language models from one manifest, behind an OpenAI-compatible endpoint.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(get.get)
app.command()(describe.describe)
app.command()(chat.chat)
app.command()(logs.logs)
app.command()(up.up)
app.command()(down.down)
app.command()(validate.validate)
app.command()(plan.plan)
app.command()(whatif.whatif)
app.command()(crd.crd)
app.add_typer(catalog.app, name="catalog")
app.command()(doctor.doctor)


@app.callback(
    epilog="With one of --context, --kubeconfig, --namespace (-n) and --all-namespaces (-A), or "
    "with SLM_TARGET=cluster, commands speak to a Kubernetes cluster: see `slm url --help` and "
    "`kubectl slm --help`."
)
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """Small language models from one manifest, behind an OpenAI-compatible endpoint."""


@app.command()
def version() -> None:
    """Print the version."""
    print_text(f"slm {__version__}")


def run() -> None:
    """Run the command line of this process, and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def run_plugin() -> None:
    """Run the command line of `kubectl slm`, which speaks to a cluster, and exit with its code."""
    os.environ[VARIABLE] = Target.CLUSTER
    sys.exit(main(sys.argv[1:], program="kubectl slm"))


def main(arguments: Sequence[str], *, program: str = "slm") -> int:
    """Run one command and return its exit code.

    Every failure ends here: one message on standard error, and a code that
    `docs/reference/exit-codes.md` explains.
    """
    try:
        chosen = _app(choose_target(arguments, os.environ))
        typer.main.get_command(chosen)(args=list(arguments), prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.FAILED
    except CommandError as error:
        _show_traceback(arguments)
        print_note(f"Error: {error.message}")
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except LocalError as error:
        _show_traceback(arguments)
        print_note(f"Error: {error}")
        return _LOCAL_ERRORS.get(type(error), ExitCode.FAILED)
    except Exception as error:
        _show_traceback(arguments)
        print_note(f"Error: {_describe(error)}")
        return ExitCode.FAILED
    return ExitCode.OK


def _app(target: Target) -> typer.Typer:
    if target is Target.CLUSTER:
        from smallmodel_operator.cli.cluster.app import app as cluster_app

        return cluster_app
    _refuse_other_platforms()
    return app


def _refuse_other_platforms() -> None:
    if sys.platform not in _PLATFORMS:
        raise CommandError(
            f"slm runs on Linux, and this is {sys.platform}: Ray's HAProxy mode and the engine's "
            "packages exist for Linux alone. Use a Linux virtual machine or container, for example "
            "`docker run -it -p 8080:8080 python:3.12-slim`, and install it there.",
            ExitCode.PLATFORM,
        )


def _show_traceback(arguments: Sequence[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exc()


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return (
        f"{type(error).__name__}: {error}. This was not foreseen; `slm --debug …` shows where it "
        "happened, which belongs in a bug report."
    )
