"""Clusters as they are observed: one roomy node, and what a test says is different."""

from dataclasses import replace
from typing import Any

from builders.cards import CardBuilder, catalog
from builders.models import GIB, gpu, small_model
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import ModelCluster, ModelClusterSpec
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.placement.cluster import (
    ClusterPlacement,
    ClusterView,
    Node,
    PoolSeats,
    Spot,
    find_spot,
    place_in_cluster,
)
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.placement.placement import Unplaced

NAMESPACE = "team"


def node(name: str = "node-a", **changes: Any) -> Node:
    """A ready node of 4 cores and 32 GiB with nothing on it; what is free follows what is there."""
    values: dict[str, Any] = {
        "name": name,
        "schedulable": True,
        "ready": True,
        "cpu_cores": 4.0,
        "memory_bytes": 32 * GIB,
    }
    values |= changes
    values.setdefault("free_cpu_cores", values["cpu_cores"])
    values.setdefault("free_memory_bytes", values["memory_bytes"])
    return Node(**values)


def gpu_node(
    name: str = "gpu-a", *, count: int = 1, free: int | None = None, **changes: Any
) -> Node:
    """A node with NVIDIA L4s, all of them free unless said otherwise."""
    stock = changes.pop("accelerator", gpu(count=count))
    taken = count if free is None else free
    return replace(node(name, **changes), accelerator=stock, free_accelerators=taken)


def view(*nodes: Node, **changes: Any) -> ClusterView:
    """A cluster of these nodes that offers llama.cpp and has no pool yet."""
    values: dict[str, Any] = {
        "name": "local",
        "nodes": nodes or (node(),),
        "engines": frozenset({Engine.LLAMA_CPP}),
        "pools": (),
        "models_per_pool": 20,
        "max_workers": 3,
        "request_timeout_seconds": 600.0,
    }
    return ClusterView(**values | changes)


def declared(name: str = "local", **spec: Any) -> ModelCluster:
    """A ModelCluster with these fields, of which nothing else is declared."""
    labels = spec.pop("labels", {})
    metadata = ObjectMeta(name=name, labels=labels)
    return ModelCluster(metadata=metadata, spec=ModelClusterSpec.model_validate(spec))


def around(*sources: DataSource, cluster: ModelCluster | None = None) -> Around:
    """One cluster, of which nothing is declared unless a test says it, and a namespace's data."""
    return Around(clusters=(facts_of(cluster or declared(), sources),), sources=sources)


def seats(worker_class: str = "cpu-4gi", **changes: Any) -> PoolSeats:
    """A pool of the model's namespace with one model in it."""
    values: dict[str, Any] = {"namespace": NAMESPACE, "models": 1, "dedicated": False}
    return PoolSeats(worker_class=worker_class, **values | changes)


def resolved(fields: dict[str, object], card: CardBuilder | None = None) -> ResolvedModel:
    """The model that these fields ask for, in a namespace with the Secret `mine`."""
    secrets = frozenset({"mine"})
    result = resolve(small_model(fields), catalog(card or CardBuilder()), secrets=secrets)
    assert isinstance(result, ResolvedModel), result
    return result


def placed(
    cluster: ClusterView, fields: dict[str, object] | None = None, card: CardBuilder | None = None
) -> ClusterPlacement:
    """What the cluster serves."""
    result = outcome(cluster, fields, card)
    assert isinstance(result, ClusterPlacement), result
    return result


def spot(cluster: ClusterView, fields: dict[str, object] | None = None) -> Spot:
    """How the cluster would run it."""
    given = fields or {}
    found = find_spot(resolved(given), small_model(given).spec, cluster, namespace=NAMESPACE)
    assert isinstance(found, Spot), found
    return found


def unplaced(
    cluster: ClusterView, fields: dict[str, object] | None = None, card: CardBuilder | None = None
) -> Unplaced:
    """Why the cluster serves nothing."""
    result = outcome(cluster, fields, card)
    assert isinstance(result, Unplaced), result
    return result


def outcome(
    cluster: ClusterView, fields: dict[str, object] | None = None, card: CardBuilder | None = None
) -> ClusterPlacement | Unplaced:
    """What comes of placing."""
    given = fields or {}
    model = small_model(given)
    return place_in_cluster(resolved(given, card), model.spec, cluster, namespace=NAMESPACE)
