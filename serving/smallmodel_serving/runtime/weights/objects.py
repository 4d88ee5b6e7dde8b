"""Object storage by fsspec: the libraries for S3 and Google Cloud Storage are installed on demand.

Credentials come from where those libraries look for them: their own environment variables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smallmodel_serving.runtime.weights.download import Body, Expected, Tools
from smallmodel_serving.runtime.weights.errors import (
    SecretMissing,
    SourceCut,
    SourceNotSupported,
    SourceUnreachable,
    WeightsError,
)
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files
from smallmodel_serving.runtime.weights.retry import retried
from smallmodel_serving.runtime.weights.sources import ObjectSource, safe_member
from smallmodel_serving.runtime.weights.verify import VerifiedFile

_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs"}
_READ_AHEAD: Final = 8 << 20
_CHUNK: Final = 1 << 18
_REFUSED: Final = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFile:
    """An object behind an fsspec file system."""

    filesystem: Any
    path: str
    shown: str

    @contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[Body]:
        """Open the object at `offset` if it is unchanged; see `download.Remote`."""
        with _storage_errors(self.shown):
            info = self.filesystem.info(self.path)
            if info["type"] == "directory":
                raise SourceNotSupported(
                    f"{self.shown} is a folder; name a file in it, or end the address with /"
                )
            size = info["size"]
            version = self.filesystem.ukey(self.path)
            # Bytes that came without a version are continued only under a declared digest.
            start = offset if validator in (None, version) and offset <= size else 0
            file = self.filesystem.open(self.path, "rb", block_size=_READ_AHEAD)
        try:
            yield Body(
                start=start, total=size, validator=version, chunks=_chunks(file, start, self.shown)
            )
        finally:
            file.close()


def fetch_objects(
    source: ObjectSource, folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Fetch an object, or all objects below a prefix.

    Raises:
        SourceNotSupported: The scheme's package is missing, or a digest was declared for a folder.
        SourceUnreachable: The storage did not answer, or does not have it.
        SecretMissing: The storage refuses access.
        WeightsError: As `download` does.
    """
    shown = f"{source.scheme}://{source.path}"
    if source.is_folder and expected.sha256 is not None:
        raise SourceNotSupported(
            f"{shown}/ is a folder, and a sha256 is of one file; name the file, or leave it out"
        )
    filesystem = _filesystem(source, tools)
    if not source.is_folder:
        remote = ObjectFile(filesystem=filesystem, path=source.path, shown=shown)
        return fetch_files(
            [Wanted(name=source.name, remote=remote, expected=expected)], folder, tools
        )
    sizes = retried(lambda: _list(filesystem, source.path, shown), tools.sleep)
    wanted = [
        Wanted(
            name=safe_member(f"{source.name}/{name}"),
            remote=ObjectFile(
                filesystem=filesystem, path=f"{source.path}/{name}", shown=f"{shown}/{name}"
            ),
            expected=Expected(bytes=size),
        )
        for name, size in sorted(sizes.items())
    ]
    return fetch_files(wanted, folder, tools)


def _filesystem(source: ObjectSource, tools: Tools) -> Any:
    try:
        return tools.filesystem(source.scheme)
    except ImportError as error:
        package = _PACKAGES[source.scheme]
        raise SourceNotSupported(
            f"{source.scheme}:// is read by the package {package}, which is not installed; "
            f"install it beside this one: pip install {package}"
        ) from error


def _list(filesystem: Any, path: str, shown: str) -> dict[str, int]:
    with _storage_errors(shown):
        found = filesystem.find(path, detail=True)
    if not found:
        raise SourceUnreachable(f"{shown}/ has no objects; check the address")
    # Some file systems put a slash before the bucket.
    return {name.lstrip("/").removeprefix(f"{path}/"): info["size"] for name, info in found.items()}


def _chunks(file: Any, start: int, shown: str) -> Iterator[bytes]:
    with _storage_errors(shown):
        file.seek(start)
    while True:
        with _storage_errors(shown):
            chunk = file.read(_CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _storage_errors(shown: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise SourceUnreachable(f"{shown} is not there; check the address") from error
    except WeightsError:
        raise
    except Exception as error:
        # Every storage library has its own error classes, and none of them need be installed.
        if _is_refusal(error):
            raise SecretMissing(
                f"{shown} may not be read ({error}); give this process the credentials that its "
                "storage library reads from the environment"
            ) from error
        raise SourceCut(f"{shown} did not answer as it should ({error})") from error


def _is_refusal(error: Exception) -> bool:
    return (
        isinstance(error, PermissionError)
        or "Credentials" in type(error).__name__
        or getattr(error, "code", None) in _REFUSED
    )
