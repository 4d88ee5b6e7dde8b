"""What one `slm up` writes for the other commands to read, and how it is written."""

import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.local.paths import RunFolder, runs_folder
from smallmodel_operator.status.state import State

_Kind = TypeVar("_Kind", bound=ApiModel)


class RunRecord(ApiModel):
    """What was started, written once: enough to find and end every process of the run."""

    run_id: str
    """In the environment of every process of the run, as `SMALLMODEL_RUN_ID`."""
    supervisor_pid: int
    supervisor_start: float
    """The supervisor's creation time, in seconds since the epoch: pids are used again."""
    scratch: str
    """The run's folder of sockets and Ray logs, removed when it stops."""
    host: str
    port: int
    paths: tuple[str, ...]
    """The files and folders that were given."""

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://{self.host}:{self.port}/v1"


class SizeReport(ApiModel):
    """The memory arithmetic of one replica, in bytes."""

    weights: int
    kv_cache: int
    compute: int
    process: int
    total: int
    kv_bytes_per_token: int
    context_length: int
    slots: int


class OptionReport(ApiModel):
    """A variant that was not taken, and why."""

    variant: str
    reason: str
    message: str


class ModelReport(ApiModel):
    """One model, as `slm get` and `slm describe` show it."""

    file: str
    """The manifest it came from."""
    model: SmallModel
    """The manifest with its status."""
    state: State
    engine_url: str | None = None
    """Base URL past the gateway: `/<model>/v1` at Serve's own front."""
    engine: Engine | None = None
    size: SizeReport | None = None
    max_replicas: int | None = None
    threads: int | None = None
    rejected: tuple[OptionReport, ...] = ()
    recent_errors: tuple[str, ...] = ()
    """The last few failures, oldest first, each with its time."""


class ProblemReport(ApiModel):
    """A manifest, or a part of one, that was not taken."""

    file: str
    line: int | None = None
    field: str | None = None
    message: str


class Phase(StrEnum):
    """How far the run itself is."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"


class RunStatus(ApiModel):
    """What is true now; written when a fact changes, not when time passes."""

    phase: Phase
    driver_pid: int
    memory_bytes: int
    """What models may use together."""
    models: tuple[ModelReport, ...] = ()
    problems: tuple[ProblemReport, ...] = ()
    ray_logs: str | None = None
    """The folder with the logs of Ray and Serve."""
    ports: dict[str, int] = Field(default_factory=dict)
    """Every port that the run listens on, by what listens there."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def read_record(folder: RunFolder) -> RunRecord | None:
    """Return what was started there, or None where nothing readable is recorded."""
    return _read(folder.run, RunRecord)


def read_status(folder: RunFolder) -> RunStatus | None:
    """Return the last written status, or None where there is none."""
    return _read(folder.status, RunStatus)


def known_runs() -> tuple[RunFolder, ...]:
    """Return the folders of all runs that left one, live or dead, by port."""
    root = runs_folder()
    if not root.is_dir():
        return ()
    ports = sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdigit())
    return tuple(RunFolder.of_port(port) for port in ports)


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
