"""A hub, and a cluster that no line reaches: two API servers, and files that `slm` carries.

The agent has no kubeconfig of any hub. Nodes, KubeRay and Ray are on paper, as in `test_agent.py`.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.access import KubeAccess
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, LABEL_HUB, LOCAL_CLUSTER
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import MODELCLUSTERS, MODELPLACEMENTS, NAMESPACES
from support.agents import AgentPair
from support.linked_members import SYSTEM, until
from support.paper_serving import serving_on_paper

from .conftest import CRDS
from .test_snapshot import operator_in

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]


@dataclass
class Carrier:
    """Whoever carries files between the two."""

    pair: AgentPair
    hub: KubeAccess
    member: KubeAccess
    folder: Path

    async def slm(self, plane: KubeAccess, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a person does."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "smallmodel_operator.cli", *words],
            env={
                "KUBECONFIG": str(plane.kubeconfig),
                "PATH": "/usr/bin:/bin",
                "SLM_TARGET": "cluster",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    async def done(self, plane: KubeAccess, *words: str) -> str:
        """Run one that is to succeed, and return what it prints."""
        ended = await self.slm(plane, *words)
        assert ended.returncode == ExitCode.OK, ended.stderr
        return ended.stdout

    async def down(self) -> str:
        """Carry what the hub decided to the cluster."""
        path = self.folder / "hub.slm"
        path.write_text(await self.done(self.hub, "bundle", "export", self.pair.cluster))
        return await self.done(self.member, "bundle", "import", str(path))

    async def up(self) -> str:
        """Carry what became of it to the hub."""
        path = self.folder / "member.slm"
        path.write_text(await self.done(self.member, "bundle", "export", "--status"))
        return await self.done(self.hub, "bundle", "import", str(path))

    async def mirror(self) -> dict[str, Any]:
        """Return what the cluster is to serve, or nothing."""
        return await self.pair.member_admin.get(self.pair.on_member()) or {}

    async def is_served(self) -> bool:
        """Tell whether the cluster says that a request was answered there."""
        told = ((await self.mirror()).get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in told)


@pytest.fixture
async def carrier(
    control_plane: KubeAccess,
    member_plane: KubeAccess,
    api: Api,
    crds: None,
    tmp_path: Path,
) -> AsyncIterator[Carrier]:
    """A hub, and a cluster that joined by a Secret in a file."""
    del crds
    placements = CRDS / "modelplacements.smallmodel.dev.yaml"
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(placements))
    member_plane.wait_served(MODELPLACEMENTS.full_name)
    local = MODELCLUSTERS.ref(LOCAL_CLUSTER)
    known = await api.get(local)
    async with (
        await Api.connect(member_plane.kubeconfig) as member_admin,
        await Api.connect(control_plane.kubeconfig) as hub_api,
        await Api.connect(member_plane.kubeconfig) as member_api,
    ):
        pair = AgentPair(
            admin=api,
            member_admin=member_admin,
            hub_api=hub_api,
            member_api=member_api,
            hub_plane=control_plane,
            folder=tmp_path,
        )
        pair.declared.append(pair.cluster)
        labels = {LABEL_HUB: pair.hub_id}
        hub = _local(labels if known is None else labels | {"test": "bundle"})
        await api.apply(hub)
        for plane, admin in ((control_plane, api), (member_plane, member_admin)):
            if await admin.get(NAMESPACES.ref(SYSTEM)) is None:
                await admin.create(_namespace(SYSTEM, {}))
            plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(operator_in(SYSTEM)))
        await member_admin.create(_namespace(pair.namespace, {LABEL_ACCEPT_FROM: pair.hub_id}))
        made = Carrier(pair=pair, hub=control_plane, member=member_plane, folder=tmp_path)
        secret = tmp_path / "secret.yaml"
        try:
            words = ("--mode", "bundle", "--secret-file", str(secret))
            await made.done(control_plane, "cluster", "join", pair.cluster, *words)
            member_plane.kubectl("apply", "-f", str(secret))
            yield made
        finally:
            await pair.clear()
            for plane in (control_plane, member_plane):
                for kind in ("deployment/smallmodel-operator", "configmap/smallmodel-bundle"):
                    plane.try_kubectl("delete", "-n", SYSTEM, kind)
            if known is None:
                await api.delete(local)
            else:
                await api.apply(_local(known["metadata"].get("labels") or {}))


def _local(labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": MODELCLUSTERS.api_version,
        "kind": MODELCLUSTERS.kind,
        "metadata": {"name": LOCAL_CLUSTER, "labels": labels},
        "spec": {"connection": {"mode": "Local"}},
    }


def _namespace(name: str, labels: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


async def test_a_model_lives_and_ends_by_files_alone(carrier: Carrier, tmp_path: Path) -> None:
    pair = carrier.pair
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        pair.listening() as links,
        pair.serving(tmp_path / "no.kubeconfig") as agent,
    ):
        await carrier.up()
        await until(lambda: links.hears(pair.cluster))
        await until(lambda: pair.cluster in pair.agents.views())
        assert pair.agents.views()[pair.cluster].nodes
        link = (await pair.told()).status.link
        assert link is not None
        assert (link.state, link.cluster_uid) == ("Bundled", await cluster_uid(pair.member_api))

        await pair.decide()
        assert "1 models, 1 new or changed" in await carrier.down()
        await until(carrier.is_served)
        (pool,) = await pair.pools()
        assert not await pair.is_ready(), "nothing came back yet"
        assert "1 of 1 placements have news" in await carrier.up()
        assert await pair.is_ready()
        assert (await pair.hub_status())["pool"] == pool["metadata"]["name"]

        await pair.revoke()
        assert "1 ending" in await carrier.down()
        await until(lambda: _lacks(carrier))
        assert await pair.pools() == []
        assert await pair.hub_has(), "the hub has not heard of it yet"
        await carrier.up()
        await until(lambda: _is_gone(pair))
        assert agent.line.problem is not None
        assert pair.line.calls == [], "nobody called the hub"


async def test_a_file_that_somebody_changed_is_not_taken_and_what_runs_goes_on(
    carrier: Carrier,
) -> None:
    pair = carrier.pair
    await carrier.up()
    await pair.decide()
    await carrier.down()
    before = await carrier.mirror()
    await pair.decide(variant="q8_0")
    path = carrier.folder / "changed.slm"
    text = await carrier.done(carrier.hub, "bundle", "export", pair.cluster)
    path.write_text(text.replace('"q8_0"', '"q2_k"'))

    refused = await carrier.slm(carrier.member, "bundle", "import", str(path))
    assert refused.returncode == ExitCode.INVALID_MANIFEST
    assert "it was changed on its way, or somebody else wrote it" in refused.stderr
    assert await carrier.mirror() == before
    patch = '{"spec":{"maxReplicas":9}}'
    words = ("modelplacement", pair.on_member().name, "--type", "merge", "-p", patch)
    carrier.member.kubectl("-n", SYSTEM, "patch", *words)
    path.write_text(text)
    taken = await carrier.slm(carrier.member, "bundle", "import", str(path))
    assert taken.returncode == ExitCode.OK, taken.stderr
    assert "somebody wrote" in taken.stderr
    assert "maxReplicas" in taken.stderr
    assert (await carrier.mirror())["spec"]["maxReplicas"] != 9
    assert (await carrier.mirror())["spec"]["variant"] == "q8_0"
    await pair.member_admin.merge_patch(pair.on_member(), {"metadata": {"finalizers": None}})
    await pair.member_admin.delete(pair.on_member())


async def _lacks(carrier: Carrier) -> bool:
    return not await carrier.mirror()


async def _is_gone(pair: AgentPair) -> bool:
    return not await pair.hub_has()
