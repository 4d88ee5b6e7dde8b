"""The roles of the chart are what its programs need: not a verb more, and not a verb less.

Each program runs with the token of its own account. The API server writes down what each account
calls, and that is compared with what the chart's roles grant. KubeRay, the kubelet and the pools'
heads are faked.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from bench.children import child, free_port, until
from bench.cluster.operator_process import operator_process
from builders.cluster_profiles import CRD as PROFILES
from cluster.access import KubeAccess
from cluster.running import Cluster
from smallmodel_operator.api.names import (
    AGENT_LEASE,
    ANNOTATION_CLUSTER_UID,
    placement_namespace,
)
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    CLAIMS,
    CLUSTERPROFILES,
    CONFIGMAPS,
    DATASOURCES,
    HTTPROUTES,
    JOBS,
    LEASES,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    NAMESPACES,
    NETWORKPOLICIES,
    RAYCLUSTERS,
    RAYSERVICES,
    SMALLMODELS,
    Manifest,
    ref_of,
)
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.install import uninstall
from smallmodel_operator.install.catalogue import apply_cards
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.plan.agents import agent_manifests
from smallmodel_operator.plan.gateway.http_route import GATEWAY_API_TRIED
from smallmodel_operator.plan.gateway.told import TOLD_NAME
from support.paper_serving import ray_cluster_of, serving_on_paper
from support.volumes import Volumes
from support.watched_roles import (
    GATEWAY,
    OPERATOR,
    SYSTEM,
    UNINSTALL,
    WatchedRoles,
    watched_roles,
)

pytestmark = pytest.mark.api

PULLED: Final = "pulled"
CARD: Final = "smollm2-135m-instruct"
MADE_FOR_A_MODEL: Final = (SMALLMODELS, RAYSERVICES, JOBS, CLAIMS, NETWORKPOLICIES)
ROUTES: Final = (
    Path(__file__).parents[1]
    / "contract"
    / "recorded"
    / f"gateway-api-{GATEWAY_API_TRIED}-httproute.json"
)
TEAM: Final = "NAMESPACE"
PROVIDER: Final = "clusters.credentialProviders[0]"
CASES: Final = {
    "it serves the whole cluster": (),
    "it watches one namespace": (f"--set=watchNamespaces={{{TEAM}}}",),
    "a Gateway of somebody's leads to its models": (
        f"--set=watchNamespaces={{{TEAM}}}",
        "--set=gateway.enabled=false,gateway.url=https://models.example.com",
        "--set=gateway.httpRoute.enabled=true",
        "--set=gateway.httpRoute.parentRef.name=public",
        "--set=gateway.httpRoute.parentRef.namespace=gateways",
    ),
    "a program gives tokens for clusters of ClusterProfiles": (
        f"--set={PROVIDER}.name=gke,{PROVIDER}.execConfig.command=/plugins/gke",
        f"--set={PROVIDER}.execConfig.apiVersion=client.authentication.k8s.io/v1",
    ),
}
_WITHIN: Final = 30.0


@pytest.fixture
def plane(control_plane: KubeAccess, crds: None) -> Cluster:
    """An API server with the kinds of others, whose audit log can be read."""
    del crds
    if not isinstance(control_plane, Cluster):
        pytest.skip("reads the API server's audit log, which only a cluster of ours shows")
    for file, kind in ((ROUTES, HTTPROUTES), (PROFILES, CLUSTERPROFILES)):
        control_plane.kubectl("apply", "--server-side", "-f", str(file))
        control_plane.wait_served(kind.full_name)
    return control_plane


@pytest.mark.parametrize("case", CASES)
async def test_each_account_may_do_what_it_does_and_nothing_else(
    plane: Cluster, api: Api, namespace: str, tmp_path: Path, case: str
) -> None:
    values = [word.replace(TEAM, namespace) for word in CASES[case]]
    async with watched_roles(plane, api, tmp_path, values) as roles:
        await _apply_catalogue(roles)
        async with serving_on_paper(api, namespace), _gateway_agent(roles):
            environment = roles.environment()
            log = tmp_path / "operator.log"
            async with operator_process(
                roles.kubeconfig(OPERATOR), log, environment=environment
            ) as operator:
                await operator.wait_ready()
                if not any("watchNamespaces" in word for word in values):
                    await _listen_to_an_agent(api)
                if any(PROVIDER in word for word in values):
                    await _look_for_a_profile(api)
                await Life(api, namespace, routed=not roles.has(GATEWAY)).run()
        await _uninstall(roles, api, namespace)

        accounts = [name for name in (OPERATOR, GATEWAY, UNINSTALL) if roles.has(name)]
        # The last call is written down a moment after it was answered.
        with contextlib.suppress(TimeoutError):
            await until(lambda: not any(map(roles.wrong, accounts)), "all calls are told", 5, 0.5)
        wrong = {name: roles.wrong(name) for name in accounts}
    assert all(map(roles.grants, accounts))
    assert {name: found for name, found in wrong.items() if found} == {}


async def _apply_catalogue(roles: WatchedRoles) -> None:
    async with await Api.connect(roles.kubeconfig(OPERATOR)) as api:
        assert await apply_cards(api, fetch_bundled_cards().cards) == ()


async def _listen_to_an_agent(admin: Api) -> None:
    """Have a cluster be declared whose agent calls, until the hub has told it what it needs."""
    await admin.create(
        {
            "apiVersion": MODELCLUSTERS.api_version,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": PULLED},
            "spec": {"connection": {"mode": "Pull"}},
        }
    )
    namespace = placement_namespace(PULLED)
    told = CONFIGMAPS.ref(TOLD_NAME, namespace)

    async def listened() -> bool:
        return await admin.get(NAMESPACES.ref(namespace)) is not None

    # It makes the namespace where it found no Lease in it.
    await until(listened, "the hub has listened", _WITHIN, 0.1)
    (empty,) = (one for one in agent_manifests(PULLED, "any") if one["kind"] == CONFIGMAPS.kind)
    await admin.apply(empty)
    beats = itertools.count()

    async def is_told() -> bool:
        annotations = {ANNOTATION_CLUSTER_UID: "a-cluster", "beat": str(next(beats))}
        metadata = {"name": AGENT_LEASE, "namespace": namespace, "annotations": annotations}
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata}
        await admin.apply(lease)
        return "binaryData" in (await admin.get(told) or {})

    await until(is_told, "the hub tells the agent", _WITHIN * 2, 1.0)
    await admin.delete(NAMESPACES.ref(namespace))


async def _look_for_a_profile(admin: Api) -> None:
    """Have a cluster be declared whose ClusterProfile is missing, until the hub has said so."""
    await admin.create(
        {
            "apiVersion": MODELCLUSTERS.api_version,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": "profiled"},
            "spec": {
                "connection": {
                    "mode": "Push",
                    "clusterProfileRef": {"name": "profiled", "namespace": "fleet"},
                }
            },
        }
    )

    async def looked() -> bool:
        live = await admin.get(MODELCLUSTERS.ref("profiled")) or {}
        link = (live.get("status") or {}).get("link") or {}
        return link.get("reason") == "ClusterProfileMissing"

    await until(looked, "the hub has looked for the profile", _WITHIN, 0.1)


@contextlib.asynccontextmanager
async def _gateway_agent(roles: WatchedRoles) -> AsyncIterator[None]:
    """Run the gateway's agent until it watches, where the chart has one; there is no Envoy."""
    if not roles.has(GATEWAY):
        yield
        return
    words = (
        "-m", "smallmodel_operator.gateway",
        "--namespace", SYSTEM,
        "--folder", str(roles.folder),
        "--seed", str(roles.folder / "none"),
        "--listen", f"127.0.0.1:{free_port()}",
        "--admin", f"127.0.0.1:{free_port()}",
        "--kubeconfig", str(roles.kubeconfig(GATEWAY)),
    )  # fmt: skip
    async with child(sys.executable, *words, log=roles.folder / "agent.log"):
        yield
        await until(
            lambda: any(call.permission.verb == "watch" for call in roles.calls(GATEWAY)),
            "the agent watches its ConfigMap",
            within=_WITHIN,
            every=0.2,
        )


@dataclass
class Life:
    """What happens to models of a namespace, so that the operator does all that it ever does."""

    admin: Api
    namespace: str
    routed: bool
    """A Gateway of somebody's leads to them."""

    async def run(self) -> None:
        """Have data be found, and a model come, change and go; another one stays."""
        await self._find_data()
        await self._apply("chat")
        await self._until(self._is_ready, "the model is Ready")
        if self.routed:
            await self._until(self._is_routed, "a route leads to the model")
        await self._grow()
        await self._edit_the_pool()
        await self.admin.delete(SMALLMODELS.ref("chat", self.namespace))
        await self._until(self._nothing_is_left, "nothing is left of the model")
        await self._apply("left")
        await self._until(self._is_held, "the finalizer is on what is left")

    async def _find_data(self) -> None:
        """Have a claim be looked for whose volume does not say where it is."""
        volumes = Volumes(self.admin, self.namespace)
        try:
            await volumes.classify()
            await volumes.offer()
            await volumes.ask()
            await volumes.bound()
            source = DATASOURCES.ref("records", self.namespace)
            await self.admin.create(
                {
                    "apiVersion": DATASOURCES.api_version,
                    "kind": DATASOURCES.kind,
                    "metadata": {"name": source.name, "namespace": self.namespace},
                    "spec": {"claim": volumes.claim.name},
                }
            )

            async def found() -> bool:
                live = await self.admin.get(source) or {}
                return bool((live.get("status") or {}).get("found"))

            await self._until(found, "the claim is found")
            await self.admin.delete(source)
            await self.admin.delete(volumes.claim)
        finally:
            await volumes.remove()

    async def _apply(self, name: str) -> None:
        await self.admin.create(
            {
                "apiVersion": SMALLMODELS.api_version,
                "kind": SMALLMODELS.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"model": CARD},
            }
        )

    async def _grow(self) -> None:
        chat = SMALLMODELS.ref("chat", self.namespace)
        await self.admin.merge_patch(chat, {"spec": {"scaling": {"maxReplicas": 2}}})

        async def grown() -> bool:
            config: str = (await self._pool())["spec"]["serveConfigV2"]
            return '"max_replicas":2' in config

        await self._until(grown, "the pool has the model's new bounds")

    async def _edit_the_pool(self) -> None:
        """Have somebody change the bounds of the workers, here and in what KubeRay made of them."""
        pool = await self._pool()
        config = pool["spec"]["rayClusterConfig"]
        most: int = config["workerGroupSpecs"][0]["maxReplicas"]
        edited = {"spec": _with_bounds(config, most + 1)}
        name = ray_cluster_of(pool["metadata"]["name"])
        await self.admin.create(
            {
                "apiVersion": RAYCLUSTERS.api_version,
                "kind": RAYCLUSTERS.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                **edited,
            }
        )
        await self.admin.merge_patch(ref_of(pool), {"spec": {"rayClusterConfig": edited["spec"]}})

        async def taken_back() -> bool:
            found = await self.admin.get(RAYCLUSTERS.ref(name, self.namespace))
            return _bounds(found) == most

        await self._until(taken_back, "the bounds are taken back")
        await self.admin.delete(RAYCLUSTERS.ref(name, self.namespace))

    async def _pool(self) -> Manifest:
        (pool,), _ = await self.admin.list(RAYSERVICES, self.namespace)
        return pool

    async def _is_ready(self) -> bool:
        model = await self.admin.get(SMALLMODELS.ref("chat", self.namespace)) or {}
        conditions = (model.get("status") or {}).get("conditions", ())
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    async def _is_routed(self) -> bool:
        return bool((await self.admin.list(HTTPROUTES, self.namespace))[0])

    async def _nothing_is_left(self) -> bool:
        kinds = (*MADE_FOR_A_MODEL, *((HTTPROUTES,) if self.routed else ()))
        lists = await asyncio.gather(*(self.admin.list(kind, self.namespace) for kind in kinds))
        return not any(found for found, _ in lists)

    async def _is_held(self) -> bool:
        left = await self.admin.get(SMALLMODELS.ref("left", self.namespace)) or {"metadata": {}}
        pools, _ = await self.admin.list(RAYSERVICES, self.namespace)
        return bool(left["metadata"].get("finalizers")) and bool(pools)

    async def _until(self, condition: Any, what: str) -> None:
        await until(condition, what, _WITHIN, 0.1)


def _with_bounds(config: dict[str, Any], most: int) -> dict[str, Any]:
    groups = [group | {"maxReplicas": most} for group in config["workerGroupSpecs"]]
    return config | {"workerGroupSpecs": groups}


def _bounds(ray_cluster: Manifest | None) -> int:
    most: int = (ray_cluster or {})["spec"]["workerGroupSpecs"][0]["maxReplicas"]
    return most


@dataclass
class Meddler:
    """Somebody who writes each object once, just before the hook does."""

    admin: Api
    met: set[str] = field(default_factory=set)

    async def __call__(self, request: Request, send: Send) -> Answer:
        """See one call of the hook's."""
        kind = request.call.resource
        if request.call.verb == "patch" and kind not in self.met:
            self.met.add(kind)
            await self._touch(kind)
        return await send(request)

    async def _touch(self, kind: str) -> None:
        for resource in (SMALLMODELS, MODELPLACEMENTS):
            if resource.plural == kind:
                for one in (await self.admin.list(resource))[0]:
                    seen = {"metadata": {"annotations": {"seen": "true"}}}
                    await self.admin.merge_patch(ref_of(one), seen)


async def _uninstall(roles: WatchedRoles, admin: Api, namespace: str) -> None:
    installation = uninstall.Installation(
        namespace=SYSTEM, deployment=OPERATOR, watched=frozenset({namespace})
    )
    kubeconfig = roles.kubeconfig(UNINSTALL)
    async with await Api.connect(kubeconfig, around=Meddler(admin)) as api:
        await uninstall.run(api, installation, delete=False)
    left = await admin.get(SMALLMODELS.ref("left", namespace)) or {}
    assert left["metadata"].get("finalizers", []) == []
