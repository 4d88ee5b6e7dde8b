"""Weights in an OCI registry: an artifact whose layers are files, or an image that holds them.

Not by the `oras` package: it knows no time limits and retries for minutes, while progress, room,
resuming and digests are here for every source. Two routes and one challenge are left
(github.com/opencontainers/distribution-spec).
"""

import base64
import hashlib
import platform
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from requests.utils import parse_dict_header

from smallmodel_serving.runtime.weights.download import Expected, Tools, check_digest
from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    SourceNotSupported,
    SourceUnreachable,
)
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files, needed_files
from smallmodel_serving.runtime.weights.http import (
    TIMEOUT_SECONDS,
    HttpFile,
    check_status,
    http_errors,
    is_loopback,
    sends_token,
    session,
)
from smallmodel_serving.runtime.weights.layers import fetch_from_layers, several_gguf
from smallmodel_serving.runtime.weights.retry import retried
from smallmodel_serving.runtime.weights.sources import OciSource, safe_member
from smallmodel_serving.runtime.weights.verify import VerifiedFile

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_NAME_ANNOTATIONS: Final = ("org.opencontainers.image.title", "org.cncf.model.filepath")
"""Where artifacts say a layer's file name: ORAS and most others, and the CNCF's ModelPack."""
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_USER_OF_A_BARE_TOKEN: Final = "token"  # noqa: S105 - registries that take tokens ignore the user
_LARGEST_MANIFEST: Final = 4 << 20


class _Platform(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    os: str = ""
    architecture: str = ""


class Descriptor(BaseModel):
    """What a manifest or an index says of a blob."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    media_type: str = Field(alias="mediaType")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int
    annotations: dict[str, str] | None = None
    platform: _Platform | None = None

    @property
    def sha256(self) -> str:
        """Return the digest's hexadecimal digits."""
        return self.digest.removeprefix("sha256:")

    @property
    def is_archive(self) -> bool:
        """Return whether the blob is a packed file system, and not one file."""
        return ".tar" in self.media_type

    @property
    def is_gguf(self) -> bool:
        """Return whether the blob is a GGUF file, by its name or its type."""
        return self.file_name.lower().endswith(".gguf") or "gguf" in self.media_type

    @property
    def file_name(self) -> str:
        """Return the name that the artifact gives the file; empty where it gives none."""
        said = self.annotations or {}
        return next((said[key] for key in _NAME_ANNOTATIONS if key in said), "")


class _Manifest(BaseModel):
    """A manifest or an index, as far as it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()


class RegistryAuth(requests.auth.AuthBase):
    """Answers a registry's challenge, once for each request, and keeps what it got for the next."""

    def __init__(self, host: str, secret: str | None) -> None:
        """Make it.

        Args:
            host: The registry, with its port: nobody else gets an answer.
            secret: `user:password`, or a token alone; None answers anonymously.
        """
        self.has_token = secret is not None
        user, colon, password = (secret or "").partition(":")
        pair = (user, password) if colon else (_USER_OF_A_BARE_TOKEN, user)
        self._account = pair if secret is not None else None
        self._host = host
        self._header: str | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Prepare a request; requests calls it."""
        if self._header is not None:
            request.headers["Authorization"] = self._header
        request.register_hook("response", self._answer)
        return request

    def _answer(self, response: requests.Response, **options: Any) -> requests.Response:
        request = response.request
        if (
            response.status_code != HTTPStatus.UNAUTHORIZED
            or urlsplit(request.url or "").netloc != self._host
        ):
            return response
        header = self._authorize(response.headers.get("WWW-Authenticate", ""))
        if header is None or header == request.headers.get("Authorization"):
            return response
        self._header = header
        response.close()
        again = request.copy()
        again.headers["Authorization"] = header
        answered: requests.Response = response.connection.send(again, **options)
        answered.request = again
        return answered

    def _authorize(self, challenge: str) -> str | None:
        kind, _, rest = challenge.partition(" ")
        if kind.lower() != "bearer":
            return self._basic()
        asked = parse_dict_header(rest)
        realm = asked.get("realm")
        if not realm:
            return None
        parameters = {key: asked[key] for key in ("service", "scope") if key in asked}
        with http_errors(realm), session() as opened:
            answer = opened.get(
                realm, params=parameters, auth=self._account, timeout=TIMEOUT_SECONDS
            )
            check_status(answer, realm, with_token=self.has_token)
            try:
                said = answer.json()
                return f"Bearer {said.get('token') or said['access_token']}"
            except (ValueError, KeyError, AttributeError) as error:
                raise SourceUnreachable(f"{realm} gave no token, as a registry's should") from error

    def _basic(self) -> str | None:
        if self._account is None:
            return None
        return f"Basic {base64.b64encode(':'.join(self._account).encode()).decode()}"


def fetch_from_registry(
    source: OciSource, folder: Path, expected: Expected, token: str | None, tools: Tools
) -> tuple[tuple[VerifiedFile, ...], str]:
    """Fetch the weights of an artifact or image; return the files and the manifest's digest.

    Raises:
        SourceUnreachable: The registry did not answer, or has no such repository, tag or digest.
        SecretMissing: The repository is private, and the secret is missing or refused.
        DigestMismatch: The registry sent other bytes than its digests or the declared one say.
        SourceNotSupported: There are no weights in it, or several files of which none is named.
        WeightsError: As `download` does.
    """
    with session() as opened:
        opened.auth = RegistryAuth(source.registry, token)
        manifest, digest = retried(lambda: _manifest(source, opened), tools.sleep)
        raw = [layer for layer in manifest.layers if not layer.is_archive]
        chosen = _chosen(source, raw)
        if chosen:
            wanted = [_wanted(source, name, layer, opened, expected) for name, layer in chosen]
            return fetch_files(wanted, folder, tools), digest
        if any("zstd" in layer.media_type for layer in manifest.layers):
            raise SourceNotSupported(
                f"{source.shown} has layers packed with zstd, which are not read here; publish the "
                "weights as plain files, or with layers packed with gzip"
            )
        blobs = [
            Wanted(
                name=f".layer-{number}",
                remote=_blob(source, layer, opened),
                expected=Expected(sha256=layer.sha256, bytes=layer.size),
            )
            for number, layer in enumerate(manifest.layers)
            if layer.is_archive
        ]
        return fetch_from_layers(source, blobs, folder, expected, tools), digest


def _manifest(source: OciSource, opened: requests.Session) -> tuple[_Manifest, str]:
    """Return the manifest for this machine, and the digest of what the reference names."""
    content, digest = _get_manifest(source, source.reference, opened)
    manifest = _parsed(source, content)
    if not manifest.manifests:
        return manifest, digest
    chosen = _for_this_machine(source, manifest.manifests)
    content, _ = _get_manifest(source, chosen.digest, opened)
    return _parsed(source, content), digest


def _get_manifest(source: OciSource, reference: str, opened: requests.Session) -> tuple[bytes, str]:
    url = f"{_base(source)}/manifests/{reference}"
    with http_errors(url):
        response = opened.get(
            url,
            headers={"Accept": ", ".join((*_MANIFESTS, *_INDEXES))},
            timeout=TIMEOUT_SECONDS,
        )
        check_status(response, url, with_token=sends_token(opened))
        content = response.content
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if ":" in reference and digest != reference:
        raise DigestMismatch(
            f"{url} has digest {digest}; the registry sends other bytes than it was asked for"
        )
    return content, digest


def _parsed(source: OciSource, content: bytes) -> _Manifest:
    try:
        if len(content) > _LARGEST_MANIFEST:
            raise ValueError(f"it has {len(content)} bytes")
        return _Manifest.model_validate_json(content)
    except (ValidationError, ValueError) as error:
        raise SourceUnreachable(
            f"{source.shown} did not answer with an OCI manifest; check the registry's address"
        ) from error


def _for_this_machine(source: OciSource, offered: tuple[Descriptor, ...]) -> Descriptor:
    machine = platform.machine()
    wanted = ("linux", _ARCHITECTURES.get(machine, machine))
    for entry in offered:
        if entry.platform and (entry.platform.os, entry.platform.architecture) == wanted:
            return entry
    # Weights are the same everywhere, and some artifacts name no platform.
    nameless = [entry for entry in offered if entry.platform is None]
    if not nameless:
        raise SourceNotSupported(
            f"{source.shown} has nothing for {'/'.join(wanted)}; name the digest of one of its "
            "manifests"
        )
    return nameless[0]


def _chosen(source: OciSource, layers: list[Descriptor]) -> list[tuple[str, Descriptor]]:
    """Return the layers to fetch with their names in the cache; none where no layer is a file."""
    gguf = [layer for layer in layers if layer.is_gguf]
    if len(gguf) > 1:
        raise several_gguf(source, [layer.file_name or layer.digest for layer in gguf])
    if gguf:
        return [(f"{source.name}.gguf", gguf[0])]
    by_name = {layer.file_name: layer for layer in layers if layer.file_name}
    return [
        (safe_member(f"{source.name}/{PurePosixPath(name)}"), by_name[name])
        for name in needed_files(by_name)
    ]


def _wanted(
    source: OciSource, name: str, layer: Descriptor, opened: requests.Session, expected: Expected
) -> Wanted:
    if "/" in name and expected.sha256 is not None:
        raise SourceNotSupported(
            f"{source.shown} is a folder of files, and a sha256 is of one; name the artifact by "
            "its digest instead (…@sha256:…), which holds for all of them"
        )
    if "/" not in name:
        check_digest(layer.sha256, expected, source.shown, "it was not fetched")
    return Wanted(
        name=name,
        remote=_blob(source, layer, opened),
        expected=Expected(sha256=layer.sha256, bytes=layer.size),
    )


def _blob(source: OciSource, layer: Descriptor, opened: requests.Session) -> HttpFile:
    return HttpFile(session=opened, url=f"{_base(source)}/blobs/{layer.digest}")


def _base(source: OciSource) -> str:
    host = urlsplit(f"//{source.registry}").hostname or ""
    scheme = "http" if is_loopback(host) else "https"
    return f"{scheme}://{source.registry}/v2/{source.repository}"
