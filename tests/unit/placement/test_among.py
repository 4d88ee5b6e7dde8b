"""Which of several clusters serves a resolved model, and that one alone is as it ever was."""

from dataclasses import replace
from typing import Any

import pytest

from builders.clusters import (
    NAMESPACE,
    around,
    declared,
    gpu_node,
    node,
    placed,
    resolved,
    seats,
    spot,
    unplaced,
    view,
)
from builders.models import GIB, gpu, small_model
from builders.placements import placement_spec
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec, DataSourceStatus
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacementSpec, PinnedWeights, WorkerClass
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, Engine
from smallmodel_operator.placement.among import (
    Placed,
    Running,
    fit_of,
    place_among,
    weigh_running,
)
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.facts import Facts
from smallmodel_operator.placement.cluster import ClusterPlacement, ClusterView
from smallmodel_operator.placement.cluster_workers import HEAD_CPU, HEAD_MEMORY
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.placement.placement import Unplaced

BOTH = frozenset({Engine.LLAMA_CPP, Engine.VLLM})
TINY = node("tiny", memory_bytes=GIB)
BUSY = node("busy", free_memory_bytes=0)


def among(
    *clusters: ClusterView,
    incumbent: ModelPlacementSpec | None = None,
    **fields: Any,
) -> ClusterPlacement | Unplaced:
    found = Around(clusters=tuple(Facts(name=one.name) for one in clusters))
    return made_or_why(full(found, *clusters, incumbent=incumbent, **fields))


def made_or_why(found: Placed) -> ClusterPlacement | Unplaced:
    outcome = found.made[0] if found.made else found.lacking
    assert outcome is not None
    return outcome


def full(
    around: Around,
    *clusters: ClusterView,
    incumbent: ModelPlacementSpec | None = None,
    **fields: Any,
) -> Placed:
    return place_among(
        resolved(fields),
        small_model(fields).spec,
        around,
        {one.name: one for one in clusters},
        namespace=NAMESPACE,
        key="team-chat-1234",
        running=(Running(pinned=incumbent),) if incumbent else (),
    )


def test_one_cluster_serves_what_it_would_serve_by_itself() -> None:
    assert among(view()) == placed(view())


def test_no_more_fits_are_remembered_than_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallmodel_operator.placement.among._KNOWN_FITS_MAX", 1)
    cluster = view()

    first = among(cluster)
    among(cluster, contextLength=512)

    assert len(cluster.known_fits) == 1
    assert among(cluster) == first


@pytest.mark.parametrize("cluster", [view(TINY), view(BUSY)], ids=["never", "not now"])
def test_one_cluster_without_room_says_what_it_would_say_by_itself(cluster: ClusterView) -> None:
    assert among(cluster) == unplaced(cluster)


def test_a_cluster_with_room_is_taken_whatever_its_place_in_the_list() -> None:
    full, free = view(TINY, name="full"), view(name="free")

    for clusters in ((full, free), (free, full)):
        made = among(*clusters)
        assert isinstance(made, ClusterPlacement)
        assert made.placement.machine == "free"


def test_a_cluster_with_a_pool_to_join_is_cheaper_than_one_that_needs_a_head() -> None:
    joined = view(name="joined", pools=(seats(),))

    made = among(view(name="new"), joined)

    assert isinstance(made, ClusterPlacement)
    assert (made.placement.machine, made.new_pool) == ("joined", False)


def test_without_room_anywhere_the_nearest_miss_is_the_reason_and_each_says_its_own() -> None:
    made = among(view(TINY, name="tiny"), view(BUSY, name="busy"))

    assert isinstance(made, Unplaced)
    assert (made.reason, made.waits) == (Reason.MEMORY_FIT, True)
    assert "cluster tiny" in made.message
    assert "busy has most free" in made.message


def test_what_runs_stays_where_it_is_and_where_it_has_no_room_any_more_says_why() -> None:
    spec = placement_spec(cluster="there")
    there, other = view(name="there"), view(name="other", pools=(seats(),))

    stays = among(there, other, incumbent=spec)
    assert isinstance(stays, ClusterPlacement)
    assert stays.placement.machine == "there"

    nowhere = among(view(TINY, name="there"), incumbent=spec, scaling={"minReplicas": 2})
    assert isinstance(nowhere, Unplaced)
    assert nowhere.reason is Reason.MEMORY_FIT


def test_a_placement_takes_its_worker_its_head_and_its_part_of_a_device() -> None:
    made = spot(view())
    alone = fit_of(made)
    assert (alone.cpu, alone.memory_bytes, alone.devices) == (2.0, 4 * GIB, 0.0)
    assert (alone.head_cpu, alone.head_memory_bytes) == (HEAD_CPU, HEAD_MEMORY)
    assert alone.weights_bytes == made.question.candidate.option.size.weights

    joined = fit_of(replace(made, new_pool=False))
    assert (joined.head_cpu, joined.head_memory_bytes) == (0.0, 0)

    roomy = view(gpu_node(accelerator=gpu(memory=10 * GIB)), engines=BOTH)
    part = fit_of(spot(roomy))
    assert part.product == "NVIDIA-L4"
    assert 0 < part.devices < 1

    whole = fit_of(spot(roomy, {"isolation": "Dedicated"}))
    assert whole.devices == 1.0


def source(name: str = "records", **spec: object) -> DataSource:
    metadata = ObjectMeta(name=name, namespace=NAMESPACE)
    return DataSource(metadata=metadata, spec=DataSourceSpec.model_validate(spec))


GERMAN = source(residency={"jurisdictions": ["DE"]})
EUROPE: dict[str, Any] = {"jurisdiction": "FR", "tier": "Cloud", "labels": {"team": "text"}}
EXPENSIVE = {"cpuHour": "9", "memoryGBHour": "0"}

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], Reason, str]] = {
    "by a law that nobody named in the model": ({}, EUROPE, Reason.RESIDENCY_FORBIDDEN, "is in FR"),
    "by a law, since nobody says where it is": (
        {},
        {},
        Reason.RESIDENCY_FORBIDDEN,
        "has no jurisdiction",
    ),
    "by tier": (
        {"placement": {"tiers": ["Edge"]}},
        {"jurisdiction": "DE", "tier": "Cloud"},
        Reason.NOT_SELECTED,
        "of tier Cloud",
    ),
    "by a label": (
        {"placement": {"clusterSelector": {"team": "vision"}}},
        {"jurisdiction": "DE", "labels": {"team": "text"}},
        Reason.NOT_SELECTED,
        "no label team=vision",
    ),
    "by a taint": (
        {"placement": {"tolerations": [{"key": "other"}]}},
        {"jurisdiction": "DE", "taints": [{"key": "gpu", "value": "only"}]},
        Reason.TAINTED,
        "gpu=only:NoSelect",
    ),
    "by its grid": (
        {"placement": {"maxGridIntensity": 100}},
        {"jurisdiction": "DE"},
        Reason.CARBON_CAP,
        "380.95 g/kWh (table grid, DE, assumed)",
    ),
    "by its price": (
        {"placement": {"maxCostPerHour": "0.5"}},
        {"jurisdiction": "DE", "prices": EXPENSIVE},
        Reason.COST_CAP,
        "maxCostPerHour is 0.50",
    ),
    "by its line": (
        {"data": [{"name": "records", "readPerHour": "36G"}]},
        {"jurisdiction": "DE", "network": {"uplinkMbit": 100}},
        Reason.UPLINK_CAPACITY,
        "80 Mbit/s",
    ),
    "by how far it is": (
        {"placement": {"clients": ["munich"], "maxRoundTrip": "8.5ms"}},
        {
            "jurisdiction": "DE",
            "gateway": {"address": "https://local.example.com:8443"},
            "network": {"roundTrips": [{"to": "munich", "time": "9ms"}]},
        },
        Reason.LATENCY_BOUND,
        "from munich to local is 9 ms, and spec.placement.maxRoundTrip is 8.5 ms",
    ),
    "for callers of whom nobody knows": (
        {"placement": {"clients": ["eu-west", "local"]}},
        {"jurisdiction": "DE", "location": {"region": "eu-west-1"}},
        Reason.CLIENTS_UNKNOWN,
        "names eu-west, and no ModelCluster is called so or declares a place or a round trip of "
        "that name. There are: eu-west-1, local.",
    ),
    "for want of data": (
        {"data": [{"name": "recrods"}]},
        {"jurisdiction": "DE"},
        Reason.DATA_SOURCE_MISSING,
        "the DataSources of this namespace are: records",
    ),
}


@pytest.mark.parametrize(("fields", "spec", "reason", "part"), REFUSED.values(), ids=REFUSED)
def test_the_only_cluster_is_refused(
    fields: dict[str, Any], spec: dict[str, Any], reason: Reason, part: str
) -> None:
    found = full(around(GERMAN, cluster=declared(**spec)), view(), **fields)

    assert found.lacking
    assert found.lacking.reason is reason
    assert part in found.lacking.message
    unknown = reason in (Reason.DATA_SOURCE_MISSING, Reason.CLIENTS_UNKNOWN)
    assert (found.decision is None) == unknown


def test_callers_of_another_cluster_need_a_gateway_to_ask() -> None:
    ohio = declared("ohio", prices={"cpuHour": "0.01"})
    two = Around(clusters=tuple(facts_of(one) for one in (declared("munich"), ohio)))
    seen = (view(name="munich"), view(name="ohio"))

    anywhere = full(two, *seen)
    near_munich = full(two, *seen, placement={"clients": ["munich"]})

    assert anywhere.decision is not None
    assert anywhere.decision.clusters == ("ohio",)
    assert near_munich.decision is not None
    assert near_munich.decision.clusters == ("munich",)
    refused = next(one for one in near_munich.decision.verdicts if one.cluster == "ohio")
    assert refused.code is Code.NOT_REACHABLE
    assert "Callers in munich cannot reach ohio" in refused.message


def test_a_data_source_that_cannot_be_read_keeps_new_models_away() -> None:
    unread = replace(around(cluster=declared(jurisdiction="DE")), unread_sources=("records",))

    found = full(unread, view()).lacking

    assert isinstance(found, Unplaced)
    assert found.reason is Reason.DATA_SOURCE_MISSING
    assert "records of this namespace cannot be read" in found.message


def test_a_lawful_cluster_is_taken_and_its_numbers_are_told() -> None:
    spec: dict[str, Any] = {
        "jurisdiction": "DE",
        "location": {"provider": "aws", "region": "eu-central-1"},
    }
    cloud = source("web", locations=[{"provider": "aws", "region": "eu-west-1"}])
    fields: dict[str, Any] = {"data": [{"name": "web", "readPerHour": "36G"}]}

    found = full(around(GERMAN, cloud, cluster=declared(**spec)), view(), **fields)

    assert found.made
    assert found.decision is not None
    cost = found.decision.chosen[0].cost
    assert cost is not None
    assert cost.data == pytest.approx(0.72)


@pytest.mark.parametrize(
    ("region", "chosen"), [("eu-central-1", "frankfurt"), ("us-east-1", "ohio")]
)
def test_a_model_goes_to_the_region_of_the_bucket_that_it_reads(region: str, chosen: str) -> None:
    found = {"url": "s3://videos", "provider": "aws", "region": region}
    videos = source("videos", bucket="s3://videos").model_copy(
        update={"status": DataSourceStatus.model_validate({"bucket": found})}
    )
    # From S3 10 GB/h cost 0.20 an hour in another region of aws, and nothing in the bucket's own.
    # That outweighs a core's price, by which the other cluster is the cheaper one.
    clusters = tuple(
        facts_of(
            declared(
                name,
                location={"provider": "aws", "region": where},
                prices={"cpuHour": "0.03" if chosen != name else "0.05", "memoryGBHour": "0.005"},
            )
        )
        for name, where in (("frankfurt", "eu-central-1"), ("ohio", "us-east-1"))
    )

    outcome = full(
        Around(clusters=clusters, sources=(videos,)),
        view(name="frankfurt"),
        view(name="ohio"),
        data=[{"name": "videos", "readPerHour": "10G"}],
    )

    assert outcome.decision is not None
    assert outcome.decision.clusters == (chosen,)
    cost = outcome.decision.chosen[0].cost
    assert cost is not None
    assert cost.data == 0.0


def test_what_runs_is_weighed_by_what_was_pinned() -> None:
    there = around(GERMAN, cluster=declared(jurisdiction="DE"))
    asked = small_model({}).spec

    here = (Running(pinned=placement_spec()),)
    lawful = weigh_running(here, asked, there, key="key")
    assert lawful.clusters == ("local",)
    assert lawful.verdicts[0].code is Code.KEPT
    abroad = around(GERMAN, cluster=declared(jurisdiction="US"))
    assert weigh_running(here, asked, abroad, key="key").forbidden == ("local",)
    on_device = placement_spec(
        device_percent=50,
        worker=WorkerClass(
            name="l4", cpu="1", memory="1Gi", accelerator=Accelerator(class_="NVIDIA-L4")
        ),
        weights=PinnedWeights(uri="hf://a/b"),
    )
    weighed = weigh_running((Running(pinned=on_device),), asked, there, key="k")
    assert "NVIDIA-L4 /h" in {one.name for one in weighed.verdicts[0].inputs}


def test_a_running_model_whose_bound_is_broken_stays_and_its_new_spec_is_refused() -> None:
    dear = around(cluster=declared(prices=EXPENSIVE))
    fields: dict[str, Any] = {"placement": {"maxCostPerHour": "0.5"}}

    found = full(dear, view(), incumbent=placement_spec(), **fields)

    assert found.lacking
    assert found.lacking.reason is Reason.COST_CAP
    assert found.decision is not None
    assert found.decision.clusters == ("local",)
