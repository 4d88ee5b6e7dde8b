"""The account of a hub in a member may do what the hub does there, and not a verb more.

The hub works with the account's own token, so the member's API server refuses what is not granted;
what is granted is compared with what was called.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
import yaml

from cluster.access import KubeAccess
from cluster.waiting import wait_until
from smallmodel_operator.api.names import HUB_ACCOUNT
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.claims import observe_claim
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK
from smallmodel_operator.clusters.credentials import read_kubeconfig
from smallmodel_operator.clusters.requests import Call
from smallmodel_operator.handlers.canary import HubName, send_canary
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME
from smallmodel_operator.plan.members import EVERYWHERE, OWN, TOKEN_SECRET, member_manifests
from support.linked_members import SYSTEM, LinkedPair, until
from support.paper_serving import serving_on_paper
from support.volumes import Volumes

from .conftest import CRDS

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]

GRANTED: Final = frozenset(
    Call(verb=verb, group=grant.group, resource=resource, subresource=subresource)
    for grant in (*EVERYWHERE, *OWN)
    for whole in grant.resources
    for resource, _, subresource in [whole.partition("/")]
    for verb in grant.verbs
)
WRITTEN: Final = frozenset(
    {
        Call(verb="create", group="", resource="configmaps"),
        Call(verb="patch", group="", resource="secrets"),
        Call(verb="patch", group="apps", resource="deployments"),
    }
)
"""What makes the cluster's gateway one of the installation's."""
GATEWAY: Final = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": GATEWAY_NAME, "namespace": SYSTEM},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": GATEWAY_NAME}},
        "template": {
            "metadata": {"labels": {"app": GATEWAY_NAME}},
            "spec": {"containers": [{"name": "envoy", "image": "envoy"}]},
        },
    },
}
NOT_HERE: Final = frozenset(
    {
        Call(verb="get", group="ray.io", resource="rayclusters"),
        Call(verb="patch", group="ray.io", resource="rayclusters"),
        Call(verb="patch", group="networking.k8s.io", resource="networkpolicies"),
        Call(verb="get", group="batch", resource="jobs"),
        Call(verb="create", group="events.k8s.io", resource="events"),
    }
)
"""What the same loops call only when somebody edits a pool; `test_roles.py` has them do it."""


@pytest.fixture
def account(member_plane: KubeAccess) -> Iterator[bytes]:
    """The kubeconfig of a hub's account, which was applied as the shipped manifest is."""
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
    text = yaml.safe_dump_all(member_manifests(SYSTEM))
    member_plane.apply(text, "--force-conflicts")
    secret = ("-n", SYSTEM, "secret", TOKEN_SECRET)

    def has_token() -> bool:
        return "token" in member_plane.get(*secret).get("data", {})

    wait_until(has_token, "the account has a token", within=30)
    token = base64.b64decode(member_plane.get(*secret)["data"]["token"]).decode()
    words = ("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
    config = json.loads(member_plane.kubectl(*words))
    config["users"][0]["user"] = {"token": token}
    config.pop("preferences", None)
    yield yaml.safe_dump(config).encode()
    for kind in ("clusterrole", "clusterrolebinding"):
        member_plane.kubectl("delete", "--ignore-not-found", kind, HUB_ACCOUNT)


@pytest.fixture
async def pair(
    control_plane: KubeAccess, member_plane: KubeAccess, api: Api, crds: None, account: bytes
) -> AsyncIterator[LinkedPair]:
    """A hub, and a member that it may work on by its account alone."""
    del crds
    async with (
        await Api.connect(member_plane.kubeconfig) as member_admin,
        await Api.connect(control_plane.kubeconfig) as hub_api,
        Api.of(read_kubeconfig(account, "the kubeconfig")) as member_api,
    ):
        yield LinkedPair(
            admin=api, member_admin=member_admin, hub_api=hub_api, member_api=member_api
        )


async def test_the_account_may_do_what_the_hub_does_and_nothing_else(pair: LinkedPair) -> None:
    await pair.prepare()
    name = HubName(hub_id=pair.hub_id, namespace=SYSTEM, identity="operator-0")
    canary = await send_canary(pair.member_api, name, SYSTEM_CLOCK, lambda _uid: None)
    assert canary.failure is None
    await _find_data(pair)
    await pair.member_admin.apply(GATEWAY)
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(pair.is_ready)
        await pair.decide(max_replicas=2)

        async def has_two() -> bool:
            return '"max_replicas":2' in (await pair.pools())[0]["spec"]["serveConfigV2"]

        await until(has_two)
        await pair.revoke()

        async def is_gone() -> bool:
            return await pair.admin.get(pair.on_hub()) is None

        await until(is_gone)
        await until(lambda: pair.member_api.permissions >= WRITTEN)

    called = frozenset(
        call for call in pair.member_api.permissions if not call.resource.startswith("/")
    )
    assert sorted(map(str, called - GRANTED)) == []
    assert sorted(map(str, GRANTED - called - NOT_HERE)) == []


async def _find_data(pair: LinkedPair) -> None:
    """Have a claim be looked for whose volume does not say where it is."""
    volumes = Volumes(pair.member_admin, pair.namespace)
    try:
        await volumes.classify()
        await volumes.offer()
        await volumes.ask()
        await volumes.bound()
        found = await observe_claim(pair.member_api, pair.namespace, volumes.claim.name)
        await pair.member_admin.delete(volumes.claim)
    finally:
        await volumes.remove()
    assert found is not None
    assert found.is_bound
