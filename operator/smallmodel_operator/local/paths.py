"""Where local mode keeps things: the XDG folders, and nothing beside the manifests."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_APPLICATION: Final = "smallmodel"


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / _APPLICATION


def cache_folder() -> Path:
    """Return where weights lie: `$XDG_CACHE_HOME/smallmodel/weights`."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "weights"


def secrets_folder() -> Path:
    """Return where a secret is a file of its name: `$XDG_CONFIG_HOME/smallmodel/secrets`."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "secrets"


def runs_folder() -> Path:
    """Return where each `slm up` has a folder: `$XDG_STATE_HOME/smallmodel/runs`."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "runs"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one `slm up`, named by its public port."""

    root: Path

    @classmethod
    def of_port(cls, port: int) -> "RunFolder":
        """Return the folder of the run at that public port, which need not exist."""
        return cls(runs_folder() / str(port))

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """What was started: `state.RunRecord`."""
        return self.root / "run.json"

    @property
    def status(self) -> Path:
        """What is true now: `state.RunStatus`."""
        return self.root / "status.json"

    @property
    def driver_log(self) -> Path:
        """The driver's own log."""
        return self.root / "driver.log"

    @property
    def envoy(self) -> Path:
        """Envoy's configuration files and log."""
        return self.root / "envoy"


@dataclass(frozen=True, slots=True)
class ScratchFolder:
    """A short-lived folder with a short path, because a Unix socket's path ends at 107 bytes."""

    root: Path

    @property
    def ray(self) -> Path:
        """Ray's sessions: sockets and logs."""
        return self.root / "ray"

    @property
    def haproxy(self) -> Path:
        """HAProxy's configuration, sockets and server state."""
        return self.root / "haproxy"

    @property
    def node(self) -> Path:
        """The node's memory ledger."""
        return self.root / "node"
