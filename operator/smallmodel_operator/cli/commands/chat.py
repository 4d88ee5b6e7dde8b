"""`slm chat`: talk to a model in the terminal."""

import contextlib
import sys
from typing import Annotated, Final

import typer

from smallmodel_operator.cli.answers import ApiError, Endpoint, Message, connect
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import print_note
from smallmodel_operator.cli.runs import PortOption, find_model, live_run, status_of
from smallmodel_operator.status.state import State

_PROMPT: Final = ">>> "
_NOTES: Final = {
    State.ASLEEP: "The model is asleep; the first answer takes about a second longer.",
    State.PARKED: "The model is parked; the first answer takes a few seconds longer.",
    State.PENDING: "The model is not ready yet; the first answer waits for it.",
    State.FETCHING: "The weights are still being fetched; `slm get` shows how far it is.",
    State.STARTING: "The model is starting; the first answer waits for it.",
    State.FAILED: "The model has failed; `slm describe` says why.",
}


def chat(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    port: PortOption = None,
    once: Annotated[
        str | None, typer.Option("--once", metavar="PROMPT", help="Ask this, and exit.")
    ] = None,
) -> None:
    """Talk to a model. What is piped in is one prompt; /exit or Ctrl-D ends a conversation."""
    run = live_run(port)
    report = find_model(status_of(run), name)
    announce(report.state)
    endpoint = connect(run.record.url, name)
    talk(endpoint, once)


def announce(state: State) -> None:
    """Say how long the first answer takes, where it is not told at once."""
    if note := _NOTES.get(state):
        print_note(note)


def talk(endpoint: Endpoint, once: str | None) -> None:
    """Ask one prompt, or what is piped in, or have a conversation.

    Raises:
        CommandError: The prompt is empty, or the endpoint refuses.
    """
    with endpoint.client:
        if once is not None:
            _ask_once(endpoint, once)
        elif sys.stdin.isatty():
            _converse(endpoint)
        else:
            _ask_once(endpoint, sys.stdin.read())


def _ask_once(endpoint: Endpoint, prompt: str) -> None:
    if not prompt.strip():
        raise CommandError(
            "the prompt is empty; write it after --once or pipe it in", ExitCode.USAGE
        )
    try:
        for piece in endpoint.stream([Message("user", prompt)]):
            _write(piece)
    except ApiError as error:
        raise CommandError(str(error)) from error
    _write("\n")


def _converse(endpoint: Endpoint) -> None:
    _edit_lines()
    print_note("Ctrl-C stops an answer; /exit or Ctrl-D ends.")
    history: list[Message] = []
    while (prompt := _read_prompt()) is not None:
        if not prompt:
            continue
        turn = Message("user", prompt)
        answer, failure = _answer(endpoint, [*history, turn])
        if failure:
            print_note(f"Error: {failure}")
        if answer:
            # What was said stays said: a stopped answer is part of the conversation too.
            history += [turn, Message("assistant", answer)]


def _answer(endpoint: Endpoint, messages: list[Message]) -> tuple[str, str | None]:
    """Print one answer; return its text, as far as it came, and what went wrong."""
    received: list[str] = []
    failure: str | None = None
    with contextlib.closing(endpoint.stream(messages)) as stream:
        try:
            for piece in stream:
                received.append(piece)
                _write(piece)
        except KeyboardInterrupt:
            received.append("")
            _write(" [stopped]")
        except ApiError as error:
            failure = str(error)
    if received:
        _write("\n")
    return "".join(received), failure


def _read_prompt() -> str | None:
    """Return the next line; None where the user ends the conversation."""
    while True:
        try:
            line = input(_PROMPT).strip()
        except EOFError:
            _write("\n")
            return None
        except KeyboardInterrupt:
            print_note("\nUse /exit or Ctrl-D to end.")
        else:
            return None if line in {"/exit", "/quit"} else line


def _edit_lines() -> None:
    """Give `input` arrow keys and a history, where this Python was built with them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - importing it is what changes `input`


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
