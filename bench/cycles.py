"""Cycles of sleep: bursts of requests while a model falls asleep, parks and wakes."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bench.client import LostError
from bench.plan import Bench
from bench.values import Bound, Figure, Judge, Target

SCALING: Final = {"idleTimeout": "1s", "parkAfter": "4s", "maxReplicas": 1}
TOKENS: Final = 4
"""Of each answer."""

_BURST: Final = 5
_CYCLES_A_RUN: Final = 2
_CAUSES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeper:
    """A model with the scaling from above, and the ways to it."""

    ask: Callable[[], Awaitable[float]]
    """Returns the seconds that a request took; LostError says why it is lost."""
    until_asleep: Callable[[], Awaitable[object]]
    until_parked: Callable[[], Awaitable[object]]
    window: tuple[float, float]
    """Seconds from falling asleep in which the replica goes: a random moment of it is tried."""
    seed: int
    """Of these moments, so that another run has the same."""


def describe_cycles(way: str = "") -> str:
    """Return in sentences what is done; `way` follows the bursts of requests."""
    return (
        f"A cycle is four bursts of {_BURST} requests at once{way}: while awake, when the engine "
        "has just fallen asleep, at a random moment while the replica is on its way out, and when "
        f"it is gone. A run has {_CYCLES_A_RUN} cycles. Every request has a connection of its own "
        "and no second try; it is lost unless it is answered with status 200 and its tokens."
    )


async def measure_cycles(bench: Bench, sleeper: Sleeper) -> tuple[tuple[Figure, ...], list[str]]:
    """Return the figures, and what the lost requests came to."""
    lost: list[float] = []
    slowest: list[float] = []
    causes: Counter[str] = Counter()
    asked = 0
    moments = random.Random(sleeper.seed)  # noqa: S311 - a reproducible sequence is what is wanted
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        outcomes: list[float | str] = []
        for _ in range(_CYCLES_A_RUN):
            outcomes += await _cycle(sleeper, moments.uniform(*sleeper.window))
        failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
        causes.update(failures)
        asked += len(outcomes)
        lost.append(len(failures))
        slowest.append(max((o for o in outcomes if isinstance(o, float)), default=0.0))
    figures = (
        Figure(
            name=f"lost of {asked} requests",
            unit="",
            runs=tuple(lost),
            target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
        ),
        Figure(name="slowest answer", unit="s", runs=tuple(slowest)),
    )
    shown = causes.most_common(_CAUSES_SHOWN)
    return figures, [f"Lost {count} times: {cause}" for cause, count in shown]


async def _cycle(sleeper: Sleeper, pause: float) -> list[float | str]:
    outcomes = await _burst(sleeper)
    await sleeper.until_asleep()
    outcomes += await _burst(sleeper)
    await asyncio.sleep(pause)
    outcomes += await _burst(sleeper)
    await sleeper.until_parked()
    outcomes += await _burst(sleeper)
    return outcomes


async def _burst(sleeper: Sleeper) -> list[float | str]:
    """Return for each request the seconds that it took, or why it is lost."""
    return list(await asyncio.gather(*(_request(sleeper) for _ in range(_BURST))))


async def _request(sleeper: Sleeper) -> float | str:
    try:
        return await sleeper.ask()
    except LostError as error:
        return str(error)
