"""`slm up`: serve manifests until stopped."""

import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from smallmodel_operator.cli.errors import CommandError, ExitCode

DEFAULT_PORT: Final = 8080


class Progress(StrEnum):
    """How `slm up` tells what it does."""

    TEXT = "text"
    JSON = "json"


def up(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR…", help="Manifests, and folders of them.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The public port.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    watch: Annotated[bool, typer.Option(help="Apply manifests again when they change.")] = True,
    memory: Annotated[
        str | None,
        typer.Option(help="What models may use together, such as 4Gi; default: what is there."),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Start Ray's dashboard on loopback too.")
    ] = False,
    ask: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="When ready, ask the first model this, once."),
    ] = None,
    output: Annotated[
        Progress, typer.Option("--output", "-o", help="Text, or one JSON object a line.")
    ] = Progress.TEXT,
) -> None:
    """Serve the models of manifests behind one OpenAI-compatible endpoint, until stopped."""
    from smallmodel_operator.cli.output import console
    from smallmodel_operator.cli.progress import Bars, JsonLines, Lines
    from smallmodel_operator.local import supervisor
    from smallmodel_operator.local.events import DriverEvent, SettledEvent, StopEvent

    _refuse_missing(paths)
    _refuse_bad_memory(memory)
    as_text = output is Progress.TEXT
    pretty = Bars if sys.stdout.isatty() else Lines
    view = pretty(console()) if as_text else JsonLines(console())
    greeting = _Greeting(port, ask)

    def show(event: DriverEvent) -> None:
        view.show(event)
        if isinstance(event, SettledEvent) and as_text:
            greeting.give()
        if isinstance(event, StopEvent) and event.error is None and as_text:
            console().print("Stopped.")

    with view:
        code = supervisor.run(
            tuple(paths),
            host=host,
            port=port,
            watch=watch,
            memory=memory,
            dashboard=dashboard,
            show=show,
        )
    if code:
        raise typer.Exit(code)


class _Greeting:
    """What is printed once the models are up: the table, an answer, and how to ask by oneself."""

    def __init__(self, port: int, ask: str | None) -> None:
        self._port = port
        self._ask = ask
        self._given = False

    def give(self) -> None:
        """Print the table; the first time, the answer and the curl line too.

        In a thread of its own, so that the driver's events are read on meanwhile.
        """
        _in_background(self._print)

    def _print(self) -> None:
        from smallmodel_operator.cli.answers import ApiError, Message, connect
        from smallmodel_operator.cli.models import print_models
        from smallmodel_operator.cli.output import print_text
        from smallmodel_operator.cli.runs import live_run, status_of
        from smallmodel_operator.status.state import State

        run = live_run(self._port)
        reports = status_of(run).models
        print_models(reports)
        serving = [r for r in reports if r.state in {State.READY, State.ASLEEP, State.PARKED}]
        if self._given or not serving:
            return
        self._given = True
        name, url = serving[0].model.metadata.name, run.record.url
        if self._ask:
            print_text(f"\n> {self._ask}")
            endpoint = connect(url, name)
            try:
                with endpoint.client:
                    for piece in endpoint.stream([Message("user", self._ask)]):
                        sys.stdout.write(piece)
                        sys.stdout.flush()
            except ApiError as error:
                print_text(f"no answer: {error}")
        print_text(f"\n\nOPENAI_BASE_URL={url}\n\n{_curl(url, name)}\n\nCtrl-C stops.")


def _curl(url: str, name: str) -> str:
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return f"curl {url}/chat/completions -d '{body}'"


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _refuse_missing(paths: list[Path]) -> None:
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise CommandError(
            f"{', '.join(missing)}: no such file or folder; name a manifest such as "
            "examples/chat.yaml",
            ExitCode.USAGE,
        )


def _refuse_bad_memory(memory: str | None) -> None:
    from smallmodel_operator.api.base import amount

    if memory is None:
        return
    try:
        amount(memory)
    except ValueError as error:
        raise CommandError(f"--memory {error}", ExitCode.USAGE) from error
