"""All cores or all but one: with one engine at work, and with two."""

import asyncio
import contextlib
from typing import Final

from bench.bare_engine import bare_engine, engine_args, fetched_weights
from bench.generate import generate
from bench.plan import Bench, Measurement
from bench.values import Figure, Report
from smallmodel_operator.local.machine import usable_cores

_CONTEXT: Final = 2048
_SLOTS: Final = 4
_CLIENTS: Final = 2
_REQUESTS: Final = 2
_TOKENS: Final = 64

_ABOUT: Final = (
    "The engine alone, in one process and in two that work at the same time, each with all cores "
    f"as threads and with one fewer; {_CLIENTS} clients for each engine. The figure is the sum of "
    "the tokens of all engines per second. It is the ground of the rule that an engine takes all "
    "cores when it loads alone, and one fewer beside another."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    weights = await fetched_weights()
    cores = usable_cores()
    choices = sorted({cores, max(1, cores - 1)}, reverse=True)
    rates: dict[tuple[int, int], list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        urls: dict[int, list[str]] = {}
        for threads in choices:
            args = engine_args(weights, context_length=_CONTEXT, slots=_SLOTS, threads=threads)
            urls[threads] = [
                await stack.enter_async_context(bare_engine(bench, args)) for _ in range(2)
            ]
        for turn in range(bench.runs):
            bench.say(f"run {turn + 1}")
            for engines in (1, 2):
                for threads in choices if turn % 2 else reversed(choices):
                    rate = await _rate(bench, urls[threads][:engines])
                    rates.setdefault((engines, threads), []).append(rate)
    figures = tuple(
        Figure(
            name=f"{engines} at work, {threads} threads each",
            unit="tokens/s",
            runs=tuple(values),
        )
        for (engines, threads), values in sorted(rates.items())
    )
    return Report(name="threads", about=_ABOUT, figures=figures)


MEASUREMENT: Final = Measurement(name="threads", about=_ABOUT, measure=measure)


async def _rate(bench: Bench, urls: list[str]) -> float:
    requests = bench.amount(_REQUESTS)
    loads = (generate(url, clients=_CLIENTS, requests=requests, tokens=_TOKENS) for url in urls)
    return sum(rate.per_second for rate in await asyncio.gather(*loads))
