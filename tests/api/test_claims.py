"""DataSources of claims and buckets, on a real API server that binds claims to volumes.

The S3 is a fake.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from builders.fake_s3 import fake_s3
from cluster.access import KubeAccess
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus, FoundBucket, FoundClaim
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import DATASOURCES
from smallmodel_operator.handlers.buckets import Buckets
from smallmodel_operator.handlers.claims import Claims, Reached
from smallmodel_operator.handlers.member import now
from smallmodel_operator.handlers.stores import HubStores
from support.volumes import Volumes

pytestmark = pytest.mark.api

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


class Hub:
    """The loop under test, told of one DataSource by reading it."""

    def __init__(self, api: Api, namespace: str, s3: str | None = None) -> None:
        self.api = api
        self.ref = DATASOURCES.ref("records", namespace)
        self.key = (namespace, "records")
        self.stores = HubStores(hub_id="hub")
        self.reached: dict[str, Reached] = {}
        self.loop = Claims(
            api=api,
            stores=self.stores,
            members=lambda: self.reached,
            buckets=Buckets(s3),
            now=now,
            conflicts=Counter(),
        )
        self._declare("local", "Local")

    def reach(self, name: str, api: Api) -> None:
        self._declare(name, "Push")
        self.reached[name] = Reached(api=api, accepting={self.key[0]})

    def _declare(self, name: str, mode: str) -> None:
        secret = {"kubeconfigSecretRef": {"name": name}} if mode == "Push" else {}
        connection = {"mode": mode} | secret
        manifest = {"metadata": {"name": name}, "spec": {"connection": connection}}
        self.stores.take_cluster(ModelCluster.model_validate(manifest))

    async def write(self, **spec: object) -> None:
        """Have the data's owner write the DataSource."""
        metadata = {"name": self.ref.name, "namespace": self.ref.namespace}
        manifest = {
            "apiVersion": DATASOURCES.api_version,
            "kind": DATASOURCES.kind,
            "metadata": metadata,
        }
        await self.api.apply(manifest | {"spec": spec})

    async def work(self) -> DataSourceStatus:
        """Work once, and return what is said then."""
        await self._read()
        await self.loop.work(self.key)
        return (await self._read()).status

    async def _read(self) -> DataSource:
        live = await self.api.get(self.ref)
        assert live is not None
        self.stores.see_source(live, gone=False)
        return DataSource.model_validate(live)


@pytest.fixture
def hub(api: Api, crds: None, namespace: str) -> Hub:
    """A hub alone."""
    del crds
    return Hub(api, namespace)


@pytest.fixture
async def volumes(api: Api, namespace: str) -> AsyncIterator[Volumes]:
    """Volumes of the hub's cluster."""
    made = Volumes(api, namespace)
    yield made
    await made.remove()


def said(status: DataSourceStatus) -> tuple[str, str]:
    (condition,) = status.conditions
    return condition.status, condition.reason


async def test_a_claim_is_followed_from_nothing_to_its_volume_and_away(
    hub: Hub, volumes: Volumes
) -> None:
    await hub.write(claim="records")
    assert said(await hub.work()) == ("False", "ClaimNotFound")

    await volumes.classify(**{ZONE: "eu-1b"})
    await volumes.ask()
    status = await hub.work()
    assert said(status) == ("False", "ClaimNotBound")
    assert status.found == ()

    await volumes.offer(**{ZONE: "eu-1a", REGION: "eu-1"})
    await volumes.bound()
    status = await hub.work()
    assert said(status) == ("True", "Located")
    assert status.found == (
        FoundClaim.model_validate(
            {
                "cluster": "local",
                "region": "eu-1",
                "zone": "eu-1a",
                "size": "20Gi",
                "readFrom": "Volume",
            }
        ),
    )

    await hub.write(locations=[{"site": "munich"}])
    assert await hub.work() == DataSourceStatus()


async def test_a_volume_without_affinity_is_where_its_class_makes_volumes(
    hub: Hub, volumes: Volumes
) -> None:
    await volumes.classify(**{ZONE: "eu-1b"})
    await volumes.offer()
    await volumes.ask()
    await volumes.bound()
    await hub.write(claim="records")

    (found,) = (await hub.work()).found

    assert (found.zone, found.read_from) == ("eu-1b", "StorageClass")


async def test_a_claim_of_another_cluster_is_found_there(
    hub: Hub, member_plane: KubeAccess
) -> None:
    namespace = hub.key[0]
    member_plane.kubectl("create", "namespace", namespace)
    async with await Api.connect(member_plane.kubeconfig) as member_api:
        volumes = Volumes(member_api, namespace)
        hub.reach("edge", member_api)
        try:
            await volumes.offer(**{ZONE: "eu-1c"})
            await volumes.ask()
            await volumes.bound()
            await hub.write(claim="records")

            status = await hub.work()
        finally:
            await volumes.remove()
            member_plane.try_kubectl("delete", "namespace", namespace, "--wait=false")

    assert said(status) == ("True", "Located")
    assert [(one.cluster, one.zone) for one in status.found] == [("edge", "eu-1c")]


async def test_an_api_server_refuses_a_claim_that_cannot_be(hub: Hub) -> None:
    with pytest.raises(errors.Invalid, match=r"spec\.claim"):
        await hub.write(claim="Records")


async def test_the_region_of_a_bucket_is_told_and_goes_with_the_bucket(
    api: Api, crds: None, namespace: str
) -> None:
    del crds
    async with fake_s3() as s3:
        s3.regions["records"] = "eu-central-1"
        hub = Hub(api, namespace, s3.url)
        await hub.write(bucket="s3://recrods")
        assert said(await hub.work()) == ("False", "BucketNotFound")

        await hub.write(bucket="s3://records")
        status = await hub.work()

    assert said(status) == ("True", "Located")
    assert status.bucket == FoundBucket(url="s3://records", provider="aws", region="eu-central-1")
    await hub.write(locations=[{"site": "munich"}])
    assert await hub.work() == DataSourceStatus()


async def test_an_installation_may_ask_no_s3(hub: Hub) -> None:
    await hub.write(bucket="s3://records")

    assert said(await hub.work()) == ("Unknown", "BucketNotAsked")


async def test_an_api_server_refuses_a_claim_with_a_bucket(hub: Hub) -> None:
    with pytest.raises(errors.Invalid, match="claim and bucket are both given"):
        await hub.write(claim="records", bucket="s3://records")
