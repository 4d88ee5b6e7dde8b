"""Whether models are decided to move when clusters cannot be reached, on a turned clock."""

from typing import Any, Final

from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target
from builders.fake_hub import FakeHub, priced

_CLUSTERS: Final = 10
_CUT: Final = 3
_MODELS: Final = 100
_CUT_SECONDS: Final = 300.0
_STEP_SECONDS: Final = 10.0

_ABOUT: Final = (
    f"The decisions alone, on a clock that is turned and not waited for: {_MODELS} models on"
    f" {_CLUSTERS} clusters of one price, which all answer requests. {_CUT} clusters are cut"
    f" off for {_CUT_SECONDS:g} s, other ones in each run, and are back for as long; every "
    f"model is decided on each {_STEP_SECONDS:g} s. A move is a copy that was begun or taken"
    " down."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    there, moves = list[float](), list[float]()
    for run in range(bench.runs):
        names = [_name(number) for number in range(_CLUSTERS)]
        cut = [names[(_CUT * run + number) % _CLUSTERS] for number in range(_CUT)]
        hub = served(names, bench.amount(_MODELS))
        there.append(sum(len(hub.where(model)) for model in hub.models if _is_on(hub, model, cut)))
        moves.append(moves_by_cut(hub, cut, _CUT_SECONDS))
    return Report(
        name="replay",
        about=_ABOUT,
        figures=(
            Figure(name="models of clusters that are cut off", unit="", runs=tuple(there)),
            Figure(
                name="moves",
                unit="",
                runs=tuple(moves),
                target=Target(bound=Bound.AT_MOST, value=0, judge=Judge.SUM),
            ),
        ),
    )


MEASUREMENT: Final = Measurement(name="replay", about=_ABOUT, measure=measure)


def served(clusters: list[str], models: int, **placement: Any) -> FakeHub:
    """Return a hub on which models answer, on any of these clusters.

    Args:
        clusters: Their names.
        models: How many.
        placement: Fields of their `spec.placement`.
    """
    hub = FakeHub().join(*(priced(name, "1") for name in clusters))
    for number in range(models):
        hub.ask(f"chat-{number:03}", placement=placement)
    return hub.settle()


def moves_by_cut(hub: FakeHub, clusters: list[str], seconds: float) -> int:
    """Return how many copies are begun or taken down because clusters are cut off for a time."""
    begun, ended = len(hub.made), len(hub.dropped)
    hub.cut(*clusters).wait(seconds, _STEP_SECONDS)
    hub.mend(*clusters).wait(seconds, _STEP_SECONDS)
    return len(hub.made) - begun + len(hub.dropped) - ended


def _is_on(hub: FakeHub, model: str, clusters: list[str]) -> bool:
    return not set(hub.where(model)).isdisjoint(clusters)


def _name(number: int) -> str:
    return f"cluster-{number}"
