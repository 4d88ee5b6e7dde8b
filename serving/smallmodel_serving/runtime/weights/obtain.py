"""Weights that a replica fetches for itself, on a worker whose volume is gone with it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.fetch import FETCH_EVENTS, FetchDone, FetchEvent, FetchFailed
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import FETCH_ENVIRONMENT_VARIABLE, ModelArgs, WeightsSource
from smallmodel_serving.runtime.engine import EngineError
from smallmodel_serving.runtime.weights.errors import WeightsError
from smallmodel_serving.runtime.weights.verify import open_verified

PROGRAM: Final = "smallmodel_serving.runtime.fetch"


def obtain(args: ModelArgs, environment: Mapping[str, str] = os.environ) -> None:
    """Have the weights there, where the arguments say from where; blocks until they are.

    Another replica of the worker that fetches the same is waited for.

    Args:
        args: Of the model.
        environment: Of this process; what is meant for fetching is in one variable of it.

    Raises:
        EngineError: They could not be fetched, and why.
    """
    if args.source is None or _is_there(args):
        return
    # A process of its own: what fetching imports would otherwise stay in memory for good.
    ended = subprocess.run(
        [sys.executable, "-m", PROGRAM, *_words(args.source)],
        check=False,
        capture_output=True,
        text=True,
        env=_fetch_environment(environment),
    )
    last = _last_event(ended.stdout)
    if isinstance(last, FetchFailed):
        raise EngineError(last.reason, last.message)
    if not isinstance(last, FetchDone):
        said = ended.stderr.strip().rpartition("\n")[2] or "nothing"
        raise EngineError(
            Reason.SOURCE_UNREACHABLE,
            f"The fetch of {args.source.uri} ended with status {ended.returncode} and no result; "
            f"it said: {said}. It is tried again with the next request.",
        )


def _is_there(args: ModelArgs) -> bool:
    try:
        open_verified(Path(args.weights), args.sha256)
    except WeightsError:
        return False
    return True


def _words(source: WeightsSource) -> list[str]:
    optional = {
        "--revision": source.revision,
        "--sha256": source.sha256,
        "--bytes": source.bytes,
    }
    words = [f"{flag}={value}" for flag, value in optional.items() if value is not None]
    return [f"--uri={source.uri}", f"--cache={source.cache}", "--no-file", *words]


def _fetch_environment(environment: Mapping[str, str]) -> dict[str, str]:
    told = environment.get(FETCH_ENVIRONMENT_VARIABLE)
    return dict(environment) | (json.loads(told) if told else {})


def _last_event(text: str) -> FetchEvent | None:
    for line in reversed(text.splitlines()):
        try:
            return FETCH_EVENTS.validate_json(line)
        except ValidationError:
            # A warning of a library.
            continue
    return None
