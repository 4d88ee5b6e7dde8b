"""Clusters and models that are made up: values in memory, the same for the same number."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.datasource import (
    DataLocation,
    DataSource,
    DataSourceSpec,
    Residency,
)
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import (
    DataUse,
    Engine,
    Scaling,
    SmallModel,
    SmallModelSpec,
)
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.placement.choice.facts import Facts, Location, Prices
from smallmodel_operator.placement.cluster_values import ClusterView, Node
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.placement.machine import AcceleratorStock

NAMESPACE: Final = "team"
SOURCE: Final = "records"
_GIB: Final = 2**30
_NODES: Final = 4
_REGIONS: Final = ("eu-central-1", "eu-west-1", "us-east-1", "ap-south-1")
_COUNTRIES: Final = ("DE", "FR", "US")
_WITH_DEVICES: Final = 5
"""One cluster of so many has devices."""
_CARDS: Final = (
    "smollm2-135m-instruct",
    "smollm2-360m-instruct",
    "smollm2-1.7b-instruct",
    "qwen2.5-0.5b-instruct",
    "tinyllama-1.1b-chat",
)
_REPLICAS: Final = (0, 0, 1, 2)
_CONTEXTS: Final = (1024, 2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A model that is to be placed."""

    name: str
    resolved: ResolvedModel
    spec: SmallModelSpec


def around(count: int, turn: int = 0) -> Around:
    """Return clusters and the law of the data that models read.

    Args:
        count: How many.
        turn: With another number prices are others.
    """
    places = tuple(_place(number, turn) for number in range(count))
    return Around(clusters=places, sources=(_source(),))


def views(count: int, turn: int = 0) -> dict[str, ClusterView]:
    """Return what was seen of the nodes of as many clusters.

    Args:
        count: How many.
        turn: With another number other pods run on each node.
    """
    return {f"cluster-{number}": _view(number, turn) for number in range(count)}


def asked(count: int) -> tuple[Asked, ...]:
    """Return models of several cards and sizes.

    Raises:
        TypeError: A card of the catalogue cannot be served.
    """
    catalog = fetch_bundled_cards()
    kinds: dict[tuple[str, int, int], tuple[ResolvedModel, SmallModelSpec]] = {}
    found = []
    for number in range(count):
        kind = (
            _CARDS[number % len(_CARDS)],
            _REPLICAS[number // 5 % len(_REPLICAS)],
            _CONTEXTS[number // 20 % len(_CONTEXTS)],
        )
        if kind not in kinds:
            spec = SmallModelSpec(
                model=kind[0],
                scaling=Scaling(min_replicas=kind[1]),
                context_length=kind[2],
                data=(DataUse(name=SOURCE, read_per_hour="1G"),),
            )
            model = SmallModel(metadata=ObjectMeta(name="any"), spec=spec)
            resolved = resolve(model, catalog, secrets=frozenset())
            if not isinstance(resolved, ResolvedModel):
                raise TypeError(resolved.message)
            kinds[kind] = resolved, spec
        found.append(Asked(name=f"model-{number}", resolved=kinds[kind][0], spec=kinds[kind][1]))
    return tuple(found)


def _source() -> DataSource:
    return DataSource(
        metadata=ObjectMeta(name=SOURCE, namespace=NAMESPACE),
        spec=DataSourceSpec(
            locations=(DataLocation(cluster="cluster-0"), DataLocation(cluster="cluster-1")),
            residency=Residency(jurisdictions=_COUNTRIES[:2]),
        ),
    )


def _place(number: int, turn: int) -> Facts:
    return Facts(
        name=f"cluster-{number}",
        where=Location(provider="aws", region=_REGIONS[number % len(_REGIONS)]),
        jurisdiction=_COUNTRIES[number % len(_COUNTRIES)],
        prices=Prices(cpu_hour=0.03 + number / 10000 + turn / 1e6, memory_gb_hour=0.004),
    )


def _view(number: int, turn: int) -> ClusterView:
    return ClusterView(
        name=f"cluster-{number}",
        nodes=tuple(_node(number, each, turn) for each in range(_NODES)),
        engines=frozenset({Engine.LLAMA_CPP, Engine.VLLM}),
        pools=(),
        models_per_pool=20,
        max_workers=3,
        request_timeout_seconds=600.0,
    )


def _node(cluster: int, number: int, turn: int) -> Node:
    devices = cluster % _WITH_DEVICES == 0
    taken = (cluster * _NODES + number + turn) * 2**20
    return Node(
        name=f"node-{number}",
        schedulable=True,
        ready=True,
        cpu_cores=8.0,
        memory_bytes=32 * _GIB,
        free_cpu_cores=6.0,
        free_memory_bytes=24 * _GIB - taken,
        accelerator=AcceleratorStock(product="NVIDIA-L4", count=1, memory_bytes=23 * _GIB)
        if devices
        else None,
        free_accelerators=1 if devices else 0,
    )
