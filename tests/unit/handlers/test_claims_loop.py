"""Where the claims and buckets that DataSources name are looked for, and what is written of it."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from builders.admission import data_source, model_cluster, pushed
from builders.fake_kube_api import FakeKubeApi, fake_kube_api, refuse
from builders.fake_s3 import FakeS3, fake_s3
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.ref import CLAIMS, DATASOURCES, VOLUMES
from smallmodel_operator.handlers.buckets import FOUND_SECONDS, OTHERWISE_SECONDS, Buckets
from smallmodel_operator.handlers.claims import PERIOD_SECONDS, Claims, Reached
from smallmodel_operator.handlers.stores import HubStores

KEY = ("team", "records")
SOURCE = DATASOURCES.ref("records", "team").path
CLAIM = CLAIMS.ref("records", "team").path


class Hub:
    """A hub with other clusters, each a fake API server, and a fake S3."""

    def __init__(self, stack: AsyncExitStack, kube: FakeKubeApi, api: Api, s3: FakeS3) -> None:
        self.stack = stack
        self.s3 = s3
        self.kube = kube
        self.stores = HubStores(hub_id="hub-1")
        self.reached: dict[str, Reached] = {}
        self.claims = Claims(
            api=api,
            stores=self.stores,
            members=lambda: self.reached,
            buckets=Buckets(s3.url),
            now=lambda: "2026-11-24T12:00:00Z",
            conflicts=Counter(),
        )
        self.declare("local")

    def declare(self, name: str, **connection: Any) -> None:
        """Have a ModelCluster."""
        manifest = model_cluster(name, connection=connection) if connection else model_cluster(name)
        self.stores.take_cluster(ModelCluster.model_validate(manifest))

    async def join(self, name: str, *accepting: str) -> FakeKubeApi:
        """Have a cluster that the hub works on."""
        self.declare(name, **pushed())
        kube = await self.stack.enter_async_context(fake_kube_api())
        credentials = Credentials(server=kube.url, token="hub")
        api = await self.stack.enter_async_context(Api.of(credentials))
        self.reached[name] = Reached(api=api, accepting=set(accepting))
        return kube

    def write(self, generation: int = 1, **spec: Any) -> None:
        """Have somebody write the DataSource."""
        metadata = {"name": "records", "namespace": "team", "generation": generation}
        live = self.kube.objects.get(SOURCE, {})
        manifest = data_source(**spec) | {"metadata": metadata, "status": live.get("status", {})}
        self.kube.put(SOURCE, manifest)
        self.watch()

    def watch(self) -> None:
        """Have the hub see the DataSource as it is."""
        self.stores.see_source(self.kube.objects[SOURCE], gone=False)
        self.claims.see(KEY)

    async def work(self, again: float | None = PERIOD_SECONDS) -> DataSourceStatus:
        """Work once, and return what is said then; it is looked again after so many seconds."""
        assert await self.claims.work(KEY) == pytest.approx(again, abs=5.0)
        self.watch()
        return DataSource.model_validate(self.kube.objects[SOURCE]).status

    @property
    def writes(self) -> int:
        """How often the status was written."""
        return self.kube.methods["PATCH"]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(fake_kube_api())
        api = await stack.enter_async_context(Api.of(Credentials(server=kube.url, token="own")))
        s3 = await stack.enter_async_context(fake_s3())
        yield Hub(stack, kube, api, s3)


def bind(kube: FakeKubeApi, zone: str = "eu-1a") -> None:
    """Have a bound claim, whose volume is in that zone."""
    expressions = [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}
    kube.put(
        VOLUMES.ref("pv").path, {"metadata": {"name": "pv"}, "spec": {"nodeAffinity": affinity}}
    )
    kube.put(
        CLAIM,
        {
            "metadata": {"name": "records", "namespace": "team"},
            "spec": {"volumeName": "pv"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        },
    )


def said(status: DataSourceStatus) -> tuple[str, str, str]:
    (condition,) = status.conditions
    return condition.status, condition.reason, condition.message


async def test_a_claim_is_looked_for_in_every_cluster_that_the_hub_works_on(hub: Hub) -> None:
    edge, munich = await hub.join("edge", "team"), await hub.join("munich", "team", "other")
    bind(hub.kube, "eu-1a")
    bind(munich, "eu-1b")
    hub.write(claim="records")

    status = await hub.work()

    assert [(one.cluster, one.zone) for one in status.found] == [
        ("local", "eu-1a"),
        ("munich", "eu-1b"),
    ]
    assert said(status)[:2] == ("True", "Located")
    assert edge.methods == {"GET": 1}


async def test_a_cluster_that_cannot_be_asked_is_named_with_what_to_do(hub: Hub) -> None:
    hub.declare("pulled", mode="Pull")
    hub.declare("carried", mode="Bundle")
    hub.declare("cut", **pushed())
    await hub.join("elsewhere", "other")
    strict = await hub.join("strict", "team")
    strict.replies = [refuse(403, "Forbidden", "not you")]
    bind(hub.kube)
    hub.write(claim="records")

    status, _, message = said(await hub.work())

    assert status == "True"
    assert "carried, pulled: agents are not asked for claims; where the data is" in message
    assert "cut: the hub is not connected at the moment" in message
    assert "elsewhere: its namespace team takes no models of this hub" in message
    assert "labels it smallmodel.dev/accept-from=hub-1" in message
    assert "strict: " in message
    assert "not you" in message


async def test_a_cluster_that_is_cut_off_keeps_what_was_found_there(hub: Hub) -> None:
    bind(await hub.join("edge", "team"))
    hub.write(claim="records")
    found = (await hub.work()).found
    hub.reached.clear()

    after = await hub.work()

    assert after.found == found
    assert [one.cluster for one in found] == ["edge"]


async def test_nothing_is_written_where_nothing_changed(hub: Hub) -> None:
    bind(hub.kube)
    hub.write(claim="records")

    await hub.work()
    await hub.work()

    assert hub.writes == 1


async def test_a_claim_that_is_not_named_is_not_looked_for(hub: Hub) -> None:
    bind(hub.kube)
    hub.write()

    assert await hub.claims.work(KEY) is None

    assert CLAIM not in {one.path for one in hub.kube.seen}
    assert hub.writes == 0


async def test_what_was_said_goes_with_the_claim(hub: Hub) -> None:
    bind(hub.kube)
    hub.write(claim="records")
    await hub.work()
    hub.write(generation=2)

    assert await hub.claims.work(KEY) is None

    written = hub.kube.seen[-1].body["status"]
    assert DataSourceStatus.model_validate(written) == DataSourceStatus()


async def test_another_spec_is_worked_on_at_once_and_a_status_is_not(hub: Hub) -> None:
    bind(hub.kube)
    hub.write(claim="records")
    assert hub.claims.queue.is_wanted(KEY)
    hub.claims.queue._dirty.clear()

    await hub.work()

    assert not hub.claims.queue.is_wanted(KEY)
    hub.write(generation=2, claim="others")
    assert hub.claims.queue.is_wanted(KEY)


async def test_data_that_is_gone_or_cannot_be_read_is_left_alone(hub: Hub) -> None:
    hub.write(residency={"jurisdictions": ["ATLANTIS"]})
    assert await hub.claims.work(KEY) is None

    del hub.stores.sources[KEY]
    hub.claims.see(KEY)
    assert await hub.claims.work(KEY) is None
    assert not hub.claims.queue.is_wanted(KEY)


async def test_what_is_found_is_not_said_of_a_source_that_somebody_changed(hub: Hub) -> None:
    bind(hub.kube)
    hub.write(claim="records")
    hub.kube.put(SOURCE, hub.kube.objects[SOURCE])

    with pytest.raises(errors.Conflict):
        await hub.claims.work(KEY)


async def test_s3_is_asked_for_a_bucket_and_its_region_is_told(hub: Hub) -> None:
    hub.s3.regions["records"] = "eu-central-1"
    hub.write(bucket="s3://records")

    status = await hub.work(again=FOUND_SECONDS)

    assert status.bucket is not None
    assert (status.bucket.provider, status.bucket.region) == ("aws", "eu-central-1")
    assert said(status)[:2] == ("True", "Located")
    assert await hub.work(again=FOUND_SECONDS) == status
    assert (hub.writes, len(hub.s3.asked)) == (1, 1)


async def test_a_bucket_that_is_not_there_is_told_and_looked_for_again(hub: Hub) -> None:
    hub.write(bucket="s3://records")

    status = await hub.work(again=OTHERWISE_SECONDS)

    assert said(status)[:2] == ("False", "BucketNotFound")


async def test_a_bucket_whose_place_its_owner_says_is_not_asked_for(hub: Hub) -> None:
    hub.write(bucket="s3://records", locations=[{"site": "munich"}])

    status = await hub.work(again=None)

    assert said(status)[:2] == ("True", "Located")
    assert hub.s3.asked == []


async def test_what_was_said_of_a_bucket_goes_when_a_claim_takes_its_place(hub: Hub) -> None:
    hub.s3.regions["records"] = "eu-central-1"
    hub.write(bucket="s3://records")
    await hub.work(again=FOUND_SECONDS)
    bind(hub.kube)
    hub.write(generation=2, claim="records")

    await hub.work()

    written = DataSourceStatus.model_validate(hub.kube.seen[-1].body["status"])
    assert written.bucket is None
    assert [one.cluster for one in written.found] == ["local"]
