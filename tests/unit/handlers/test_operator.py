"""What is read by lists, at the start and every five minutes, and what is worked on for it."""

import contextlib
from typing import Any

import pytest

from builders.admission import data_source, model_cluster, pushed
from builders.fake_kube_api import FakeKubeApi, refuse
from builders.fake_s3 import fake_s3
from builders.operators import MODELS, operator, put_model
from builders.pool_values import NAMESPACE, placement_of
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import PlacementResidency
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SMALLMODELS,
    Resource,
)
from smallmodel_operator.handlers.claims import Reached, reached
from smallmodel_operator.handlers.objects import namespaces_of
from smallmodel_operator.placement.choice.tables import SHIPPED
from smallmodel_operator.plan.placements import placement_manifest, spec_hash


async def test_everything_is_read_page_by_page_and_worked_on_once(
    api: Api, kube: FakeKubeApi
) -> None:
    kube.page = 1
    for name in ("chat", "embed", "draft"):
        put_model(kube, name)
    async with operator(api) as one:
        await one.resync.read_everything()

        assert {name for _, name in one.stores.models} == {"chat", "embed", "draft"}
        assert one.model_queue.depth == 3
        assert one.local.namespace_queue.is_wanted("team")
        assert one.gateway_queue.depth == 1


async def test_a_deletion_that_the_watch_missed_is_found(api: Api, kube: FakeKubeApi) -> None:
    put_model(kube, "chat")
    put_model(kube, "embed")
    async with operator(api) as one:
        await one.resync.read_everything()
        del kube.objects[MODELS.format("team", "embed")]

        await one.resync.read_everything()

        assert {name for _, name in one.stores.models} == {"chat"}


async def test_only_watched_namespaces_are_read(api: Api, kube: FakeKubeApi) -> None:
    put_model(kube, "chat", "team")
    put_model(kube, "chat", "other")
    async with operator(api, SMALLMODEL_WATCH_NAMESPACES="team") as one:
        await one.resync.read_everything()

        assert set(one.stores.models) == {("team", "chat")}


@pytest.mark.parametrize(
    ("resource", "where"),
    [
        (SMALLMODELS, ("team", "other")),
        (PODS, ("team", "other")),
        (MODELPLACEMENTS, ("slm-cluster-local",)),
        (NODES, ()),
        (NAMESPACES, ()),
    ],
    ids=lambda value: value.plural if isinstance(value, Resource) else None,
)
def test_each_kind_is_read_where_the_operator_may(
    resource: Resource, where: tuple[str, ...]
) -> None:
    assert namespaces_of(resource, ("team", "other")) == where
    assert namespaces_of(resource, ()) == ()


async def test_what_the_operator_wrote_is_no_reason_to_work_when_its_event_comes(
    api: Api, kube: FakeKubeApi
) -> None:
    written = put_model(kube, "chat")
    async with operator(api) as one:
        one.stores.see_model(written, gone=False)

        one.triggers.see(SMALLMODELS, written, gone=False)
        assert not one.model_queue.is_wanted(("team", "chat"))

        one.triggers.see(SMALLMODELS, put_model(kube, "chat"), gone=False)
        assert one.model_queue.is_wanted(("team", "chat"))


async def test_a_list_that_expired_is_begun_anew(api: Api, kube: FakeKubeApi) -> None:
    put_model(kube, "chat")
    expired = refuse(410, "Expired", "the continue token is too old")
    kube.replies = [lambda request: expired(request) if "smallmodels" in request.path else None] * 3
    async with operator(api) as one:
        await one.resync.read_everything()

        assert set(one.stores.models) == {("team", "chat")}


SOURCE = "/apis/smallmodel.dev/v1alpha1/namespaces/{}/datasources/records"


def put_source(kube: FakeKubeApi, namespace: str = "team", **spec: object) -> dict[str, Any]:
    metadata = {"name": "records", "namespace": namespace, "generation": 1}
    manifest = data_source(**spec) | {"metadata": metadata}
    return kube.put(SOURCE.format(namespace), manifest)


async def test_data_has_every_model_of_its_namespace_worked_on_once(
    api: Api, kube: FakeKubeApi
) -> None:
    async with operator(api) as one:
        for name, namespace in (("chat", "team"), ("draft", "team"), ("chat", "other")):
            one.stores.see_model(put_model(kube, name, namespace), gone=False)
        written = put_source(kube)

        one.triggers.see(DATASOURCES, written, gone=False)

        assert one.model_queue.is_wanted(("team", "chat"))
        assert one.model_queue.is_wanted(("team", "draft"))
        assert not one.model_queue.is_wanted(("other", "chat"))


async def test_the_claim_of_data_is_looked_for_as_it_comes_and_once_all_is_read(
    api: Api, kube: FakeKubeApi
) -> None:
    manifest = put_source(kube, claim="records")
    async with operator(api) as one:
        one.triggers.see(DATASOURCES, manifest, gone=False)
        assert one.claims.queue.is_wanted(("team", "records"))
        assert one.claims.queue in one.queues

    async with operator(api) as another:
        await another.resync.read_everything()
        assert another.claims.queue.is_wanted(("team", "records"))


async def test_the_installations_s3_is_asked_for_the_bucket_of_data(
    api: Api, kube: FakeKubeApi
) -> None:
    manifest = put_source(kube, bucket="s3://records")
    async with fake_s3() as s3, operator(api, SMALLMODEL_S3_ENDPOINT=s3.url) as one:
        s3.regions["records"] = "eu-central-1"
        one.triggers.see(DATASOURCES, manifest, gone=False)

        await one.claims.work(("team", "records"))

    status = kube.objects[SOURCE.format("team")]["status"]
    assert status["bucket"]["region"] == "eu-central-1"


async def test_only_clusters_that_were_read_are_asked_for_claims(
    api: Api,
) -> None:
    async with operator(api) as one, contextlib.AsyncExitStack() as stack:
        member = one.members._members["edge"] = one._linked("edge", api)
        stack.push_async_callback(member.member.close)
        member.stores.accepting.add("team")
        assert reached(one.members) == {}

        for watch in member._watches:
            watch._read.set()

        assert reached(one.members) == {"edge": Reached(api=api, accepting={"team"})}


async def test_the_end_of_data_that_the_watch_missed_is_found(api: Api, kube: FakeKubeApi) -> None:
    put_source(kube)
    async with operator(api) as one:
        await one.resync.read_everything()
        assert set(one.stores.sources) == {("team", "records")}
        del kube.objects[SOURCE.format("team")]

        await one.resync.read_everything()

        assert not one.stores.sources


async def test_what_an_administrator_says_of_the_cluster_is_acted_on_for_every_model(
    api: Api, kube: FakeKubeApi
) -> None:
    async with operator(api) as one:
        await one.local.cluster.prepare()
        written = one.stores.see_model(put_model(kube, "chat"), gone=False)
        assert written is not None
        await one.local.cluster._report(None)
        assert one.model_queue.is_wanted(("team", "chat"))
        assert one.stores.clusters["local"].spec.jurisdiction is None

        path = "/apis/smallmodel.dev/v1alpha1/modelclusters/local"
        kube.objects[path]["spec"]["jurisdiction"] = "DE"
        await one.local.cluster._report(None)
        assert one.stores.clusters["local"].spec.jurisdiction == "DE"

        del kube.objects[path]
        await one.local.cluster._report(None)
        assert kube.objects[path]["spec"] == {
            "connection": {"mode": "Local"},
            "jurisdiction": "DE",
        }


async def test_what_the_installation_weighs_by_reaches_every_decision(
    api: Api, kube: FakeKubeApi
) -> None:
    told = '{"currency": "EUR", "usdRate": "0.5"}'
    async with operator(api, SMALLMODEL_PLACEMENT=told) as one:
        await one.local.cluster.prepare()
        await one.local.cluster._report(None)

        there = one.stores.around("team", "2026-11-24T12:00:00Z")

        assert there is not None
        assert there.policy.currency == "EUR"
        assert there.tables.cpu_hour == SHIPPED.cpu_hour / 2


async def test_the_clusters_own_jurisdiction_has_the_last_word(api: Api, kube: FakeKubeApi) -> None:
    german = PlacementResidency(jurisdictions=("DE",))
    labels = {"smallmodel.dev/hub": "hub-1"}
    made = placement_of("chat", residency=german, metadata={"labels": labels})
    path = MODELPLACEMENTS.ref(made.metadata.name, made.metadata.namespace).path
    async with operator(api, SMALLMODEL_CLUSTER_JURISDICTION="US") as one:
        one.stores.see_placement(kube.put(path, placement_manifest(made)), gone=False)
        await one.local.namespaces.work(NAMESPACE)

    problem = kube.objects[path]["status"]["problem"]
    assert problem["reason"] == "ResidencyRefused"
    assert not [one for one in kube.objects if "/rayservices/" in one]


CLUSTER = "/apis/smallmodel.dev/v1alpha1/modelclusters/{}"


def put_cluster(kube: FakeKubeApi, name: str, **spec: Any) -> dict[str, Any]:
    manifest = {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "ModelCluster",
        "metadata": {"name": name, "generation": 1},
        "spec": spec,
    }
    return kube.put(CLUSTER.format(name), manifest)


async def test_a_cluster_that_is_declared_is_linked_and_weighed_for_every_model(
    api: Api, kube: FakeKubeApi
) -> None:
    async with operator(api) as one:
        one.stores.see_model(put_model(kube, "chat"), gone=False)
        edge = put_cluster(kube, "edge", tier="Edge")

        one.triggers.see(MODELCLUSTERS, edge, gone=False)
        assert [link.name for link in one.links] == ["edge"]
        assert one.model_queue.is_wanted(("team", "chat"))
        assert set(one.stores.clusters) == {"edge"}

        one.triggers.see(MODELCLUSTERS, edge, gone=True)
        assert list(one.links) == []
        assert not one.stores.clusters


@pytest.mark.parametrize("reader", ["the watch", "who writes it"])
async def test_models_that_wait_are_worked_on_once_a_cluster_was_seen(
    reader: str, api: Api, kube: FakeKubeApi
) -> None:
    since = {"lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "FactsFresh", "message": ""}
    fresh = {"conditions": [{"type": "FactsFresh", "status": "True", **since}]}
    async with operator(api) as one:

        def see(status: dict[str, Any]) -> None:
            manifest = put_cluster(kube, "edge") | {"status": status}
            if reader == "the watch":
                one.triggers.see(MODELCLUSTERS, manifest, gone=False)
            else:
                one.local.cluster._take(ModelCluster.model_validate(manifest))

        see({})
        one.stores.see_model(put_model(kube, "chat"), gone=False)
        see({})
        assert not one.model_queue.is_wanted(("team", "chat"))
        see(fresh)
        assert one.model_queue.is_wanted(("team", "chat"))


async def test_a_link_that_is_lost_is_told_by_the_models_with_a_copy_there(
    api: Api, kube: FakeKubeApi
) -> None:
    labels = {"smallmodel.dev/hub": "hub-1"}
    lost = {"link": {"state": "Unreachable", "reason": "Unreachable", "message": "", "since": ""}}
    async with operator(api) as one:
        for name, cluster in (("chat", "edge"), ("embed", "other")):
            metadata = {"namespace": f"slm-cluster-{cluster}", "labels": labels}
            made = placement_of(name, cluster=cluster, metadata=metadata)
            path = MODELPLACEMENTS.ref(made.metadata.name, made.metadata.namespace).path
            one.stores.see_placement(kube.put(path, placement_manifest(made)), gone=False)
        one.stores.see_cluster(put_cluster(kube, "edge"), gone=False)

        one.triggers.see(MODELCLUSTERS, put_cluster(kube, "edge") | {"status": lost}, gone=False)

        assert one.model_queue.is_wanted((NAMESPACE, "chat"))
        assert not one.model_queue.is_wanted((NAMESPACE, "embed"))


async def test_what_is_decided_for_another_cluster_is_not_served_by_the_hubs_own(
    api: Api, kube: FakeKubeApi
) -> None:
    labels = {"smallmodel.dev/hub": "hub-1"}
    async with operator(api) as one:
        for cluster in ("edge", "local"):
            metadata = {"namespace": f"slm-cluster-{cluster}", "labels": labels}
            made = placement_of(f"for-{cluster}", namespace=f"in-{cluster}", metadata=metadata)
            path = MODELPLACEMENTS.ref(made.metadata.name, made.metadata.namespace).path
            one.triggers.see(MODELPLACEMENTS, kube.put(path, placement_manifest(made)), gone=False)

        assert one.local.namespace_queue.is_wanted("in-local")
        assert not one.local.namespace_queue.is_wanted("in-edge")
        assert {key[0] for key in one.local.stores.placements.by_model} == {"in-local"}
        assert one.model_queue.is_wanted(("in-edge", "for-edge"))


async def test_another_clusters_own_jurisdiction_has_the_last_word_there(
    api: Api, kube: FakeKubeApi
) -> None:
    german = PlacementResidency(jurisdictions=("DE",))
    metadata = {"labels": {"smallmodel.dev/hub": "hub-1"}, "namespace": "smallmodel-system"}
    made = placement_of("chat", residency=german, cluster="edge", metadata=metadata)
    whole = made.spec.model_copy(update={"spec_hash": spec_hash(made.spec)})
    mirror = made.model_copy(update={"spec": whole})
    path = MODELPLACEMENTS.ref(mirror.metadata.name, "smallmodel-system").path
    async with operator(api) as one:
        one.links.see(ModelCluster.model_validate(model_cluster("edge", connection=pushed())))
        (link,) = one.links
        link.jurisdiction = "US"
        linked = one._linked("edge", api)
        linked.stores.see_placement(kube.put(path, placement_manifest(mirror)), gone=False)
        await linked.member.namespaces.work(NAMESPACE)
        await linked.member.close()

    assert kube.objects[path]["status"]["problem"]["reason"] == "ResidencyRefused"


async def test_gateways_of_other_clusters_look_only_where_what_they_lead_by_is_new(
    api: Api, kube: FakeKubeApi
) -> None:
    key, metadata = ("team", "chat"), {"labels": {"smallmodel.dev/hub": "hub-1"}}
    async with operator(api) as one:
        led = list[str]()
        one.members.lead = lambda: led.append("members")  # type: ignore[method-assign]

        def decide(cluster: str = "edge", **spec: Any) -> None:
            made = placement_of(
                "chat",
                namespace="team",
                cluster=cluster,
                metadata=metadata | {"namespace": f"slm-cluster-{cluster}"},
                **spec,
            )
            path = MODELPLACEMENTS.ref(made.metadata.name, made.metadata.namespace).path
            one.triggers.see(MODELPLACEMENTS, kube.put(path, placement_manifest(made)), gone=False)

        def ask(**spec: Any) -> dict[str, Any]:
            manifest = put_model(kube, "chat")
            manifest["spec"].update(spec)
            live = kube.put(SMALLMODELS.ref("chat", "team").path, manifest)
            one.triggers.see(SMALLMODELS, live, gone=False)
            return live

        ask()
        decide()
        del led[:]

        ask(scaling={"maxReplicas": 3})
        decide(max_replicas=3)
        one.triggers.told(key)
        assert led == []
        assert one.gateway_queue.is_wanted("gateway")

        asked = ask(scaling={"requestTimeout": "20s"})
        assert led == ["members"]
        decide(scaling=Scaling(request_timeout="20s"))
        assert led == ["members"] * 2
        decide("munich", scaling=Scaling(request_timeout="20s"))
        assert led == ["members"] * 3
        one.triggers.see(SMALLMODELS, asked, gone=True)
        assert led == ["members"] * 4
