"""How long `slm validate` takes."""

import asyncio
import sys
import time
from typing import Final

from bench.children import ROOT
from bench.plan import Bench, Measurement
from bench.slm_up import write_manifest
from bench.values import Bound, Figure, Report, Target

_MANIFESTS: Final = 100

_ABOUT: Final = (
    f"The whole command `slm validate FOLDER` on {_MANIFESTS} manifests in {_MANIFESTS} files, "
    "Python's own start included."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    folder = bench.new_folder("validate")
    for number in range(_MANIFESTS):
        write_manifest(
            folder / f"{number:03}.yaml",
            f"chat-{number:03}",
            contextLength=1024 + number,
            scaling={"idleTimeout": f"{number + 1}m", "parkAfter": "3h"},
        )
    # The first run of Python after an installation compiles.
    await _validate(str(folder))
    seconds = [await _validate(str(folder)) for _ in range(bench.runs)]
    target = Target(bound=Bound.AT_MOST, value=1)
    return Report(
        name="validate",
        about=_ABOUT,
        figures=(
            Figure(name=f"{_MANIFESTS} manifests", unit="s", runs=tuple(seconds), target=target),
        ),
    )


MEASUREMENT: Final = Measurement(name="validate", about=_ABOUT, measure=measure)


async def _validate(folder: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smallmodel_operator.cli",
        "validate",
        folder,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"slm validate ended with {process.returncode}: {said.decode()[-500:]}")
    return time.perf_counter() - began
