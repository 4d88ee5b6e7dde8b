"""How long it takes to decide where models run."""

import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from bench.hybrid import world
from bench.hybrid.world import Asked
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Report, Target
from smallmodel_operator.placement.among import Placed, place_among
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.declared import Around

_CLUSTERS: Final = 100
_MODELS: Final = 1000
_FEWER_CLUSTERS: Final = 50
_DECISIONS: Final = 200

_ABOUT: Final = (
    "The decisions alone, on values in memory, in one process: no cluster and no API server. They "
    "wait for nothing, so what is counted is the processor time of the one thread. The clusters "
    "are in four regions and three countries and have four nodes each, one in five has devices. "
    "The models are of five cards in eight sizes each; they read data that a law binds to two of "
    "the countries. A decision is all of it: law, bounds, the worker class and its packing on the "
    "nodes, costs, verdicts. *All changed*: before each decision, prices and what is free on each "
    "node of each cluster become other numbers than any before, so that nothing can be remembered "
    "of them; what making them leaves behind in memory is cleared before. *Nothing changed*: all "
    "decisions are about the same clusters. *From nothing*: the numbers are others in each run, "
    "and its first decision begins with none."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    asked = world.asked(_MODELS)
    decisions, models = bench.amount(_DECISIONS), bench.amount(_MODELS)
    changed, same, cold = [], [], []
    for run in range(bench.runs):
        bench.say(f"run {run + 1}")
        changed.append(_p99([_all_changed(asked[at], at + run * 1000) for at in range(decisions)]))
        same.append(_p99(_nothing_changed(asked[:decisions], run)))
        cold.append(_from_nothing(asked[:models], run))
    return Report(
        name="deciding",
        about=_ABOUT,
        figures=(
            Figure(
                name=f"one decision, {_CLUSTERS} clusters, all changed, p99",
                unit="ms",
                runs=tuple(changed),
                target=Target(bound=Bound.AT_MOST, value=10),
            ),
            Figure(
                name=f"one decision, {_CLUSTERS} clusters, nothing changed, p99",
                unit="ms",
                runs=tuple(same),
                target=Target(bound=Bound.AT_MOST, value=10),
            ),
            Figure(
                name=f"{models} models x {_FEWER_CLUSTERS} clusters from nothing",
                unit="s",
                runs=tuple(cold),
                target=Target(bound=Bound.AT_MOST, value=1),
            ),
        ),
    )


MEASUREMENT: Final = Measurement(name="deciding", about=_ABOUT, measure=measure)


def _all_changed(one: Asked, turn: int) -> float:
    """Return how long a decision took on clusters that nobody has seen before."""
    around, views = world.around(_CLUSTERS, turn), world.views(_CLUSTERS, turn)
    # What making them left behind is not the decision's to clear away.
    gc.collect()
    return _timed(partial(_place, one, around, views))


def _nothing_changed(asked: tuple[Asked, ...], turn: int) -> list[float]:
    """Return how long each decision took where all are about the same clusters."""
    around, views = world.around(_CLUSTERS, turn), world.views(_CLUSTERS, turn)
    return [_timed(partial(_place, one, around, views)) for one in asked]


def _from_nothing(asked: tuple[Asked, ...], turn: int) -> float:
    """Return how long it took to decide of all models, in seconds."""
    around, views = world.around(_FEWER_CLUSTERS, turn), world.views(_FEWER_CLUSTERS, turn)

    def decide() -> None:
        for one in asked:
            _place(one, around, views)

    return _timed(decide) / 1000


def _place(one: Asked, around: Around, views: Mapping[str, ClusterView]) -> Placed:
    return place_among(
        one.resolved, one.spec, around, views, namespace=world.NAMESPACE, key=one.name
    )


def _timed(act: Callable[[], object]) -> float:
    """Return how long it took, in milliseconds."""
    began = time.thread_time()
    act()
    return (time.thread_time() - began) * 1000


def _p99(taken: list[float]) -> float:
    """Return what 99 of 100 took at most."""
    return sorted(taken)[max(0, round(len(taken) * 0.99) - 1)]
