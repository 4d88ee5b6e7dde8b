"""What is told of passes that failed."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from smallmodel_operator.clusters import errors

_LOG: Final = logging.getLogger(__name__)


def log_failure(
    name: str, fields: Callable[[Any], Mapping[str, str]], conflicts: Counter[str]
) -> Callable[[Any, Exception], None]:
    """Return what is told of failures of a queue: what passes by itself is counted, and no more."""

    def failed(key: Any, error: Exception) -> None:
        text = key if isinstance(key, str) else "/".join(key)
        extra = fields(key)
        if isinstance(error, errors.Conflict):
            # Somebody else wrote a moment earlier, which is decided on at the next try.
            conflicts[name] += 1
            _LOG.debug("%s %s is tried again: %s", name, text, error, extra=extra)
        elif isinstance(error, errors.ApiError):
            _LOG.warning("%s %s is tried again: %s", name, text, error, extra=extra)
        else:
            message = "%s %s failed by a defect of this program"
            _LOG.error(message, name, text, exc_info=error, extra=extra)

    return failed
