"""An OCI registry on loopback: tags, manifests, blobs, and the two ways of asking who is there."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
TAR: Final = "application/vnd.oci.image.layer.v1.tar"
PLAIN: Final = "application/octet-stream"
ISSUED: Final = "issued-by-the-realm"


class FakeRegistry:
    """Serves what was put into it; a context manager, and a thread of its own."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        """By `repository/reference`."""
        self.challenge: str | None = None
        """`Bearer` or `Basic`; None lets everybody in."""
        self.account: str | None = None
        """`user:password` that opens it; None opens it to anonymous tokens."""
        self.blob_locations: dict[str, str] = {}
        """Digests of blobs that lie elsewhere."""
        self.seen: list[tuple[str, str | None]] = []
        """Paths that were asked for, with what they were asked with."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def put_blob(self, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def layer(
        self, content: bytes, *, title: str | None = None, media_type: str = PLAIN
    ) -> dict[str, Any]:
        """Put a blob and return its descriptor."""
        said = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
        return {
            "mediaType": media_type,
            "digest": self.put_blob(content),
            "size": len(content),
        } | said

    def put(self, repository: str, reference: str, *layers: dict[str, Any]) -> str:
        """Put a manifest with these layers under a tag, and return its digest."""
        config = self.layer(b"{}", media_type="application/vnd.oci.empty.v1+json")
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": list(layers),
        }
        return self.put_manifest(repository, reference, MANIFEST, manifest)

    def put_manifest(
        self, repository: str, reference: str, media_type: str, content: Mapping[str, Any]
    ) -> str:
        packed = json.dumps(content).encode()
        digest = digest_of(packed)
        for name in (reference, digest):
            self.manifests[f"{repository}/{name}"] = (media_type, packed)
        return digest

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        class Handler(_Handler):
            registry = self

        return Handler


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def packed_layer(files: Mapping[str, bytes], *, zipped: bool = True) -> bytes:
    """Return a layer's tar with these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue()) if zipped else packed.getvalue()


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        authorization = self.headers.get("Authorization")
        self.registry.seen.append((path, authorization))
        if path == "/realm":
            self._issue(authorization)
        elif not self._may_enter(authorization):
            realm = f'realm="http://{self.registry.host}/realm",service="fake",scope="pull"'
            asked = realm if self.registry.challenge == "Bearer" else 'realm="fake"'
            header = {"WWW-Authenticate": f"{self.registry.challenge} {asked}"}
            self._send(HTTPStatus.UNAUTHORIZED, b"", header)
        else:
            self._give(path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Say nothing: the tests look at `registry.seen`."""

    def _may_enter(self, authorization: str | None) -> bool:
        if self.registry.challenge is None:
            return True
        if self.registry.challenge == "Bearer":
            return authorization == f"Bearer {ISSUED}"
        return authorization == _basic(self.registry.account)

    def _issue(self, authorization: str | None) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if authorization != _basic(self.registry.account) or asked != {
            "service": ["fake"],
            "scope": ["pull"],
        }:
            self._send(HTTPStatus.UNAUTHORIZED, b"")
        else:
            self._send(HTTPStatus.OK, json.dumps({"token": ISSUED}).encode())

    def _give(self, path: str) -> None:
        repository, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            media_type, content = self.registry.manifests.get(
                f"{repository}/{reference}", ("", b"")
            )
            status = HTTPStatus.OK if media_type else HTTPStatus.NOT_FOUND
            self._send(status, content, {"Content-Type": media_type})
        elif reference in self.registry.blob_locations:
            self._send(
                HTTPStatus.TEMPORARY_REDIRECT,
                b"",
                {"Location": self.registry.blob_locations[reference]},
            )
        else:
            self._send(HTTPStatus.OK, self.registry.blobs[reference])

    def _send(
        self, status: HTTPStatus, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _basic(account: str | None) -> str | None:
    if account is None:
        return None
    return f"Basic {base64.b64encode(account.encode()).decode()}"
