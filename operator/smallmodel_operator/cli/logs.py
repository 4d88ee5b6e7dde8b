"""Log files: which ones speak of a model, their last lines, and what is appended to them."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_ACTOR_MARK: Final = ":actor_name:ServeReplica:{name}:"
"""Ray's second line of a worker's output; Serve names a replica by application, deployment."""
_HEAD_BYTES: Final = 512
_POLL_SECONDS: Final = 0.3


def model_logs(ray_logs: Path, name: str) -> tuple[Path, ...]:
    """Return the logs of a model's replicas and of the engines in them, oldest first.

    Serve writes `serve/replica_<application>_<deployment>_<id>.log`. What an engine prints goes to
    Ray's worker files, whose first lines name the actor. An application's name has no underscore,
    so no other model's file can match.

    Args:
        ray_logs: `logs` of a Ray session.
        name: The model, which is its application's name.
    """
    serve = ray_logs.glob(f"serve/replica_{name}_*.log")
    workers = (
        path.with_suffix(suffix)
        for path in ray_logs.glob("worker-*.out")
        if _ACTOR_MARK.format(name=name) in _head(path)
        for suffix in (".out", ".err")
    )
    return by_age(path for path in (*serve, *workers) if path.is_file())


def by_age(paths: Iterator[Path]) -> tuple[Path, ...]:
    """Return files by when they were last written, and by name where that is equal."""
    return tuple(sorted(paths, key=lambda path: (path.stat().st_mtime, path.name)))


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a file, and how many bytes the file had when they were read."""

    lines: tuple[str, ...]
    end: int


def read_tail(path: Path, count: int) -> Tail:
    """Return at most that many last lines of a file, Ray's own marks left out."""
    with path.open("rb") as file:
        lines = deque((line for line in _lines(file.read()) if not _is_mark(line)), maxlen=count)
        return Tail(tuple(lines), file.tell())


@dataclass(slots=True)
class Follower:
    """Reads what is appended to files, from known offsets on; new files from their start."""

    offsets: dict[Path, int] = field(default_factory=dict)

    def read_new(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Yield each complete line that was appended since the last call, with its file."""
        for path in paths:
            offset = self.offsets.get(path, 0)
            if path.stat().st_size < offset:
                # The file was rotated: what is there now is all new.
                offset = 0
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read()
            complete = content[: content.rfind(b"\n") + 1]
            self.offsets[path] = offset + len(complete)
            for line in _lines(complete):
                if not _is_mark(line):
                    yield path, line

    def pause(self) -> None:
        """Wait until it is worth looking again."""
        time.sleep(_POLL_SECONDS)


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES).decode("utf-8", errors="replace")


def _is_mark(line: str) -> bool:
    return line.startswith((":job_id:", ":actor_name:", ":task_name:"))


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", errors="replace").splitlines()
