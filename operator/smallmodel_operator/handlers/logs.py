"""Logs: one JSON object a line for machines, or text for people at a terminal."""

import datetime
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Final, TypeVar

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_STANDARD: Final = frozenset(
    logging.LogRecord("", 0, "", 0, "", None, None).__dict__ | {"message": "", "asctime": ""}
)
_QUIET: Final = ("aiohttp.access", "httpx", "httpcore", "kopf.objects")

_WORKED_ON: Final[ContextVar[Mapping[str, str]]] = ContextVar("worked_on")

Key = TypeVar("Key")
Result = TypeVar("Result")


def named(
    work: Callable[[Key], Awaitable[Result]], fields: Callable[[Key], Mapping[str, str]]
) -> Callable[[Key], Awaitable[Result]]:
    """Return the same work, of which every line of the log has the object's name.

    Args:
        work: Done for a key.
        fields: Names the object of a key, by the fields that lines get.
    """

    async def with_name(key: Key) -> Result:
        token = _WORKED_ON.set(fields(key))
        try:
            return await work(key)
        finally:
            _WORKED_ON.reset(token)

    return with_name


class JsonFormatter(logging.Formatter):
    """One object a line; what was given as `extra` becomes fields of it, and so does its name."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _WORKED_ON.get({})
        line |= {
            name: value if isinstance(value, int | float | bool) else str(value)
            for name, value in record.__dict__.items()
            if name not in _STANDARD and not name.startswith("_")
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(*, level: str, as_json: bool) -> None:
    """Write this process's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
