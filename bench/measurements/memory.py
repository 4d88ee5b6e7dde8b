"""What the whole local stack holds."""

import contextlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import psutil

from bench.children import title
from bench.plan import Bench, Measurement
from bench.slm_up import SlmRun, slm_up
from bench.values import Bound, Breakdown, Figure, Report, Target

_TOKENS: Final = 64
_GB: Final = 1e9

_ABOUT: Final = (
    "Every process below `slm up`, and the command itself, with one model that is awake and has "
    f"answered {_TOKENS} tokens. RSS counts a shared page once for each process that has it; "
    "*unique* (USS) counts what would be free if the process ended. Each run is a new start."
)


@dataclass(frozen=True, slots=True)
class _Memory:
    rss: int
    uss: int


async def measure(bench: Bench) -> Report:
    """Measure."""
    samples: list[dict[str, _Memory]] = []
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        async with slm_up(bench, "memory") as run:
            await run.ask(_TOKENS)
            samples.append(_by_title(run))
    rss = tuple(sum(one.rss for one in sample.values()) / _GB for sample in samples)
    uss = tuple(sum(one.uss for one in sample.values()) / _GB for sample in samples)
    return Report(
        name="memory",
        about=_ABOUT,
        figures=(
            Figure(name="RSS", unit="GB", runs=rss, target=Target(bound=Bound.AT_MOST, value=1.7)),
            Figure(
                name="unique", unit="GB", runs=uss, target=Target(bound=Bound.AT_MOST, value=1.1)
            ),
        ),
        breakdowns=(_breakdown(samples[-1]),),
    )


MEASUREMENT: Final = Measurement(name="memory", about=_ABOUT, measure=measure)


def _by_title(run: SlmRun) -> dict[str, _Memory]:
    """Return the memory by what a process is called; several of one name are added up."""
    found: defaultdict[str, list[_Memory]] = defaultdict(list)
    for process in run.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_full_info()
            found[title(process)].append(_Memory(rss=memory.rss, uss=memory.uss))
    return {
        f"{name} ({len(all_of_it)})" if len(all_of_it) > 1 else name: _Memory(
            rss=sum(one.rss for one in all_of_it), uss=sum(one.uss for one in all_of_it)
        )
        for name, all_of_it in found.items()
    }


def _breakdown(sample: dict[str, _Memory]) -> Breakdown:
    ordered = sorted(sample.items(), key=lambda item: -item[1].uss)
    return Breakdown(
        title="By process, in MB, in the last run",
        columns=("Process", "RSS", "Unique"),
        rows=tuple(
            (name, f"{memory.rss / 1e6:.0f}", f"{memory.uss / 1e6:.0f}") for name, memory in ordered
        ),
    )
