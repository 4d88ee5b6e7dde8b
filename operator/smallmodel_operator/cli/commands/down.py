"""`slm down`: stop a run, and wait until it is gone."""

import time
from typing import TYPE_CHECKING, Final

from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.cli.output import print_note, print_text
from smallmodel_operator.cli.runs import PortOption, Run, live_run

if TYPE_CHECKING:
    import psutil

WAIT_SECONDS: Final = 12.0
"""The supervisor kills what is left after 9 s; the rest is for the system to follow."""
_REPORT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05


def down(port: PortOption = None) -> None:
    """Stop a run: running requests end, every process goes, the cache stays."""
    run = live_run(port)
    began = time.monotonic()
    print_note(f"Stopping {run.record.url} (pid {run.record.supervisor_pid})")
    _ask_to_stop(run, began)
    print_text(f"Stopped after {time.monotonic() - began:.1f} s")


def _ask_to_stop(run: Run, began: float) -> None:
    import psutil

    try:
        # psutil compares the creation time once more before it signals, so a pid that is
        # used again is never hit.
        supervisor = psutil.Process(run.record.supervisor_pid)
        supervisor.terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise CommandError(
            f"the run at port {run.record.port} belongs to {supervisor.username()}; stop it as "
            "that user"
        ) from error
    _wait(supervisor, began, run)


def _wait(supervisor: "psutil.Process", began: float, run: Run) -> None:
    from smallmodel_operator.local.processes import is_alive

    reported = began
    # A process whose parent has not taken its exit code still has its pid, but is gone.
    while is_alive(supervisor.pid, run.record.supervisor_start):
        now = time.monotonic()
        if now - began > WAIT_SECONDS:
            break
        if now - reported > _REPORT_SECONDS:
            reported = now
            print_note(f"  still stopping after {now - began:.0f} s")
        time.sleep(_POLL_SECONDS)
    else:
        return
    raise CommandError(
        f"pid {supervisor.pid} has not stopped after {WAIT_SECONDS:.0f} s; look at "
        f"{run.folder.driver_log}, or end it with `kill -9 {supervisor.pid}`, after which the next "
        "`slm up` cleans up"
    )
