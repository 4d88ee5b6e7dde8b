"""The marker that says a file in the cache was checked, and the check that replicas do at load."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.smallmodel import Sha256
from smallmodel_serving.runtime.weights.errors import WeightsMissing

MARKER_NAME: Final = "verified.json"
_BLOCK: Final = 1 << 20


class VerifiedFile(ApiModel):
    """One file as it was when its digest was computed."""

    name: str
    """Path below the marker's folder, with `/`."""
    bytes: int
    mtime_ns: int
    sha256: Sha256


class Verified(ApiModel):
    """What lies beside fetched weights: where they came from and how they looked when checked."""

    uri: str
    revision: str | None
    """What the source said it gave, or what was asked for."""
    sha256: Sha256 | None
    """Of a single file; unset for a folder."""
    bytes: int
    files: tuple[VerifiedFile, ...]


def sha256_of(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 of a file, telling `on_bytes` of each block that was read."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            on_bytes(len(block))
    return hasher.hexdigest()


def stamped(folder: Path, name: str, sha256: str) -> VerifiedFile:
    """Return the record of a file whose digest was just computed."""
    stat = (folder / name).stat()
    return VerifiedFile(name=name, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256)


def read_marker(folder: Path) -> Verified | None:
    """Return the marker in a folder of the cache; None where there is none that can be read."""
    try:
        return Verified.model_validate_json((folder / MARKER_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def changed_file(folder: Path, marker: Verified) -> str | None:
    """Return why the files are not those of the marker; None when they are.

    Size and time of change are compared first. Only where they differ (a restored backup, a
    touched file) is the file read again.
    """
    for file in marker.files:
        path = folder / file.name
        try:
            stat = path.stat()
            if (stat.st_size, stat.st_mtime_ns) == (file.bytes, file.mtime_ns):
                continue
            found = sha256_of(path)
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
        if found != file.sha256:
            return f"{path} has sha256 {found}, and was verified with {file.sha256}"
    return None


def open_verified(path: Path, sha256: str | None) -> None:
    """Make sure that `path` is a file or folder that was fetched and verified, and is unchanged.

    Args:
        path: What `FetchDone.path` named.
        sha256: The digest that the model's arguments carry; None accepts the recorded one.

    Raises:
        WeightsMissing: There is no marker, the digest is another one, or the bytes changed.
    """
    again = "it has to be fetched again: by `slm up`, or in a cluster by a fetch Job"
    marker = read_marker(path.parent)
    if marker is None or not any(
        file.name == path.name or file.name.startswith(f"{path.name}/") for file in marker.files
    ):
        raise WeightsMissing(f"{path} has no record of a verified download; {again}")
    if sha256 is not None and marker.sha256 != sha256:
        raise WeightsMissing(
            f"{path} was verified with sha256 {marker.sha256}, and the model needs {sha256}; "
            f"{again}"
        )
    if why := changed_file(path.parent, marker):
        raise WeightsMissing(f"{why}; {again}")
