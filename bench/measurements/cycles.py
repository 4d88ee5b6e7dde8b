"""Whether requests are lost while a model falls asleep, parks and wakes again and again."""

from typing import Final

from bench.client import LostError, completion_tokens
from bench.cycles import SCALING, TOKENS, Sleeper, describe_cycles, measure_cycles
from bench.plan import Bench, Measurement
from bench.slm_up import SlmRun, slm_up
from bench.values import Report

_SEED: Final = 20261124
# The replica sleeps 1 s after the last request, stops about 5 s later, and drains for 5 s more:
# a request at a random moment of this window meets each of these changes in one run or another.
_WINDOW_SECONDS: Final = (1.0, 12.0)

_ABOUT: Final = describe_cycles()


async def measure(bench: Bench) -> Report:
    """Measure."""
    async with slm_up(bench, "cycles", scaling=SCALING) as run:
        sleeper = Sleeper(
            ask=lambda: _ask(run),
            until_asleep=run.until_asleep,
            until_parked=run.until_parked,
            window=_WINDOW_SECONDS,
            seed=_SEED,
        )
        figures, notes = await measure_cycles(bench, sleeper)
    return Report(name="cycles", about=_ABOUT, figures=figures, notes=tuple(notes))


MEASUREMENT: Final = Measurement(name="cycles", about=_ABOUT, measure=measure)


async def _ask(run: SlmRun) -> float:
    reply = await run.ask(TOKENS)
    tokens = completion_tokens(reply.body)
    if tokens != TOKENS:
        raise LostError(f"{tokens} tokens instead of {TOKENS}")
    return reply.seconds
