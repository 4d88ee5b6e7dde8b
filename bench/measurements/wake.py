"""How long the first token takes after sleep and after parking."""

from typing import Final

from bench.client import first_token_seconds
from bench.plan import Bench, Measurement
from bench.slm_up import SlmRun, slm_up
from bench.values import Bound, Figure, Report, Target

_ABOUT: Final = (
    "A streamed request to a model that sleeps (weights out of memory, process there) and to one "
    "that is parked (no replica), from sending it to the first event with text. The client makes "
    "no second try."
)
_SCALING: Final = {"idleTimeout": "1s", "parkAfter": "6s", "maxReplicas": 1}


async def measure(bench: Bench) -> Report:
    """Measure."""
    asleep: list[float] = []
    parked: list[float] = []
    awake: list[float] = []
    async with slm_up(bench, "wake", scaling=_SCALING) as run:
        for turn in range(bench.runs):
            bench.say(f"run {turn + 1}")
            awake.append(await _first_token(run))
            await run.until_asleep()
            asleep.append(await _first_token(run))
            await run.until_parked()
            parked.append(await _first_token(run))
    return Report(
        name="wake",
        about=_ABOUT,
        figures=(
            Figure(
                name="first token, asleep",
                unit="s",
                runs=tuple(asleep),
                target=Target(bound=Bound.AT_MOST, value=1),
            ),
            Figure(
                name="first token, parked",
                unit="s",
                runs=tuple(parked),
                target=Target(bound=Bound.AT_MOST, value=5),
            ),
            Figure(name="first token, awake", unit="s", runs=tuple(awake)),
        ),
    )


MEASUREMENT: Final = Measurement(name="wake", about=_ABOUT, measure=measure)


async def _first_token(run: SlmRun) -> float:
    seconds = first_token_seconds(await run.ask(8, stream=True))
    if seconds is None:
        raise RuntimeError("the stream had no text")
    return seconds
