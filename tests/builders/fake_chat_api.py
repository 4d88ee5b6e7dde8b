"""A fake of one model's HTTP endpoint: streams pieces, or refuses, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeChatApi:
    """What it answers, and what it was asked."""

    pieces: tuple[str, ...] = ("Hel", "lo")
    status: int = 200
    body: str = ""
    """Sent instead of a stream where the status is an error."""
    endless: bool = False
    """True: the last piece repeats until the client goes away."""
    ends_properly: bool = True
    """False: the connection closes without the protocol's last event."""
    requests: list[Any] = field(default_factory=list)
    client_left: threading.Event = field(default_factory=threading.Event)
    port: int = 0


@contextmanager
def fake_chat_api(fake: FakeChatApi) -> Iterator[FakeChatApi]:
    """Serve the fake on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(fake: FakeChatApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            fake.requests.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(fake.status)
            self.end_headers()
            if fake.status != 200:
                self.wfile.write(fake.body.encode())
                return
            try:
                self._stream()
            except OSError:
                fake.client_left.set()

        def _stream(self) -> None:
            for piece in fake.pieces:
                self._event(piece)
            while fake.endless:
                self._event(fake.pieces[-1])
            if fake.ends_properly:
                self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, piece: str) -> None:
            chunk = {"choices": [{"index": 0, "delta": {"content": piece}}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Stay silent: a test reads what the command prints."""

    return Handler
