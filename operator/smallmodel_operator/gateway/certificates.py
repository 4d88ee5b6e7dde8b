"""The mounted Secret with the gateway's certificate, as the files that Envoy discovers it by.

Envoy finds them at its start, with or without a Secret, and takes another certificate for new
connections: what streams goes on with the one that it began with.
"""

import logging
import os
from pathlib import Path
from typing import Final

from smallmodel_operator.plan.gateway.secret_files import (
    CERTIFICATE,
    KEY,
    TRUSTED,
    secret_files,
)

_PRIVATE: Final = 0o600

_log: Final = logging.getLogger(__name__)


class Certificates:
    """The files of one Envoy."""

    def __init__(self, secret: Path, folder: Path) -> None:
        """Make it.

        Args:
            secret: Where the Secret is mounted. It may not be there yet.
            folder: Where Envoy looks.
        """
        self._secret = secret
        self._folder = folder

    def keep(self) -> None:
        """Have Envoy's files say what the Secret says.

        Raises:
            OSError: The folder cannot be written.
        """
        entries = {name: found for name in _ENTRIES if (found := _read(self._secret / name))}
        changed = False
        for name, text in secret_files(entries).items():
            path = self._folder / name
            there = _read(path)
            if there is not None and (there == text.encode() or len(entries) < len(_ENTRIES)):
                # A Secret that is gone takes no certificate away.
                continue
            self._folder.mkdir(parents=True, exist_ok=True)
            _replace(path, text)
            changed = True
        if changed:
            what = "another certificate is" if entries else "no certificate for other gateways is"
            _log.info("%s in use", what)


_ENTRIES: Final = (CERTIFICATE, KEY, TRUSTED)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    """Write it beside, and rename it: Envoy is told of the rename alone."""
    new = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w") as file:
        file.write(text)
    os.replace(new, path)
