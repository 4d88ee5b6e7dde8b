"""A hub's account in another cluster, as `slm cluster join` makes it: enough, and revocable.

The cluster is a real API server; the hub is faked.
"""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from builders.cluster_objects import install
from builders.fake_cluster import SYSTEM, FakeCluster, fake_cluster
from builders.linked_clusters import HUB, linked, secret_path
from cluster.access import KubeAccess
from smallmodel_operator.api.names import HUB_ACCOUNT
from smallmodel_operator.cli.main import main
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import read_kubeconfig
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.reach import ForwardedReach, NoWay
from smallmodel_operator.clusters.ref import (
    CLUSTER_ROLE_BINDINGS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
)
from smallmodel_operator.plan.members import member_manifests
from support.linked_members import until

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

ON_HUB: Final = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-cluster-munich"


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeCluster]:
    """A hub, which KUBECONFIG names."""
    with fake_cluster() as fake:
        install(fake)
        fake.put("/api/v1/namespaces/kube-system", {"metadata": {"name": "kube-system"}})
        path = fake.kube.kubeconfig(tmp_path_factory.mktemp("hub"))
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield fake


@pytest.fixture
def joined(control_plane: KubeAccess, hub: FakeCluster) -> Iterator[bytes]:
    """The kubeconfig that the hub has of a real cluster which joined."""
    words = ["cluster", "join", "munich", "--kubeconfig", str(control_plane.kubeconfig)]
    assert main(words) == 0
    first = hub.kube.objects[ON_HUB]["data"]["kubeconfig"]
    # Once more changes nothing.
    assert main(words) == 0
    assert hub.kube.objects[ON_HUB]["data"]["kubeconfig"] == first
    yield base64.b64decode(first)
    for kind in ("clusterrole", "clusterrolebinding"):
        control_plane.kubectl("delete", "--ignore-not-found", kind, HUB_ACCOUNT)
    control_plane.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", "--timeout=60s")


@pytest.fixture
async def as_hub(joined: bytes) -> AsyncIterator[Api]:
    """The cluster, as the hub may call it."""
    async with Api.of(read_kubeconfig(joined, "the kubeconfig")) as api:
        yield api


@pytest.fixture
async def reach(as_hub: Api) -> AsyncIterator[ForwardedReach]:
    """The way of the hub to the cluster's pods, of which there are none."""
    made = ForwardedReach(as_hub, cluster="munich")
    yield made
    await made.close()


async def test_the_account_may_do_what_a_hub_does_and_not_what_an_administrator_does(
    api: Api, as_hub: Api
) -> None:
    assert await cluster_uid(as_hub) == await cluster_uid(api)
    await as_hub.list(NODES)
    with pytest.raises(errors.Forbidden):
        await as_hub.list(SECRETS)
    with pytest.raises(errors.Forbidden):
        await as_hub.merge_patch(NAMESPACES.ref(SYSTEM), {"metadata": {"annotations": {"a": "b"}}})
    with pytest.raises(errors.Forbidden):
        await as_hub.delete(CLUSTER_ROLE_BINDINGS.ref(HUB_ACCOUNT))


async def test_ports_of_pods_are_forwarded_by_this_right_and_not_without_it(
    api: Api, reach: ForwardedReach
) -> None:
    head = PODS.ref("absent", "default")
    with pytest.raises(NoWay, match="there is none"):
        await reach.base(head, "10.0.0.1", 8265)

    role = next(one for one in member_manifests(SYSTEM) if one["kind"] == "ClusterRole")
    lesser = [rule for rule in role["rules"] if rule["resources"] != ["pods/portforward"]]
    await api.apply(role | {"rules": lesser})

    async def is_refused() -> bool:
        # The API server learns of roles a moment after they were written.
        with pytest.raises(NoWay) as told:
            await reach.base(head, "10.0.0.1", 8265)
        return "run `slm cluster join munich` again" in str(told.value)

    await until(is_refused, within=30)
    await api.apply(role)


async def test_canaries_are_answered_until_the_rights_are_taken_away(
    api: Api, joined: bytes
) -> None:
    binding = next(one for one in member_manifests(SYSTEM) if one["kind"] == "ClusterRoleBinding")
    async with linked() as one:
        secret = {
            "metadata": {"name": "munich", "namespace": SYSTEM},
            "data": {"kubeconfig": base64.b64encode(joined).decode()},
        }
        one.hub.put(secret_path("munich"), secret)
        one.declare("munich")
        await one.look()
        assert one.said("munich") == ("Connected", "Connected")
        lease = await api.get(LEASES.ref(HUB.lease, SYSTEM))
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == HUB.identity

        await api.delete(CLUSTER_ROLE_BINDINGS.ref(HUB_ACCOUNT))
        await one.look(4)
        assert one.said("munich") == ("CredentialError", "Forbidden")
        assert one.told[-1] == ("disconnected", "munich")

        await api.apply(binding)
        await one.look(4)
        assert one.told[-1] == ("connected", "munich")
