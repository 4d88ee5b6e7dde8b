"""The agent as the chart installs it: its process, with the rights of its account and no others.

It runs against two API servers. What each account may do is compared with what the member's API
server wrote down that it did. KubeRay, the kubelet and the pools' heads are on paper.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from bench.children import until as told
from bench.cluster.operator_process import operator_process
from builders.cards import CardBuilder
from cluster.access import KubeAccess
from cluster.running import Cluster
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import hub_id
from smallmodel_operator.clusters.ref import (
    NAMESPACES,
    RAYSERVICES,
    SMALLMODELS,
    Manifest,
)
from support.agents import AgentPair
from support.chart_roles import Grant, Permission
from support.linked_members import SYSTEM, until
from support.paper_serving import serving_on_paper
from support.watched_roles import OPERATOR, WatchedRoles, watched_roles
from support.watched_roles import SYSTEM as OF_CHART

from .conftest import CRDS

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]

MOST_BYTES: Final = 150 << 20
NOT_HERE: Final = frozenset(
    {
        ("ray.io", "rayclusters", "get"),
        ("ray.io", "rayclusters", "patch"),
        ("networking.k8s.io", "networkpolicies", "patch"),
        ("batch", "jobs", "get"),
        ("events.k8s.io", "events", "create"),
    }
)
"""What the same loops call only when somebody edits a pool; `test_roles.py` has them do it."""


@pytest.fixture
async def pair(
    control_plane: KubeAccess, member_plane: KubeAccess, api: Api, crds: None, tmp_path: Path
) -> AsyncIterator[AgentPair]:
    """A hub, and a cluster that it cannot call, of this test alone."""
    del crds
    if not isinstance(member_plane, Cluster):
        pytest.skip("reads the API server's audit log, which only a cluster of ours shows")
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
    member_plane.wait_served(*(path.stem for path in CRDS.glob("*.smallmodel.dev.yaml")))
    async with (
        await Api.connect(member_plane.kubeconfig) as member_admin,
        await Api.connect(control_plane.kubeconfig) as hub_api,
    ):
        made = AgentPair(
            admin=api,
            member_admin=member_admin,
            hub_api=hub_api,
            member_api=member_admin,
            hub_plane=control_plane,
            folder=tmp_path,
        )
        yield made
        await made.clear()


async def test_the_agent_needs_its_rights_and_little_memory(
    pair: AgentPair, member_plane: Cluster, tmp_path: Path
) -> None:
    values = [f"--set=role=Agent,agent.clusterName={pair.cluster},agent.hubID={pair.hub_id}"]
    async with watched_roles(member_plane, pair.member_admin, tmp_path, values) as roles:
        await pair.prepare()
        environment = roles.environment() | {
            "SMALLMODEL_AGENT_HUB_KUBECONFIG": str(pair.kubeconfig()),
            "SMALLMODEL_LOG_FORMAT": "text",
        }
        log = tmp_path / "agent.log"
        words = ("-m", "smallmodel_operator.agent")
        kubeconfig = roles.kubeconfig(OPERATOR)
        async with (
            serving_on_paper(pair.member_admin, pair.namespace),
            pair.listening() as links,
            operator_process(kubeconfig, log, *words, environment=environment) as agent,
        ):
            await agent.wait_ready()
            await until(lambda: links.hears(pair.cluster))
            await pair.decide()
            await until(pair.is_ready)
            await pair.decide(max_replicas=1)
            await until(lambda: _has_one(pair))
            (pool,) = await pair.pools()
            ref = RAYSERVICES.ref(pool["metadata"]["name"], pair.namespace)
            await pair.member_admin.delete(ref)
            await until(lambda: _is_another(pair, pool))
            used = psutil.Process(agent.pid).memory_info().rss
            print(f"the agent's memory: {used / 2**20:.0f} MiB")  # noqa: T201 - it is measured
            await pair.revoke()
            await until(lambda: _is_gone(pair))
            await until(lambda: _is_certified(pair, OF_CHART))

        not_needed = _not_here(roles)
        # The last call is written down a moment after it was answered.
        with contextlib.suppress(TimeoutError):
            await told(
                lambda: not roles.wrong(OPERATOR, not_needed=not_needed), "all is told", 5, 0.5
            )
        wrong = roles.wrong(OPERATOR, not_needed=not_needed)
    assert roles.grants(OPERATOR)
    assert wrong == {}
    assert used < MOST_BYTES


async def test_a_model_goes_where_an_agent_tells_of_room(
    pair: AgentPair, control_plane: KubeAccess, member_plane: Cluster, tmp_path: Path
) -> None:
    """The hub has no nodes, so the only room that it knows is the agent's."""
    if await pair.admin.get(NAMESPACES.ref(SYSTEM)) is None:
        metadata = {"name": SYSTEM}
        await pair.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    # The links are the hub's own process's.
    pair.hub_id = await hub_id(pair.admin, SYSTEM)
    await pair.prepare()
    control_plane.kubectl("create", "namespace", pair.namespace)
    card = CardBuilder().build()
    dumped = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    await pair.admin.apply(dumped | {"metadata": {"name": card.metadata.name}})
    agent_of = {
        "SMALLMODEL_AGENT_CLUSTER_NAME": pair.cluster,
        "SMALLMODEL_AGENT_HUB_ID": pair.hub_id,
        "SMALLMODEL_AGENT_HUB_KUBECONFIG": str(pair.kubeconfig()),
    }
    words = ("-m", "smallmodel_operator.agent")
    model = SMALLMODELS.ref("chat", pair.namespace)

    async def is_ready() -> bool:
        found = await pair.admin.get(model) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        operator_process(control_plane.kubeconfig, tmp_path / "hub.log") as hub,
        operator_process(
            member_plane.kubeconfig, tmp_path / "agent.log", *words, environment=agent_of
        ) as agent,
    ):
        await hub.wait_ready()
        await agent.wait_ready()
        await pair.admin.create(
            {
                "apiVersion": SMALLMODELS.api_version,
                "kind": SMALLMODELS.kind,
                "metadata": {"name": model.name, "namespace": model.namespace},
                "spec": {"model": card.metadata.name},
            }
        )
        await until(is_ready)
        status = (await pair.admin.get(model) or {})["status"]
        assert [one["cluster"] for one in status["copies"]] == [pair.cluster]
        assert len(await pair.pools()) == 1

        await pair.admin.delete(model)
        await until(lambda: _is_gone(pair))
        await until(lambda: _has_none(pair))
        assert await pair.member_admin.get(pair.on_member()) is None


async def _has_none(pair: AgentPair) -> bool:
    return await pair.pools() == []


async def _is_another(pair: AgentPair, pool: Manifest) -> bool:
    uids = [one["metadata"]["uid"] for one in await pair.pools()]
    return uids not in ([], [pool["metadata"]["uid"]])


def _not_here(roles: WatchedRoles) -> set[Grant]:
    left = {Permission(*one) for one in NOT_HERE}
    return {grant for grant in roles.grants(OPERATOR) if grant.permission in left}


async def _has_one(pair: AgentPair) -> bool:
    return '"max_replicas":1' in (await pair.pools())[0]["spec"]["serveConfigV2"]


async def _is_certified(pair: AgentPair, namespace: str) -> bool:
    return bool((await pair.held(namespace)).leaf.certificate)


async def _is_gone(pair: AgentPair) -> bool:
    return not await pair.hub_has()
