"""Tokens per second through the whole path, against the engine alone."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from bench.bare_engine import bare_engine, engine_args, fetched_weights
from bench.generate import Rate, generate
from bench.plan import Bench, Measurement
from bench.slm_up import slm_up
from bench.tables import number
from bench.values import Bound, Breakdown, Figure, Report, Target
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.local.machine import usable_cores

_TOKENS: Final = 64
_REQUESTS: Final = {1: 3, 8: 2}
"""Requests of each client, by the number of clients."""
_SLOTS: Final = (1, 4, 8)

_ABOUT: Final = (
    f"Streams of {_TOKENS} tokens, end-of-sequence ignored, by one client and by eight. "
    "*Same settings* is the HTTP server of the very same engine process. *Best setting* is another "
    "process with the engine alone, whose threads and slots did best in a sweep in the same run, "
    "with as many tokens of context per slot. In a run each is measured twice, in the order path, "
    "engine, best, best, engine, path."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    weights = await fetched_weights()
    scaling = {"minReplicas": 1, "maxReplicas": 1}
    async with slm_up(bench, "tokens", scaling=scaling) as run:
        size = run.report().size
        assert size is not None, "a Ready model has a size"
        context = size.context_length
        engine = await run.engine_url()
        best, sweep = await _sweep(bench, weights, context)
        rates: dict[int, list[dict[str, Rate]]] = {1: [], 8: []}
        for turn in range(bench.runs):
            bench.say(f"run {turn + 1}")
            for clients, runs in rates.items():
                threads, slots = best[clients]
                async with _warm(bench, weights, context, threads, slots) as alone:
                    urls = {"path": run.url, "engine": engine, "best": alone}
                    runs.append(await _there_and_back(bench, urls, clients))
    figures = [figure for clients, runs in rates.items() for figure in _figures(clients, runs)]
    return Report(
        name="tokens",
        about=_ABOUT,
        figures=tuple(figures),
        breakdowns=(sweep,),
        notes=(
            f"The path's engine has {size.slots} slots of {context} tokens. The best setting is "
            + " and ".join(
                f"{threads} threads with {slots} slots for {_clients(clients)}"
                for clients, (threads, slots) in best.items()
            )
            + ".",
        ),
    )


MEASUREMENT: Final = Measurement(name="tokens", about=_ABOUT, measure=measure)


async def _there_and_back(bench: Bench, urls: dict[str, str], clients: int) -> dict[str, Rate]:
    rates = {name: Rate(0, 0.0) for name in urls}
    for name in (*urls, *reversed(urls)):
        rates[name] += await _generate(bench, urls[name], clients)
    return rates


async def _generate(bench: Bench, url: str, clients: int) -> Rate:
    requests = bench.amount(_REQUESTS[clients])
    return await generate(url, clients=clients, requests=requests, tokens=_TOKENS)


@contextlib.asynccontextmanager
async def _warm(
    bench: Bench, weights: FetchDone, context: int, threads: int, slots: int
) -> AsyncIterator[str]:
    args = engine_args(weights, context_length=context, slots=slots, threads=threads)
    async with bare_engine(bench, args) as url:
        await generate(url, clients=1, requests=1, tokens=8)
        yield url


async def _sweep(
    bench: Bench, weights: FetchDone, context: int
) -> tuple[dict[int, tuple[int, int]], Breakdown]:
    """Return the best threads and slots by the number of clients, and what each one gave."""
    cores = usable_cores()
    tried: dict[tuple[int, int], dict[int, float]] = {}
    for threads in range(1, cores + 1):
        for slots in _SLOTS:
            bench.say(f"sweep: {threads} threads, {slots} slots")
            async with _warm(bench, weights, context, threads, slots) as url:
                tried[threads, slots] = {
                    clients: (await _generate(bench, url, clients)).per_second
                    for clients in _REQUESTS
                }
    best = {
        clients: max(tried, key=lambda setting, at=clients: tried[setting][at])  # type: ignore[misc]  # mypy has no type for a lambda's default
        for clients in _REQUESTS
    }
    rows = tuple(
        (str(threads), str(slots), *(number(rate) for rate in rates.values()))
        for (threads, slots), rates in tried.items()
    )
    columns = ("Threads", "Slots", *(f"tokens/s, {_clients(clients)}" for clients in _REQUESTS))
    return best, Breakdown(
        title="The sweep of the engine alone, once each", columns=columns, rows=rows
    )


def _figures(clients: int, runs: list[dict[str, Rate]]) -> list[Figure]:
    who = _clients(clients)

    def share(of: str) -> tuple[float, ...]:
        return tuple(100 * run["path"].per_second / run[of].per_second for run in runs)

    def rate(of: str) -> tuple[float, ...]:
        return tuple(run[of].per_second for run in runs)

    return [
        Figure(
            name=f"{who}: of the engine with the same settings",
            unit="%",
            runs=share("engine"),
            target=Target(bound=Bound.AT_LEAST, value=97),
        ),
        Figure(
            name=f"{who}: of the engine at its best setting",
            unit="%",
            runs=share("best"),
            target=Target(bound=Bound.AT_LEAST, value=85),
        ),
        Figure(name=f"{who}: through the gateway", unit="tokens/s", runs=rate("path")),
        Figure(name=f"{who}: engine, same settings", unit="tokens/s", runs=rate("engine")),
        Figure(name=f"{who}: engine, best setting", unit="tokens/s", runs=rate("best")),
    ]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"
