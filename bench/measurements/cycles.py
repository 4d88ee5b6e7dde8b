"""Whether requests are lost while a model falls asleep, parks and wakes again and again."""

import asyncio
import random
from collections import Counter
from typing import Final

from bench.client import LostError, completion_tokens
from bench.plan import Bench, Measurement
from bench.slm_up import SlmRun, slm_up
from bench.values import Bound, Figure, Judge, Report, Target

_BURST: Final = 5
_CYCLES_A_RUN: Final = 2
_TOKENS: Final = 4
# The replica sleeps 1 s after the last request, stops about 5 s later, and drains for 5 s more:
# a request at a random moment of this window meets each of these changes in one run or another.
_WINDOW_SECONDS: Final = (1.0, 12.0)
_SCALING: Final = {"idleTimeout": "1s", "parkAfter": "4s", "maxReplicas": 1}

_ABOUT: Final = (
    f"A cycle is four bursts of {_BURST} requests at once: while awake, when the engine has just "
    "fallen asleep, at a random moment while the replica is on its way out, and when it is gone. "
    f"A run has {_CYCLES_A_RUN} cycles. Every request has a connection of its own and no second "
    "try; it is lost unless it is answered with status 200 and its tokens."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    lost: list[float] = []
    slowest: list[float] = []
    causes: Counter[str] = Counter()
    asked = 0
    moments = random.Random(20261124)  # noqa: S311 - a reproducible sequence is what is wanted
    async with slm_up(bench, "cycles", scaling=_SCALING) as run:
        for turn in range(bench.runs):
            bench.say(f"run {turn + 1}")
            outcomes: list[float | str] = []
            for _ in range(_CYCLES_A_RUN):
                outcomes += await _cycle(run, moments.uniform(*_WINDOW_SECONDS))
            failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
            causes.update(failures)
            asked += len(outcomes)
            lost.append(len(failures))
            slowest.append(max((o for o in outcomes if isinstance(o, float)), default=0.0))
    return Report(
        name="cycles",
        about=_ABOUT,
        figures=(
            Figure(
                name=f"lost of {asked} requests",
                unit="",
                runs=tuple(lost),
                target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
            ),
            Figure(name="slowest answer", unit="s", runs=tuple(slowest)),
        ),
        notes=tuple(f"Lost {count} times: {cause}" for cause, count in causes.most_common(5)),
    )


MEASUREMENT: Final = Measurement(name="cycles", about=_ABOUT, measure=measure)


async def _cycle(run: SlmRun, pause: float) -> list[float | str]:
    outcomes = await _burst(run)
    await run.until_asleep()
    outcomes += await _burst(run)
    await asyncio.sleep(pause)
    outcomes += await _burst(run)
    await run.until_parked()
    outcomes += await _burst(run)
    return outcomes


async def _burst(run: SlmRun) -> list[float | str]:
    """Return for each request the seconds that it took, or why it is lost."""
    return list(await asyncio.gather(*(_request(run) for _ in range(_BURST))))


async def _request(run: SlmRun) -> float | str:
    try:
        reply = await run.ask(_TOKENS)
    except LostError as error:
        return str(error)
    tokens = completion_tokens(reply.body)
    return reply.seconds if tokens == _TOKENS else f"{tokens} tokens instead of {_TOKENS}"
