"""A hub that cannot call its member, and the member's agent that calls the hub: two API servers.

The agent has no rights but those of its account on the hub. Nodes, KubeRay and Ray are on paper
(`support/paper_serving.py`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.api.modelplacement import PlacementResidency
from smallmodel_operator.api.names import AGENT_LEASE, gateway_identity, placement_namespace
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.certificates import why_renew
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK
from smallmodel_operator.clusters.credentials import read_kubeconfig
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import (
    CONFIGMAPS,
    LEASES,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    RAYSERVICES,
    SECRETS,
    Manifest,
)
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME
from smallmodel_operator.plan.gateway.told import TOLD_NAME
from support.agents import AgentPair
from support.linked_members import SYSTEM, until
from support.paper_serving import serving_on_paper

from .conftest import CRDS

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]


@pytest.fixture
async def pair(
    control_plane: KubeAccess,
    member_plane: KubeAccess,
    api: Api,
    crds: None,
    tmp_path: Path,
) -> AsyncIterator[AgentPair]:
    """A hub, and a cluster that it cannot call, of this test alone."""
    del crds
    placements = CRDS / "modelplacements.smallmodel.dev.yaml"
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(placements))
    member_plane.wait_served(MODELPLACEMENTS.full_name)
    async with (
        await Api.connect(member_plane.kubeconfig) as member_admin,
        await Api.connect(control_plane.kubeconfig) as hub_api,
        await Api.connect(member_plane.kubeconfig) as member_api,
    ):
        made = AgentPair(
            admin=api,
            member_admin=member_admin,
            hub_api=hub_api,
            member_api=member_api,
            hub_plane=control_plane,
            folder=tmp_path,
        )
        yield made
        await made.clear()


async def test_a_decision_of_the_hub_is_fetched_served_and_told(pair: AgentPair) -> None:
    await pair.prepare()
    kubeconfig = pair.kubeconfig()
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        pair.listening(),
        pair.serving(kubeconfig),
    ):
        await pair.decide()
        await until(pair.is_ready)
        (pool,) = await pair.pools()
        mirror = await pair.member_admin.get(pair.on_member())
        hub = await pair.admin.get(pair.on_hub())
        assert mirror is not None
        assert hub is not None
        assert mirror["spec"] == hub["spec"]
        assert hub["status"]["pool"] == pool["metadata"]["name"]
        assert hub["status"]["observedGeneration"] == hub["metadata"]["generation"]
        await until(lambda: pair.is_led_to(pool["metadata"]["name"]))

        await pair.revoke()
        await until(lambda: _not(pair.hub_has))
        assert await pair.member_admin.get(pair.on_member()) is None
        assert await pair.pools() == []


async def test_the_hub_decides_by_what_the_agent_tells_of_its_cluster(pair: AgentPair) -> None:
    await pair.prepare()
    kubeconfig = pair.kubeconfig()
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        pair.listening() as links,
        pair.serving(kubeconfig) as agent,
    ):
        await until(lambda: pair.cluster in pair.agents.views())
        await until(lambda: pair.is_linked("Connected"))
        told, seen = pair.agents.views()[pair.cluster], agent.member.view()
        status = (await pair.told()).status

        assert seen is not None
        assert told.max_workers == seen.max_workers == 3
        assert [node.name for node in told.nodes] == [node.name for node in seen.nodes]
        assert told.nodes[0].free_memory_bytes == seen.nodes[0].free_memory_bytes == 32 << 30
        assert links.hears(pair.cluster)
        assert status.link is not None
        assert status.link.message == "The cluster's agent calls the hub"
        assert status.link.cluster_uid == await cluster_uid(pair.member_api)
        assert _condition(status.model_dump(mode="json", by_alias=True), "Schedulable") == "True"


async def _not(condition: Callable[[], Awaitable[bool]]) -> bool:
    return not await condition()


def _condition(status: Manifest, kind: str) -> str:
    (found,) = (one["status"] for one in status["conditions"] if one["type"] == kind)
    return str(found)


async def test_what_changes_while_the_line_is_cut_is_done_on_return_and_once(
    pair: AgentPair,
) -> None:
    await pair.prepare()
    kubeconfig = pair.kubeconfig()
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        pair.listening() as links,
        pair.serving(kubeconfig) as agent,
    ):
        for name in ("chat", "other"):
            await pair.decide(name)
            await until(partial(pair.is_ready, name))
        await until(lambda: links.hears(pair.cluster))
        (pool,) = await pair.pools()
        pair.line.is_cut = True
        began = SYSTEM_CLOCK.monotonic()
        await pair.decide(max_replicas=1)
        await pair.revoke("other")
        await until(lambda: pair.is_linked("Unreachable"))
        took = SYSTEM_CLOCK.monotonic() - began

        # Two are overdue before the first counts, and the first may have come just before the cut.
        assert 20 < took < 60
        assert not links.hears(pair.cluster)
        assert agent.line.problem is not None
        assert agent.line.problem.startswith("Unreachable: ")
        assert await pair.pools() == [pool]
        assert await pair.member_admin.get(pair.on_member("other")) is not None
        assert await pair.hub_has("other"), "it waits for the cluster"
        assert await pair.is_ready(), "what was said last stays"

        pair.line.is_cut = False
        await until(lambda: _not(lambda: pair.hub_has("other")))

        async def has_one() -> bool:
            return '"max_replicas":1' in (await pair.pools())[0]["spec"]["serveConfigV2"]

        await until(has_one)
        await until(pair.is_ready)
        assert (await pair.pools())[0]["metadata"]["uid"] == pool["metadata"]["uid"]
        assert await pair.member_admin.get(pair.on_member("other")) is None
        assert _deleted(pair.member_api, "modelplacements") == 1
        assert _deleted(pair.member_api, "rayservices") == 0


async def test_an_agent_that_restarts_needs_no_hub(pair: AgentPair, tmp_path: Path) -> None:
    await pair.prepare()
    kubeconfig = pair.kubeconfig()
    async with serving_on_paper(pair.member_admin, pair.namespace):
        async with pair.serving(kubeconfig):
            await pair.decide()
            await until(pair.is_ready)
        (pool,) = await pair.pools()
        await pair.member_admin.delete(RAYSERVICES.ref(pool["metadata"]["name"], pair.namespace))
        late = tmp_path / "late.kubeconfig"
        asked = len(pair.line.calls)
        async with pair.serving(late) as agent:

            async def is_repaired() -> bool:
                found = await pair.pools()
                return bool(found) and found[0]["metadata"]["uid"] != pool["metadata"]["uid"]

            await until(is_repaired)
            assert len(pair.line.calls) == asked
            assert agent.line.problem is not None
            assert agent.line.problem.startswith(f"{Reason.KUBECONFIG_MISSING}: ")

            late.write_bytes(b"no kubeconfig")
            await agent.line.beat()
            assert agent.line.problem.startswith("KubeconfigRefused: ")
            late.write_bytes(kubeconfig.read_bytes())
            await until(lambda: agent.line.problem is None)
            await until(agent.hub_is_read)


async def test_a_law_is_compared_with_the_agents_own_word(pair: AgentPair) -> None:
    await pair.prepare()
    kubeconfig = pair.kubeconfig()
    home = PlacementResidency(jurisdictions=("DE",))
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        pair.serving(kubeconfig, cluster_jurisdiction="US"),
    ):
        await pair.decide(residency=home)
        await until(partial(pair.says, Reason.RESIDENCY_REFUSED))
        assert await pair.pools() == []


@pytest.mark.parametrize("minutes", [-5, 5], ids=["behind", "before"])
async def test_clocks_that_are_minutes_apart_change_nothing(pair: AgentPair, minutes: int) -> None:
    await pair.prepare()
    pair.off_by = timedelta(minutes=minutes)
    kubeconfig = pair.kubeconfig()
    async with pair.listening() as links:
        async with pair.serving(kubeconfig):
            await until(lambda: links.hears(pair.cluster))
        lease = await pair.admin.get(LEASES.ref(AGENT_LEASE, placement_namespace(pair.cluster)))
        assert lease is not None
        beat = datetime.fromisoformat(lease["spec"]["renewTime"])
        assert abs((beat - datetime.now(UTC)) - pair.off_by) < timedelta(minutes=1)
        await until(lambda: not links.hears(pair.cluster), within=70)


async def test_the_credential_opens_nothing_of_another_cluster_and_no_spec(
    pair: AgentPair,
) -> None:
    await pair.prepare()
    other = f"{pair.cluster}-2"
    await pair.declare(other)
    await pair.decide()
    kubeconfig = pair.kubeconfig()
    credentials = read_kubeconfig(kubeconfig.read_bytes(), "the kubeconfig")
    async with Api.of(credentials) as agent:
        assert await agent.get(pair.on_hub()) is not None
        assert await agent.get(MODELCLUSTERS.ref(pair.cluster)) is not None
        elsewhere = placement_namespace(other)
        refused = {
            "read another's placements": agent.list(MODELPLACEMENTS, elsewhere),
            "read all placements": agent.list(MODELPLACEMENTS),
            "write another's status": agent.patch_status(
                MODELPLACEMENTS.ref("any", elsewhere), {"ended": True}
            ),
            "change a spec": agent.merge_patch(pair.on_hub(), {"spec": {"variant": "other"}}),
            "take a finalizer off": agent.merge_patch(
                pair.on_hub(), {"metadata": {"finalizers": None}}
            ),
            "delete a placement": agent.delete(pair.on_hub()),
            "read another ModelCluster": agent.get(MODELCLUSTERS.ref(other)),
            "be another ModelCluster": agent.patch_status(MODELCLUSTERS.ref(other), {"nodes": 9}),
            "change its own declaration": agent.merge_patch(
                MODELCLUSTERS.ref(pair.cluster), {"spec": {"jurisdiction": "DE"}}
            ),
            "beat for another": agent.apply(_lease(elsewhere)),
            "write another Lease": agent.merge_patch(
                LEASES.ref("another", placement_namespace(pair.cluster)), {"spec": {}}
            ),
            "read Secrets": agent.list(SECRETS, placement_namespace(pair.cluster)),
            "read a Secret": agent.get(
                SECRETS.ref("smallmodel-agent-token", placement_namespace(pair.cluster))
            ),
            "read what another is told": agent.get(CONFIGMAPS.ref(TOLD_NAME, elsewhere)),
            "read another ConfigMap": agent.get(
                CONFIGMAPS.ref("kube-root-ca.crt", placement_namespace(pair.cluster))
            ),
            "write what it is told": agent.merge_patch(
                CONFIGMAPS.ref(TOLD_NAME, placement_namespace(pair.cluster)), {"data": {"a": "b"}}
            ),
        }
        could = [what for what, call in refused.items() if not await _is_refused(call)]
        assert could == []
        told = CONFIGMAPS.ref(TOLD_NAME, placement_namespace(pair.cluster))
        assert await agent.get(told) is not None
        await agent.apply(_lease(placement_namespace(pair.cluster)))


async def test_a_gateway_behind_a_nat_leads_to_models_elsewhere_by_a_certificate_of_its_own(
    pair: AgentPair,
) -> None:
    await pair.prepare()
    other = f"munich-{pair.cluster}"
    copy = await pair.answer_at(other, "https://munich.example.com:8443")
    kubeconfig = pair.kubeconfig()
    on_hub = CONFIGMAPS.ref(TOLD_NAME, placement_namespace(pair.cluster))
    identity = gateway_identity(pair.cluster, pair.hub_id)

    async def is_certified() -> bool:
        held, now = await pair.held(), datetime.now(UTC)
        return bool(held.trusted) and why_renew(held.leaf, held.trusted, identity, now) is None

    async with pair.listening():
        async with pair.serving(kubeconfig) as agent:
            await until(lambda: pair.is_led(f"gateways:{other}"))
            await until(is_certified)
            shown = await pair.admin.get(on_hub) or {}
            assert shown["data"]["tls.crt"].encode() == (await pair.held()).leaf.certificate
            assert "PRIVATE" not in str(shown)
            await until(lambda: agent.hearing.request is None)
            assert agent.hearing.problem is None

        # What it was told lies in its cluster.
        pair.line.is_cut = True
        await pair.member_admin.delete(CONFIGMAPS.ref(GATEWAY_NAME, SYSTEM))
        async with pair.serving(kubeconfig) as agent:
            await until(lambda: pair.is_led(f"gateways:{other}"))
            assert agent.hearing.ends is not None
            pair.line.is_cut = False

            await pair.admin.delete(copy)
            await until(lambda: _not(lambda: pair.is_led(f"gateways:{other}")))
            assert await is_certified()


def _deleted(api: Api, plural: str) -> int:
    calls = api.calls.items()
    return sum(n for call, n in calls if (call.verb, call.resource) == ("delete", plural))


async def _is_refused(call: Awaitable[object]) -> bool:
    try:
        await call
    except errors.Forbidden:
        return True
    return False


def _lease(namespace: str) -> Manifest:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": AGENT_LEASE, "namespace": namespace},
        "spec": {"holderIdentity": "agent-0"},
    }
