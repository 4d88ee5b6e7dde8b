"""What the path adds to one request."""

from typing import Final

from bench.client import Client, Reply, chat_body
from bench.plan import Bench, Measurement
from bench.slm_up import NAME, slm_up
from bench.summary import percentile
from bench.values import Bound, Figure, Report, Target

PAIRS: Final = 300
"""Of a run."""
WARM_UP: Final = 20
"""Pairs before that, which are not counted."""
_BODY: Final = chat_body(NAME, "Say hello.", 1)

_ABOUT: Final = (
    "One-token requests, one client, in pairs: one through Envoy, HAProxy and the replica, one "
    "straight to the HTTP server of the very same engine process, in alternating order. The prompt "
    "is always the same, so that the engine has it cached and the path is not lost in its time. "
    f"A run has {PAIRS} pairs. *Added* is the difference within a pair: its median, and its 99th "
    "percentile, which holds the engine's own outliers too; the difference of the two 99th "
    "percentiles stands below it."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    gateway: list[list[float]] = []
    engine: list[list[float]] = []
    async with slm_up(bench, "latency", scaling={"minReplicas": 1, "maxReplicas": 1}) as run:
        for number in range(bench.runs):
            bench.say(f"run {number + 1}")
            alone = Client(await run.engine_url())
            through, direct = await pairs(run.client(), alone, bench.amount(PAIRS))
            alone.close()
            gateway.append(through)
            engine.append(direct)
    return Report(
        name="latency",
        about=_ABOUT,
        figures=latency_figures(gateway, engine, p50=2.5, p99=15),
    )


MEASUREMENT: Final = Measurement(name="latency", about=_ABOUT, measure=measure)


def latency_figures(
    gateway: list[list[float]], engine: list[list[float]], *, p50: float, p99: float | None
) -> tuple[Figure, ...]:
    """Return what the path adds, from the milliseconds of each pair of each run.

    Args:
        gateway: Through the whole path.
        engine: The same request, straight to the engine.
        p50: The most that the path should add, in milliseconds.
        p99: Likewise; None: no target.
    """
    added = [
        [a - b for a, b in zip(through, direct, strict=True)]
        for through, direct in zip(gateway, engine, strict=True)
    ]
    apart = tuple(
        percentile(through, 0.99) - percentile(direct, 0.99)
        for through, direct in zip(gateway, engine, strict=True)
    )
    return (
        _figure("added, p50", added, 0.5, Target(bound=Bound.AT_MOST, value=p50)),
        _figure("added, p99", added, 0.99, Target(bound=Bound.AT_MOST, value=p99) if p99 else None),
        Figure(name="p99 of the path less p99 of the engine", unit="ms", runs=apart),
        _figure("through the gateway, p50", gateway, 0.5),
        _figure("through the gateway, p99", gateway, 0.99),
        _figure("engine alone, p50", engine, 0.5),
        _figure("engine alone, p99", engine, 0.99),
    )


async def pairs(through: Client, direct: Client, count: int) -> tuple[list[float], list[float]]:
    """Send so many pairs of requests, and return the milliseconds of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + count):
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            reply = await (through, direct)[which].post("/chat/completions", _BODY)
            _check(reply)
            if number >= WARM_UP:
                times[which].append(1000 * reply.seconds)
    return times


def _check(reply: Reply) -> None:
    if reply.status != 200:
        raise RuntimeError(f"status {reply.status}: {reply.body[:300]!r}")


def _figure(
    name: str, times: list[list[float]], share: float, target: Target | None = None
) -> Figure:
    runs = tuple(percentile(values, share) for values in times)
    return Figure(name=name, unit="ms", runs=runs, target=target)
