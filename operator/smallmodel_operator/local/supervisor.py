"""The parent of a run: starts the driver, passes signals on, and leaves no process behind.

It imports neither Ray nor Envoy's control, so that nothing of theirs can take it down. It adopts
every orphan of the run; if it dies itself, the kernel tells the driver, and what even that misses
is found by its mark when the next run starts.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import psutil

from smallmodel_operator.local import processes
from smallmodel_operator.local.errors import AlreadyRunning, PlatformUnsupported, PortTaken
from smallmodel_operator.local.events import DRIVER_EVENTS, DriverEvent, StopEvent
from smallmodel_operator.local.paths import RunFolder
from smallmodel_operator.local.ports import is_free
from smallmodel_operator.local.settings import RunSettings
from smallmodel_operator.local.state import RunRecord, read_record, write_atomically

STOP_SECONDS: Final = 9.0
"""From the request to stop until what is left is killed; `make demo` promises ten."""

_DRIVER: Final = "smallmodel_operator.local.driver"


def run(
    paths: tuple[Path, ...],
    *,
    host: str,
    port: int,
    watch: bool,
    memory: str | None,
    dashboard: bool,
    show: Callable[[DriverEvent], None],
) -> int:
    """Run the manifests until stopped, showing what the driver reports.

    Args:
        paths: Files and folders with manifests.
        host: Address of the public endpoint.
        port: Its port, which also names the run.
        watch: Whether changed manifests are applied.
        memory: A quantity: what models may use together; None: what the machine has.
        dashboard: Whether Ray's dashboard is started.
        show: Called with each event.

    Returns:
        The exit code: 0 after a stop that was asked for.

    Raises:
        PlatformUnsupported: This is not Linux.
        AlreadyRunning: A run has this port.
        PortTaken: Something else has it.
    """
    if sys.platform != "linux":
        raise PlatformUnsupported(
            f"slm up needs Linux, and this is {sys.platform}; use a Linux VM or container"
        )
    folder = RunFolder.of_port(port)
    with _lock(folder, port):
        reap(folder)
        if not is_free(host, port):
            raise PortTaken(
                f"{host}:{port} is in use by another program (`ss -ltnp 'sport = :{port}'` "
                "tells which); stop it, or choose another with --port"
            )
        scratch = Path(tempfile.mkdtemp(prefix="slm-"))
        settings = RunSettings(
            run_id=uuid.uuid4().hex,
            state_folder=str(folder.root),
            scratch=str(scratch),
            host=host,
            port=port,
            paths=tuple(str(path) for path in paths),
            watch=watch,
            memory=memory,
            dashboard=dashboard,
        )
        _record(folder, settings)
        try:
            return _supervise(settings, folder, show)
        finally:
            processes.kill_descendants()
            _forget(folder, scratch)


def reap(folder: RunFolder) -> int:
    """End what a dead run left behind, and return how many processes that were.

    Call it with the run's lock held: a live run has the lock itself.
    """
    record = read_record(folder)
    if record is None:
        return 0
    left = processes.of_run(record.run_id)
    processes.end(left, grace=2.0)
    _forget(folder, Path(record.scratch))
    return len(left)


@contextlib.contextmanager
def _lock(folder: RunFolder, port: int) -> Iterator[None]:
    folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder.lock.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            record = read_record(folder)
            owner = f"pid {record.supervisor_pid}" if record else "another process"
            raise AlreadyRunning(
                f"port {port} belongs to the `slm up` of {owner}; stop it with "
                f"`slm down --port {port}`, or choose another port with --port"
            ) from error
        yield


def _record(folder: RunFolder, settings: RunSettings) -> None:
    record = RunRecord(
        run_id=settings.run_id,
        supervisor_pid=os.getpid(),
        supervisor_start=psutil.Process().create_time(),
        scratch=settings.scratch,
        host=settings.host,
        port=settings.port,
        paths=settings.paths,
    )
    write_atomically(folder.run, record.model_dump_json(indent=2))


def _forget(folder: RunFolder, scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    for path in (folder.run, folder.status):
        path.unlink(missing_ok=True)


def _supervise(
    settings: RunSettings, folder: RunFolder, show: Callable[[DriverEvent], None]
) -> int:
    processes.adopt_orphans()
    with folder.driver_log.open("w", encoding="utf-8") as log:
        driver = subprocess.Popen(
            [sys.executable, "-m", _DRIVER, settings.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {processes.RUN_ID_VARIABLE: settings.run_id},
            # A group of its own: Ctrl-C reaches this process alone, which then asks the driver.
            start_new_session=True,
        )
    with _signals_passed_to(driver) as was_asked_to_stop:
        stop = _relay(driver.stdout, show)
        code = driver.wait()
    if stop is None:
        stop = _unreported_end(code, folder, asked=was_asked_to_stop())
        show(stop)
    return stop.exit_code


def _unreported_end(code: int, folder: RunFolder, *, asked: bool) -> StopEvent:
    """Return what to say of a driver that ended without a word, as one that is killed does."""
    if asked:
        return StopEvent()
    return StopEvent(
        error=f"the driver ended unexpectedly with code {code}; see {folder.driver_log}",
        exit_code=1,
    )


def _relay(output: IO[str] | None, show: Callable[[DriverEvent], None]) -> StopEvent | None:
    if output is None:
        raise AssertionError("the driver's output was asked for as a pipe")
    last: StopEvent | None = None
    for line in output:
        event = DRIVER_EVENTS.validate_json(line)
        if isinstance(event, StopEvent):
            last = event
        show(event)
    return last


@contextlib.contextmanager
def _signals_passed_to(driver: "subprocess.Popen[str]") -> Iterator[Callable[[], bool]]:
    """Ask the driver to stop at the first signal, and kill it at the second or when time is up.

    Yields a function that tells whether a stop was asked for.
    """
    asked = 0

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 1 and driver.poll() is None:
            driver.terminate()
            signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)
        else:
            driver.kill()

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield lambda: asked > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
