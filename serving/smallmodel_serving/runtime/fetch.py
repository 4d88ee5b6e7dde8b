"""Fetch weights into the cache and print, as JSON lines, how far it has come.

Started by `slm up` as a child process, and in a cluster as a Job. Exit status 0 after `done`, 1
after `failed`, 143 when it was told to stop: what arrived so far stays, and the next run goes on
from there.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from smallmodel_operator.api.fetch import FetchDone, FetchEvent, FetchFailed
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import (
    SecretMissing,
    SourceNotSupported,
    WeightsError,
)
from smallmodel_serving.runtime.weights.progress import Teller
from smallmodel_serving.runtime.weights.sources import LocalSource, parse_source
from smallmodel_serving.runtime.weights.store import FetchRequest, fetch

TERMINATION_MESSAGE_MAX: Final = 4096
"""Bytes that Kubernetes keeps of a container's termination message."""

STOPPED: Final = 128 + signal.SIGTERM


class _Stopped(BaseException):
    """SIGTERM came, or nobody reads what is printed. Not an Exception: no handler may eat it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        last = _fetch(options)
        if options.termination_message is not None:
            options.termination_message.write_text(bounded(last))
        _print_or_stop(last)
    except (_Stopped, KeyboardInterrupt):
        return STOPPED
    return 0 if isinstance(last, FetchDone) else 1


def failure(error: WeightsError | OSError) -> FetchFailed:
    """Map any error that a fetch can end with: the one place where this is done."""
    if isinstance(error, WeightsError):
        return FetchFailed(reason=error.reason, message=str(error))
    return FetchFailed(
        reason=Reason.WEIGHTS_MISSING,
        message=f"the cache cannot be used ({error}); correct its permissions, or choose another "
        "folder",
    )


def bounded(event: FetchDone | FetchFailed) -> str:
    """Return the event as JSON that Kubernetes keeps whole as a termination message."""
    text = event.model_dump_json()
    excess = len(text.encode()) - TERMINATION_MESSAGE_MAX
    if excess <= 0:
        return text
    if isinstance(event, FetchDone):
        # Only a header that was made to be long can need this.
        return event.model_copy(update={"gguf": None}).model_dump_json()
    # Every character takes at least one byte, and the sign for what is missing three.
    shorter = f"{event.message[: -(excess + 3)]}…"
    return event.model_copy(update={"message": shorter}).model_dump_json()


def _fetch(options: argparse.Namespace) -> FetchDone | FetchFailed:
    tools = Tools()
    try:
        if options.no_file and isinstance(parse_source(options.uri), LocalSource):
            raise SourceNotSupported(
                f"{options.uri} names a file of one machine, and a cluster has many; put the file "
                "into a volume and name it as pvc://claim/path, or use another source"
            )
        request = FetchRequest(
            uri=options.uri,
            revision=options.revision,
            sha256=options.sha256,
            bytes=options.bytes,
            token=_token(options.token_file),
        )
        with Teller(tools.meter, _print_or_stop):
            return fetch(request, options.cache.absolute(), tools)
    except (WeightsError, OSError) as error:
        return failure(error)


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SecretMissing(
            f"the token file {path} cannot be read ({error.strerror}); check the secret"
        ) from error


def _print(event: FetchEvent) -> None:
    sys.stdout.write(f"{event.model_dump_json()}\n")
    sys.stdout.flush()


def _print_or_stop(event: FetchEvent) -> None:
    try:
        _print(event)
    except BrokenPipeError:
        # Who started this is gone: the main thread stops as if it had been told to. What is left in
        # the buffer goes nowhere, or Python would complain of it on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _Stopped


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which a contract test holds against the Jobs."""
    made = argparse.ArgumentParser(
        prog="python -m smallmodel_serving.runtime.fetch",
        description=(__doc__ or "").split("\n")[0],
    )
    made.add_argument("--uri", required=True, help="where the weights are")
    made.add_argument("--revision", help="the commit, tag or version at the source")
    made.add_argument("--sha256", type=_sha256, help="the file's digest")
    made.add_argument("--bytes", type=int, help="the file's size")
    made.add_argument("--token-file", type=Path, help="a file with a token, or with user:password")
    made.add_argument("--no-file", action="store_true", help="refuse file://, as in a cluster")
    made.add_argument(
        "--termination-message", type=Path, help="a file that gets the last line, in 4096 bytes"
    )
    made.add_argument("--cache", required=True, type=Path, help="the cache's folder")
    return made


def _sha256(text: str) -> str:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not 64 lower-case hexadecimal digits")
    return text


if __name__ == "__main__":
    sys.exit(main())
