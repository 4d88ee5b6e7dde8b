"""One file from a source into the cache: resumed after a cut, hashed on the way, checked.

What arrives is written to `<file>.partial`. Beside it lies which version of the remote file it is
a part of, so that bytes of two versions never end in one file.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage
from typing import Any, BinaryIO, Final, Protocol, Self

from pydantic import ValidationError

from smallmodel_operator.api.base import ApiModel, human_bytes
from smallmodel_operator.api.fetch import CLAIMS_FOLDER
from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    DiskFull,
    InvalidWeights,
    SourceCut,
)
from smallmodel_serving.runtime.weights.progress import Meter
from smallmodel_serving.runtime.weights.retry import wait_or_give_up

_BLOCK: Final = 1 << 20


def free_bytes_at(path: Path) -> int:
    """Return what the file system that holds `path` has free."""
    return disk_usage(path).free


def storage_filesystem(scheme: str) -> Any:
    """Return the fsspec file system that reads a scheme.

    Raises:
        ImportError: Its package is not installed.
    """
    import fsspec

    return fsspec.filesystem(scheme)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a fetch needs from outside; tests give their own."""

    meter: Meter = field(default_factory=Meter)
    free_bytes: Callable[[Path], int] = free_bytes_at
    sleep: Callable[[float], None] = time.sleep
    filesystem: Callable[[str], Any] = storage_filesystem
    """From a scheme such as `s3` to an fsspec file system."""
    claims: Path = Path(CLAIMS_FOLDER)
    """Where volumes are mounted, each in a folder with its claim's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a source gives when a file is opened."""

    start: int
    """Offset of the first byte; 0 when the source would not continue where it was asked to."""
    total: int | None
    """Size of the whole file, where the source says."""
    validator: str | None
    """Names this version of the file; None where the source cannot."""
    chunks: Iterator[bytes]


class Remote(Protocol):
    """A file at a source."""

    @property
    def shown(self) -> str:
        """Return the address for messages, without secrets."""

    def open(self, offset: int, validator: str | None) -> AbstractContextManager[Body]:
        """Open the file at `offset` if it is still the version `validator`, otherwise at 0.

        Raises:
            SourceCut: Another try may help; also while the chunks are read.
            WeightsError: No other try will help.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What was declared of a file."""

    sha256: str | None = None
    bytes: int | None = None


class _PartialOf(ApiModel):
    """Which version of the remote file a partial file is the beginning of."""

    validator: str | None


class _Partial:
    """The file that grows, with its running digest."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self.path = path
        self._note = path.with_name(f"{path.name}.json")
        self._meter = meter
        self._hasher = hashlib.sha256()
        self._file: BinaryIO = path.open("a+b")
        self.size = 0
        self.validator = self._read_note()
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._count(block)
            meter.resume(len(block))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self.size == 0:
            self.discard()

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()

    def begin(self, body: Body) -> None:
        """Keep what is there if the body continues it; otherwise start anew."""
        if body.start != self.size:
            self.restart()
        elif self.size and self.validator not in (None, body.validator):
            # A source that ignores the condition would continue with another version's bytes.
            self.restart()
            raise SourceCut("the file at the source changed while it was fetched")
        if body.validator != self.validator or not self._note.exists():
            self.validator = body.validator
            self._note.write_text(_PartialOf(validator=body.validator).model_dump_json())

    def restart(self) -> None:
        self._meter.take_back(self.size)
        self._file.truncate(0)
        self._hasher = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._count(chunk)
        self._meter.advance(len(chunk))

    def flush(self) -> None:
        self._file.flush()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        # The marker that follows vouches for these bytes, so they must outlive a power cut.
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(path)
        self._note.unlink(missing_ok=True)

    def _count(self, block: bytes) -> None:
        self._hasher.update(block)
        self.size += len(block)

    def _read_note(self) -> str | None:
        try:
            return _PartialOf.model_validate_json(self._note.read_bytes()).validator
        except (OSError, ValidationError):
            return None


def partial_path(path: Path) -> Path:
    """Return where a file grows until it is whole."""
    return path.with_name(f"{path.name}.partial")


def check_room(path: Path, need: int, tools: Tools) -> None:
    """Check that `need` more bytes fit beside `path`.

    Raises:
        DiskFull: They do not.
    """
    have = tools.free_bytes(path.parent)
    if have < need:
        raise DiskFull(
            f"{path.name} needs {human_bytes(need)} more on the disk of {path.parent}, which has "
            f"{human_bytes(have)} free; free some, or put the cache on another disk"
        )


def check_size(found: int, expected: Expected, shown: str) -> None:
    """Compare a size that a source or a file has with the declared one.

    Raises:
        InvalidWeights: They differ.
    """
    if expected.bytes is not None and found != expected.bytes:
        raise InvalidWeights(
            f"{shown} has {found} bytes and {expected.bytes} were declared; check the address and "
            "the revision, or correct what was declared"
        )


def check_digest(found: str, expected: Expected, shown: str, consequence: str) -> None:
    """Compare a computed digest with the declared one.

    Raises:
        DigestMismatch: They differ; the message has both, and `consequence`.
    """
    if expected.sha256 is not None and found != expected.sha256:
        raise DigestMismatch(
            f"{shown} has sha256 {found}, and {expected.sha256} was declared; {consequence}. "
            "Check the address and the revision, or correct the declared digest"
        )


def download(remote: Remote, path: Path, expected: Expected, tools: Tools) -> str:
    """Bring a remote file to `path` and return its SHA-256.

    Raises:
        DigestMismatch: The bytes are not the declared ones. They are deleted.
        InvalidWeights: The size is not the declared one.
        DiskFull: There is no room. What arrived stays, for a later try.
        SourceUnreachable: The source failed; what arrived stays, for a later try.
        SecretMissing: The source wants a token.
    """
    with _Partial(partial_path(path), tools.meter) as partial:
        resumed = partial.size > 0
        try:
            _receive(remote, partial, expected, tools)
            if resumed and expected.sha256 not in (None, partial.sha256):
                # The beginning is from another run. Whether it or the source is wrong shows itself
                # only when all bytes come from one run.
                partial.restart()
                _receive(remote, partial, expected, tools)
            check_size(partial.size, expected, remote.shown)
            check_digest(partial.sha256, expected, remote.shown, "the download was deleted")
        except (DigestMismatch, InvalidWeights):
            partial.discard()
            raise
        partial.finish(path)
        return partial.sha256


def _receive(remote: Remote, partial: _Partial, expected: Expected, tools: Tools) -> None:
    failures = 0
    while True:
        before = partial.size
        try:
            _receive_once(remote, partial, expected, tools)
            return
        except SourceCut as error:
            failures = 0 if partial.size > before else failures + 1
            wait_or_give_up(error, failures, tools.sleep)


def _receive_once(remote: Remote, partial: _Partial, expected: Expected, tools: Tools) -> None:
    if partial.size and partial.size == expected.bytes:
        return
    # Without a validator two versions could be mixed, unless the digest of the whole is known.
    may_resume = partial.validator is not None or expected.sha256 is not None
    if partial.size and not may_resume:
        partial.restart()
    with remote.open(partial.size, partial.validator) as body:
        if body.total is not None:
            check_size(body.total, expected, remote.shown)
        partial.begin(body)
        total = body.total if body.total is not None else expected.bytes
        if total is not None:
            tools.meter.expect(total - partial.size)
            check_room(partial.path, total - partial.size, tools)
        for chunk in body.chunks:
            partial.write(chunk)
        partial.flush()
    if total is not None and partial.size != total:
        raise SourceCut(f"{remote.shown} ended after {partial.size} of {total} bytes")
