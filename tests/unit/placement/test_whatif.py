"""What would become of running models in another world."""

from typing import Any

import pytest

from builders.clusters import declared
from builders.models import small_model as spec_of
from builders.placements import placement_spec
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec
from smallmodel_operator.api.jurisdictions import GROUPS
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import ModelCluster, ModelClusterStatus
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelReference, WorkerClass
from smallmodel_operator.api.names import placement_name
from smallmodel_operator.api.smallmodel import Accelerator, SmallModel
from smallmodel_operator.placement.whatif import Change, Fate, World, what_if

ROOMY = ModelClusterStatus(cpu="16", memory="64Gi")
L4 = WorkerClass(
    name="l4", cpu="1", memory="4Gi", accelerator=Accelerator(class_="NVIDIA-L4"), max_workers=3
)


def cluster(
    name: str, core: str | None = "0.04", status: ModelClusterStatus = ROOMY, **spec: Any
) -> ModelCluster:
    prices = {} if core is None else {"prices": {"cpuHour": core, "memoryGBHour": "0"}}
    made = declared(name, **{"jurisdiction": "DE"} | prices | spec)
    return made.model_copy(update={"status": status})


def model(name: str = "chat", namespace: str = "team", **fields: Any) -> SmallModel:
    metadata = ObjectMeta(name=name, namespace=namespace)
    return SmallModel(metadata=metadata, spec=spec_of(fields).spec)


def placed(
    where: str, name: str = "chat", namespace: str = "team", **changes: Any
) -> ModelPlacement:
    metadata = ObjectMeta(name=placement_name(namespace, name), **changes.pop("metadata", {}))
    reference = ModelReference(namespace=namespace, name=name, generation=1)
    spec = placement_spec(name, cluster=where, model=reference, **changes)
    return ModelPlacement(metadata=metadata, spec=spec)


def world(*clusters: ModelCluster, **changes: Any) -> World:
    values: dict[str, Any] = {
        "sources": (),
        "models": (model(),),
        "placements": (placed("here"),),
    }
    return World(clusters=clusters, **values | changes)


def fate(there: World, **change: Any) -> Fate:
    (found,) = what_if(there, Change(**change))
    return found


HERE, NEAR, FAR = cluster("here"), cluster("near", "0.05"), cluster("far", jurisdiction="US")


def test_in_the_same_world_a_model_stays_and_costs_the_same() -> None:
    found = fate(world(HERE, NEAR))

    assert (found.now, found.then, found.moves) == ("here", "here", False)
    assert found.cost_now == found.cost_then
    assert found.why.startswith("Kept: ")


def test_a_model_of_a_lost_cluster_moves_to_the_cheapest_that_is_left() -> None:
    found = fate(world(HERE, NEAR, cluster("dear", "9")), lost=frozenset({"here"}))

    assert (found.then, found.moves) == ("near", True)
    assert found.why.startswith("here is lost; then LowestCost: ")
    assert found.cost_now is not None
    assert found.cost_then is not None
    # With the head of a new pool.
    assert found.cost_then.compute == pytest.approx(0.05 * 2.25)


def test_a_model_of_the_only_cluster_that_is_lost_has_no_place() -> None:
    found = fate(world(HERE), lost=frozenset({"here"}))

    assert (found.then, found.cost_then, found.why) == (None, None, "here is lost")


def test_a_price_that_is_doubled_moves_what_is_clearly_cheaper_elsewhere() -> None:
    found = fate(world(HERE, NEAR), factors={"here": 3.0})

    assert found.then == "near"
    assert found.why.startswith("CostHigher: +0.13 USD/h against near")


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_price_that_is_hardly_higher_moves_nothing(factor: float) -> None:
    assert not fate(world(HERE, NEAR), factors={"here": factor}).moves


def test_an_assumed_price_and_one_of_electricity_can_be_doubled_too() -> None:
    def compute(spec: dict[str, Any], factor: float, **changes: Any) -> float:
        place = cluster("here", None, **spec)
        cost = fate(
            world(place, placements=(placed("here", **changes),)), factors={"here": factor}
        ).cost_then
        assert cost is not None
        return cost.compute

    for spec, changes in (
        ({}, {}),
        ({}, {"worker": L4}),
        ({"prices": {"electricityKWh": "0.3"}}, {}),
    ):
        once, twice = compute(spec, 1.0, **changes), compute(spec, 2.0, **changes)
        assert twice == pytest.approx(2 * once)


def test_a_law_moves_the_models_of_its_namespace_and_no_others() -> None:
    there = world(
        HERE,
        FAR,
        models=(model(), model(namespace="web")),
        placements=(placed("here"), placed("here", namespace="web")),
    )

    team, web = what_if(there, Change(laws=(("team", frozenset({"US"})),)))
    assert (team.namespace, team.then) == ("team", "far")
    assert "here is in DE; the added law may be read in US only" in team.why
    assert not web.moves

    for found in what_if(there, Change(laws=((None, GROUPS["EEA"] - {"DE"}),))):
        assert found.then is None
        assert found.why.endswith("; nor far (ResidencyForbidden)")


def test_a_recorded_law_holds_in_every_world() -> None:
    source = DataSource(
        metadata=ObjectMeta(name="records", namespace="team"),
        spec=DataSourceSpec.model_validate({"residency": {"jurisdictions": ["DE"]}}),
    )

    assert fate(world(HERE, FAR, sources=(source,)), lost=frozenset({"here"})).then is None


@pytest.mark.parametrize(
    ("status", "worker", "code"),
    [
        (ModelClusterStatus(), None, "StaleFacts"),
        (ModelClusterStatus(cpu="16"), None, "StaleFacts"),
        (ModelClusterStatus(cpu="16", memory="4Gi"), None, "MemoryFit"),
        (ModelClusterStatus(cpu="2", memory="64Gi"), None, "CpuFit"),
        (ROOMY, L4, "AcceleratorMissing"),
    ],
)
def test_a_cluster_without_room_takes_nothing(
    status: ModelClusterStatus, worker: WorkerClass | None, code: str
) -> None:
    changes: dict[str, Any] = {"worker": worker} if worker else {}
    placement = placed("here", **changes)

    found = fate(
        world(HERE, cluster("small", status=status), placements=(placement,)),
        lost=frozenset({"here"}),
    )

    assert found.then is None
    assert found.why == f"here is lost; nor small ({code})"


def test_what_does_not_run_or_is_going_is_not_told_of() -> None:
    going = placed("here", metadata={"deletion_timestamp": "2026-11-24T12:00:00Z"})

    assert what_if(world(HERE, placements=()), Change()) == ()
    assert what_if(world(HERE, placements=(going,)), Change()) == ()


def test_what_is_held_where_it_may_not_be_has_no_price() -> None:
    tainted = cluster("here", taints=[{"key": "away"}])

    found = fate(world(tainted))

    assert (found.then, found.cost_now, found.cost_then) == ("here", None, None)
    assert found.why.startswith("Held: ")
