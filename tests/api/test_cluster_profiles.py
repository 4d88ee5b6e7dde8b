"""A hub reaches a cluster by its ClusterProfile: two API servers, and a program with a token."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from builders.cluster_profiles import CRD, access, printing, profile, provider
from builders.linked_clusters import HUB, SYSTEM
from cluster.access import KubeAccess
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import HUB_ACCOUNT
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import (
    CLUSTERPROFILES,
    LEASES,
    MODELCLUSTERS,
    NAMESPACES,
    NODES,
)
from smallmodel_operator.handlers.link import Hub, Peers
from smallmodel_operator.handlers.links import Links
from smallmodel_operator.handlers.member import now
from smallmodel_operator.plan.members import member_manifests
from support.linked_members import until

from .conftest import CRDS

pytestmark = [pytest.mark.api, pytest.mark.timeout(300), pytest.mark.usefixtures("crds")]


@pytest.fixture
def inventory(control_plane: KubeAccess) -> None:
    """The kind ClusterProfile on the hub."""
    control_plane.kubectl("apply", "--server-side", "-f", str(CRD))
    control_plane.wait_served(CLUSTERPROFILES.full_name)


@pytest.fixture
async def member(member_plane: KubeAccess) -> AsyncIterator[Api]:
    """A cluster that is prepared for a hub, as an administrator."""
    placements = CRDS / "modelplacements.smallmodel.dev.yaml"
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(placements))
    async with await Api.connect(member_plane.kubeconfig) as api:
        if await api.get(NAMESPACES.ref(SYSTEM)) is None:
            metadata = {"name": SYSTEM}
            await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        for manifest in member_manifests(SYSTEM):
            await api.apply(manifest)
        yield api
    for kind in ("clusterrole", "clusterrolebinding"):
        member_plane.kubectl("delete", "--ignore-not-found", kind, HUB_ACCOUNT)
    member_plane.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=false")


@contextlib.asynccontextmanager
async def linking(hub: Hub, told: Callable[[str, Api], None]) -> AsyncIterator[Links]:
    """Keep links until the block ends."""
    links = Links(hub, Peers(connected=told, disconnected=lambda _: None))
    task = asyncio.create_task(links.run())
    try:
        yield links
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.usefixtures("inventory")
async def test_a_program_gives_the_token_with_which_the_cluster_is_connected(
    api: Api,
    namespace: str,
    member: Api,
    member_plane: KubeAccess,
    tmp_path: Path,
) -> None:
    asked = ("-n", SYSTEM, "create", "token", HUB_ACCOUNT, "-o", "json")
    given = json.loads(member_plane.kubectl(*asked))["status"]
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": given,
    }
    plugin = printing(tmp_path / "plugin", credential)
    await _publish(api, namespace, _where(member_plane))
    apis: dict[str, Api] = {}
    hub = Hub(api=api, name=HUB, now=now, providers=(provider(plugin),))
    cluster = await _declare(api, namespace)
    name = cluster.metadata.name

    async with linking(hub, apis.__setitem__) as links:
        links.see(cluster)

        async def connected() -> bool:
            return (await _link(api, name)).get("state") == "Connected"

        await until(connected, within=30)
        assert (await _link(api, name))["clusterUID"] == await cluster_uid(member)
        await apis[name].list(NODES)
        lease = await member.get(LEASES.ref(HUB.lease, SYSTEM))
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == HUB.identity
    await api.delete(MODELCLUSTERS.ref(name))


def _where(plane: KubeAccess) -> dict[str, Any]:
    """Return the cluster's part of a kubeconfig, which is what a profile has."""
    words = ("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
    where: dict[str, Any] = json.loads(plane.kubectl(*words))["clusters"][0]["cluster"]
    assert base64.b64decode(where["certificate-authority-data"])
    return where


async def _publish(api: Api, namespace: str, where: dict[str, Any]) -> None:
    """Be the cluster manager, which writes a profile."""
    made = profile()
    made["metadata"]["namespace"] = namespace
    await api.create({key: value for key, value in made.items() if key != "status"})
    ref = CLUSTERPROFILES.ref(made["metadata"]["name"], namespace)
    await api.patch_status(ref, {"accessProviders": [access(**where)]})


async def _declare(api: Api, namespace: str) -> ModelCluster:
    manifest = {
        "apiVersion": MODELCLUSTERS.api_version,
        "kind": MODELCLUSTERS.kind,
        "metadata": {"name": f"edge-{uuid4().hex[:8]}"},
        "spec": {
            "connection": {
                "mode": "Push",
                "clusterProfileRef": {"name": "edge", "namespace": namespace},
            }
        },
    }
    return ModelCluster.model_validate(await api.create(manifest))


async def _link(api: Api, name: str) -> dict[str, Any]:
    live = await api.get(MODELCLUSTERS.ref(name)) or {}
    link: dict[str, Any] = (live.get("status") or {}).get("link") or {}
    return link
