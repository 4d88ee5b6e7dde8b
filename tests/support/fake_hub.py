"""A web server on loopback that holds weights, and fails in the ways that real ones do."""

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import unquote, urlsplit

_DEADLINE_SECONDS: Final = 30
_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One request as it arrived."""

    path: str
    first_byte: int
    """Where its range begins; 0 without one."""
    authorization: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFile:
    """What lies under a path."""

    content: bytes
    content_type: str = "application/octet-stream"
    etag: str | None = None
    last_modified: str | None = None
    token: str | None = None
    location: str | None = None


class FakeHub:
    """Serves what was put into it; a context manager, and a thread of its own."""

    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
        self.requests: list[SeenRequest] = []
        self.cuts: deque[int] = deque()
        """For the coming requests, one each: the connection breaks after so many bytes."""
        self.statuses: deque[HTTPStatus] = deque()
        """For the coming requests, one each: an error instead of the file."""
        self.hold_after: int | None = None
        """After so many bytes a request waits until `release`."""
        self.honours_ranges = True
        self.honours_if_range = True
        self.misstates_ranges = False
        self.tells_length = True
        self._released = threading.Event()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The root, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, content: bytes, **facts: str) -> str:
        """Put a file there, named by an ETag of its content unless facts say otherwise."""
        etag = f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
        self.files[path] = FakeFile(content=content, **({"etag": etag} | facts))
        return f"{self.url}{path}"

    def release(self) -> None:
        """Let held requests go on, and hold no more."""
        self.hold_after = None
        self._released.set()

    def wait_until(self, condition: Callable[[Self], bool]) -> None:
        """Wait for what requests bring about."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), _DEADLINE_SECONDS)

    def note(self, request: SeenRequest) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_for_release(self) -> None:
        self._released.wait(_DEADLINE_SECONDS)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionResetError:
            # The client was killed, as some tests mean it to be.
            self.close_connection = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        file = self.hub.files.get(path)
        first = self._first_byte(file)
        authorization = self.headers.get("Authorization")
        self.hub.note(SeenRequest(path=path, first_byte=first, authorization=authorization))
        if self.hub.statuses:
            self._refuse(self.hub.statuses.popleft())
        elif file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif file.token is not None and authorization != f"Bearer {file.token}":
            self._refuse(HTTPStatus.UNAUTHORIZED)
        elif file.location is not None:
            self._redirect(file.location)
        elif first and first >= len(file.content):
            self._unsatisfiable(len(file.content))
        else:
            self._send(file, first)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Say nothing: the tests look at `hub.requests`."""

    def _first_byte(self, file: FakeFile | None) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or file is None or not self.hub.honours_ranges:
            return 0
        condition = self.headers.get("If-Range")
        unchanged = condition in (None, file.etag, file.last_modified)
        return int(asked[1]) if unchanged or not self.hub.honours_if_range else 0

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, location: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _unsatisfiable(self, size: int) -> None:
        self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        self.send_header("Content-Range", f"bytes */{size}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: FakeFile, first: int) -> None:
        size = len(file.content)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if first else HTTPStatus.OK)
        self.send_header("Content-Type", file.content_type)
        if first:
            stated = first + self.hub.misstates_ranges
            self.send_header("Content-Range", f"bytes {stated}-{size - 1}/{size}")
        if self.hub.tells_length:
            self.send_header("Content-Length", str(size - first))
        else:
            self.send_header("Connection", "close")
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.last_modified:
            self.send_header("Last-Modified", file.last_modified)
        self.end_headers()
        self._send_body(file.content[first:])
        if not self.hub.tells_length:
            self.close_connection = True

    def _send_body(self, body: bytes) -> None:
        end = self.hub.cuts.popleft() if self.hub.cuts else len(body)
        hold = self.hub.hold_after
        try:
            for start in range(0, min(end, len(body)), _PIECE):
                if hold is not None and start >= hold:
                    self.hub.wait_for_release()
                    hold = None
                self.wfile.write(body[start : min(start + _PIECE, end)])
        except (BrokenPipeError, ConnectionResetError):
            # The client was killed, as some tests mean it to be.
            self.close_connection = True
        if end < len(body):
            self.close_connection = True
