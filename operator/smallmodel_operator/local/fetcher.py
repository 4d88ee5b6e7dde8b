"""Runs the fetch program as a child process and reads what it prints."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.fetch import FETCH_EVENTS, FetchDone, FetchEvent, FetchFailed
from smallmodel_operator.api.reasons import Reason

_PROGRAM: Final = "smallmodel_serving.runtime.fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """Which weights, and what is known of them."""

    uri: str
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    token_file: Path | None = None

    def arguments(self, cache: Path) -> list[str]:
        """Return the program's command line."""
        optional = {
            "--revision": self.revision,
            "--sha256": self.sha256,
            "--bytes": self.bytes,
            "--token-file": self.token_file,
        }
        pairs = [(flag, str(value)) for flag, value in optional.items() if value is not None]
        given = [word for pair in pairs for word in pair]
        return ["--uri", self.uri, *given, "--cache", str(cache)]


async def fetch(request: FetchRequest, cache: Path) -> AsyncIterator[FetchEvent]:
    """Yield what the fetch program reports; the last event is `FetchDone` or `FetchFailed`.

    Closing the iterator stops the program, which keeps the partial file for the next time.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _PROGRAM,
        *request.arguments(cache),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both were asked for as pipes")
    ended = False
    errors = asyncio.create_task(process.stderr.read())
    try:
        async for line in process.stdout:
            event = _parse(line)
            ended = isinstance(event, FetchDone | FetchFailed)
            yield event
        if not ended:
            tail = (await errors).decode(errors="replace").strip()[-500:]
            yield FetchFailed(
                reason=Reason.SOURCE_UNREACHABLE,
                message=f"fetching {request.uri} ended with code {await process.wait()}: {tail}",
            )
    finally:
        errors.cancel()
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _parse(line: bytes) -> FetchEvent:
    try:
        return FETCH_EVENTS.validate_json(line)
    except ValidationError as error:
        raise RuntimeError(f"the fetch program printed {line!r}, which is no event") from error
