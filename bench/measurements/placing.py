"""How long it takes to decide where a model runs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import Engine, SmallModel, SmallModelSpec
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.placement.among import place_among
from smallmodel_operator.placement.choice.decide import decide
from smallmodel_operator.placement.choice.facts import Facts, Location, Prices
from smallmodel_operator.placement.choice.money import Fit, Market, market_of
from smallmodel_operator.placement.choice.wish import Law, Policy, Read, Wish
from smallmodel_operator.placement.cluster_values import ClusterView, Node
from smallmodel_operator.placement.declared import Around

_CLUSTERS: Final = 100
_MODELS: Final = 1000
_FEWER_CLUSTERS: Final = 50
_DECISIONS: Final = 200
_GIB: Final = 2**30
_REGIONS: Final = ("eu-central-1", "eu-west-1", "us-east-1", "ap-south-1")
_COUNTRIES: Final = ("DE", "FR", "US")

_ABOUT: Final = (
    "The decision alone, on values in memory, in one process: no cluster, no API server. Clusters "
    "are in four regions and three countries; each model reads data that a law binds to two of the "
    "countries. `engine` is the law, the costs and the verdicts, with a given fit of one core; "
    "`with fits` also finds the worker class and packs it on the four nodes of each cluster, "
    "without laws and data; what came of it is remembered for as long as a cluster is as it was."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    market = market_of(_places(_CLUSTERS))
    fewer = market_of(_places(_FEWER_CLUSTERS))
    around = Around(clusters=market.places)
    views = {place.name: _view(place.name) for place in market.places}
    resolved, spec = _resolved()
    decisions = bench.amount(_DECISIONS)
    models = bench.amount(_MODELS)
    engine, fits, anew, cold = [], [], [], []
    for turn in range(bench.runs):
        bench.say(f"run {turn + 1}")
        engine.append(_p99(decisions, lambda number: _decide(number, market)))
        fits.append(_p99(decisions, lambda number: _place(number, resolved, spec, around, views)))
        anew.append(_p99(decisions, lambda number: _anew(number, resolved, spec, around, views)))
        began = time.perf_counter()
        for number in range(models):
            _decide(number, fewer)
        cold.append(time.perf_counter() - began)
    each = Target(bound=Bound.AT_MOST, value=10, judge=Judge.MEDIAN)
    return Report(
        name="placing",
        about=_ABOUT,
        figures=(
            Figure(
                name=f"engine, {_CLUSTERS} clusters, p99",
                unit="ms",
                runs=tuple(engine),
                target=each,
            ),
            Figure(
                name=f"with fits, {_CLUSTERS} clusters, p99",
                unit="ms",
                runs=tuple(fits),
                target=each,
            ),
            Figure(
                name=f"with fits, {_CLUSTERS} clusters that all changed, p99",
                unit="ms",
                runs=tuple(anew),
            ),
            Figure(
                name=f"engine, {models} models x {_FEWER_CLUSTERS} clusters",
                unit="s",
                runs=tuple(cold),
                target=Target(bound=Bound.AT_MOST, value=1),
            ),
        ),
    )


MEASUREMENT: Final = Measurement(name="placing", about=_ABOUT, measure=measure)


def _p99(times: int, act: Callable[[int], object]) -> float:
    """Return what 99 of 100 runs took at most, in milliseconds."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        act(number)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)[max(0, round(times * 0.99) - 1)]


def _decide(number: int, market: Market) -> object:
    data = Location(cluster=market.places[number % len(market.places)].name)
    wish = Wish(
        key=f"team/model-{number}",
        laws=(Law(source="records", jurisdictions=frozenset(_COUNTRIES[:2])),),
        reads=(Read(source="records", locations=(data,), gb_per_hour=1.0),),
    )
    fit = Fit(cpu=1.0, memory_bytes=_GIB)
    return decide(wish, market, lambda place: fit, Policy())


def _place(
    number: int,
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    around: Around,
    views: Mapping[str, ClusterView],
) -> object:
    key = f"model-{number}"
    return place_among(resolved, spec, around, views, namespace="team", key=key)


def _anew(
    number: int,
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    around: Around,
    views: Mapping[str, ClusterView],
) -> object:
    """Place where nothing is remembered of the clusters from the decisions before."""
    seen = {name: replace(view) for name, view in views.items()}
    return _place(number, resolved, spec, around, seen)


def _places(count: int) -> tuple[Facts, ...]:
    return tuple(
        Facts(
            name=f"cluster-{number}",
            where=Location(provider="aws", region=_REGIONS[number % len(_REGIONS)]),
            jurisdiction=_COUNTRIES[number % len(_COUNTRIES)],
            prices=Prices(cpu_hour=0.03 + number / 10000, memory_gb_hour=0.004),
        )
        for number in range(count)
    )


def _view(name: str) -> ClusterView:
    node = Node(
        name="node-0",
        schedulable=True,
        ready=True,
        cpu_cores=8.0,
        memory_bytes=32 * _GIB,
        free_cpu_cores=6.0,
        free_memory_bytes=24 * _GIB,
    )
    return ClusterView(
        name=name,
        nodes=tuple(replace(node, name=f"node-{number}") for number in range(4)),
        engines=frozenset({Engine.LLAMA_CPP}),
        pools=(),
        models_per_pool=20,
        max_workers=3,
        request_timeout_seconds=600.0,
    )


def _resolved() -> tuple[ResolvedModel, SmallModelSpec]:
    spec = SmallModelSpec(model="smollm2-135m-instruct")
    model = SmallModel(metadata=ObjectMeta(name="chat"), spec=spec)
    found = resolve(model, fetch_bundled_cards(), secrets=frozenset())
    if not isinstance(found, ResolvedModel):
        raise TypeError(found.message)
    return found, spec
