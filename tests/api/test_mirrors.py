"""A hub and a member, two real API servers: what is decided on one is served by the other.

And nothing that the hub could not read, or lost, ends anything in the member. Nodes, KubeRay and
Ray are on paper (`support/paper_serving.py`).
"""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, LABEL_HUB
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import MODELCLUSTERS, NAMESPACES, NODES, Manifest
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.plan.placements import placement_manifest
from support.linked_members import (
    SYSTEM,
    Faults,
    LinkedPair,
    cut_short,
    fails_with,
    until,
    without,
)
from support.paper_serving import serving_on_paper

from .conftest import CRDS

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def member_crds(member_plane: KubeAccess) -> None:
    """Our kinds, served by the member too."""
    member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
    member_plane.wait_served(*(path.stem for path in CRDS.glob("*.smallmodel.dev.yaml")))


@pytest.fixture
def faults() -> Faults:
    """What is wrong with the hub's lists; nothing, to begin with."""
    return Faults()


@pytest.fixture
async def pair(
    control_plane: KubeAccess,
    member_plane: KubeAccess,
    api: Api,
    crds: None,
    member_crds: None,
    faults: Faults,
) -> AsyncIterator[LinkedPair]:
    """A hub and its member, of this test alone."""
    del crds, member_crds
    async with (
        await Api.connect(member_plane.kubeconfig) as member_admin,
        await Api.connect(control_plane.kubeconfig, around=faults) as hub_api,
        await Api.connect(member_plane.kubeconfig) as member_api,
    ):
        yield LinkedPair(
            admin=api, member_admin=member_admin, hub_api=hub_api, member_api=member_api
        )


async def test_a_decision_of_the_hub_is_served_by_the_member_and_ends_there(
    pair: LinkedPair,
) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(pair.is_ready)
        (pool,) = await pair.pools()
        mirror = await pair.member_admin.get(pair.on_member())
        hub = await pair.admin.get(pair.on_hub())
        assert mirror is not None
        assert hub is not None
        assert pool["metadata"]["labels"][LABEL_HUB] == pair.hub_id
        assert '"name":"chat"' in pool["spec"]["serveConfigV2"]
        assert mirror["spec"] == hub["spec"]
        assert hub["status"]["pool"] == pool["metadata"]["name"]
        assert hub["status"]["observedGeneration"] == hub["metadata"]["generation"]
        assert pair.deletions() == 0 or all(
            call.resource == "jobs" for call in pair.member_api.calls if call.verb == "delete"
        )

        await pair.revoke()
        await until(lambda: _is_gone(pair.admin, pair.on_hub()))
        assert await pair.member_admin.get(pair.on_member()) is None
        assert await pair.pools() == []


async def test_a_changed_decision_reaches_the_pool(pair: LinkedPair) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(pair.is_ready)
        before = (await pair.pools())[0]["metadata"]["uid"]

        await pair.decide(max_replicas=1)

        async def has_one() -> bool:
            return '"max_replicas":1' in (await pair.pools())[0]["spec"]["serveConfigV2"]

        await until(has_one)
        assert (await pair.pools())[0]["metadata"]["uid"] == before


async def test_what_is_edited_while_the_hub_is_away_is_told_there_before_it_is_taken_back(
    pair: LinkedPair, member_plane: KubeAccess
) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace):
        async with pair.working():
            await pair.decide()
            await until(pair.is_ready)
        was = await _state(pair)
        mirror = pair.on_member()
        change = {"spec": {"scaling": {"maxReplicas": 9}}}
        member_plane.kubectl(
            "-n", SYSTEM, "patch", "modelplacement", mirror.name, "--type=merge",
            "-p", json.dumps(change),
        )  # fmt: skip

        async with pair.working() as member:
            await until(lambda: member.member.edits.taken_back > 0)

            async def is_as_before() -> bool:
                live = await pair.member_admin.get(mirror)
                return live is not None and live["spec"]["scaling"]["maxReplicas"] != 9

            await until(is_as_before)
            assert await _state(pair) == was
    events = member_plane.get("-n", SYSTEM, "events.events.k8s.io")["items"]
    (told,) = [one["note"] for one in events if one["regarding"]["name"] == mirror.name]
    assert "spec.scaling.maxReplicas (kubectl-patch, 20" in told


async def test_the_hub_says_of_the_member_what_was_seen_there(pair: LinkedPair) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():

        async def seen() -> bool:
            found = await pair.admin.get(MODELCLUSTERS.ref(pair.cluster))
            return bool(((found or {}).get("status") or {}).get("nodes"))

        await until(seen)
        assert pair.members.views()[pair.cluster].name == pair.cluster
    nodes, _ = await pair.admin.list(NODES)
    assert nodes == [], "it was the member's"


async def test_a_mirror_that_the_hub_does_not_have_is_reported_and_served_on(
    pair: LinkedPair,
) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace):
        async with pair.working():
            await pair.decide()
            await until(pair.is_ready)
        was = await _state(pair)
        # As in a hub that was restored from a backup of before.
        await pair.admin.merge_patch(pair.on_hub(), {"metadata": {"finalizers": None}})
        await pair.revoke()
        await until(lambda: _is_gone(pair.admin, pair.on_hub()))

        async with pair.working() as member:
            await until(lambda: bool(member.mirrors.orphans))
            await until(lambda: _says_orphaned(pair))
            await _some_passes(pair)
            assert await _state(pair) == was

            await pair.decide()
            await until(lambda: not member.mirrors.orphans)
            await until(pair.is_ready)
            assert await _state(pair) == was, "its own are recognised"


SPOILT: dict[str, Callable[[Answer], Answer]] = {
    "500": fails_with(errors.ServerFailed("by order", status=500)),
    "403": fails_with(errors.Forbidden("by order", status=403)),
    "401": fails_with(errors.Unauthorized("by order", status=401)),
    "no answer": fails_with(errors.Unreachable("by order")),
    "nothing": without(1.0),
    "half of it": without(0.5),
    "half of the bytes": cut_short,
}


@pytest.mark.parametrize("case", SPOILT)
async def test_a_list_of_the_hub_that_is_spoilt_ends_nothing(
    pair: LinkedPair, faults: Faults, case: str
) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace):
        async with pair.working():
            for name in ("chat", "embed"):
                await pair.decide(name)
            await until(pair.is_ready)
            await until(lambda: pair.is_ready("embed"))
        was = await _state(pair, "chat", "embed")
        before = pair.deletions()

        faults.lists, faults.spoil = "modelplacements", SPOILT[case]
        async with pair.working():
            await until(lambda: faults.spoilt > 0)
            await _some_passes(pair)
            assert await _state(pair, "chat", "embed") == was
            assert pair.deletions() == before

        faults.lists = None
        async with pair.working():
            await pair.revoke("embed")
            await until(lambda: _is_gone(pair.member_admin, pair.on_member("embed")))
            assert (await _state(pair)).items() <= was.items()


@pytest.mark.parametrize("share", [0.5, 1.0])
async def test_a_list_of_the_member_that_lacks_mirrors_ends_nothing(
    pair: LinkedPair, member_plane: KubeAccess, share: float
) -> None:
    await pair.prepare()
    spoilt = Faults()
    async with (
        serving_on_paper(pair.member_admin, pair.namespace),
        await Api.connect(member_plane.kubeconfig, around=spoilt) as through,
    ):
        async with pair.working():
            for name in ("chat", "embed"):
                await pair.decide(name)
            await until(pair.is_ready)
            await until(lambda: pair.is_ready("embed"))
        was = await _state(pair, "chat", "embed")
        pair.member_api = through
        spoilt.lists, spoilt.spoil = "modelplacements", without(share)

        async with pair.working():
            await until(lambda: spoilt.spoilt > 0)
            await _some_passes(pair)
            assert await _state(pair, "chat", "embed") == was
            assert pair.deletions() == 0


async def test_what_is_in_a_mirrors_place_is_not_touched(pair: LinkedPair) -> None:
    await pair.prepare()
    theirs = placement_manifest(pair.decision())
    theirs["metadata"] |= {"namespace": SYSTEM, "labels": {LABEL_HUB: "another"}, "finalizers": []}
    made = await pair.member_admin.apply(theirs)
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(lambda: pair.says(Reason.NAME_CONFLICT))
        after = await pair.member_admin.get(pair.on_member())
        assert after == made
        assert await pair.pools() == []

        await pair.member_admin.delete(pair.on_member())
        await until(pair.is_ready)


async def test_a_namespace_takes_models_once_its_administrator_says_so(pair: LinkedPair) -> None:
    await pair.prepare(accepts=False)
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(lambda: pair.says(Reason.NAMESPACE_NOT_ACCEPTED))
        assert await pair.member_admin.get(pair.on_member()) is None

        label = {"metadata": {"labels": {LABEL_ACCEPT_FROM: pair.hub_id}}}
        await pair.member_admin.merge_patch(NAMESPACES.ref(pair.namespace), label)
        await until(pair.is_ready)
        was = await _state(pair)

        unlabel = {"metadata": {"labels": {LABEL_ACCEPT_FROM: None}}}
        await pair.member_admin.merge_patch(NAMESPACES.ref(pair.namespace), unlabel)
        await pair.decide(max_replicas=1)
        await until(lambda: pair.says(Reason.NAMESPACE_NOT_ACCEPTED))
        assert await _state(pair) == was, "what runs goes on"


async def test_a_member_whose_crds_are_older_keeps_what_runs(
    pair: LinkedPair, member_plane: KubeAccess
) -> None:
    await pair.prepare()
    async with serving_on_paper(pair.member_admin, pair.namespace), pair.working():
        await pair.decide()
        await until(pair.is_ready)
        was = await _state(pair)
        schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
        patch = json.dumps([{"op": "remove", "path": f"{schema}/devicePercent"}])
        crd = "crd/modelplacements.smallmodel.dev"
        member_plane.kubectl("patch", crd, "--type=json", "-p", patch)
        try:
            await pair.decide(device_percent=50)
            await until(lambda: pair.says(Reason.AGENT_TOO_OLD))
            assert await _state(pair) == was
        finally:
            member_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
        await until(lambda: _has(pair, {"devicePercent": 50}))


async def _has(pair: LinkedPair, spec: dict[str, Any]) -> bool:
    mirror = await pair.member_admin.get(pair.on_member())
    return mirror is not None and spec.items() <= mirror["spec"].items()


async def _is_gone(api: Api, ref: Any) -> bool:
    return await api.get(ref) is None


async def _says_orphaned(pair: LinkedPair) -> bool:
    found = await pair.admin.get(MODELCLUSTERS.ref(pair.cluster))
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any(one["reason"] == Reason.ORPHANED for one in conditions)


async def _state(pair: LinkedPair, *names: str) -> dict[str, Any]:
    """Return the identities of what serves in the member, and what its pools serve."""
    pools = await pair.pools()
    mirrors: dict[str, Manifest | None] = {
        name: await pair.member_admin.get(pair.on_member(name)) for name in names or ("chat",)
    }
    found: dict[str, Any] = {
        name: (one["metadata"]["uid"], one["metadata"].get("deletionTimestamp")) if one else None
        for name, one in mirrors.items()
    }
    return (
        found
        | {"pools": [one["metadata"]["uid"] for one in pools]}
        | {
            f"{name} served": [f'"name":"{name}"' in one["spec"]["serveConfigV2"] for one in pools]
            for name in names or ("chat",)
        }
    )


async def _some_passes(pair: LinkedPair) -> None:
    """Have everything worked on several times, by what is known."""

    def all_idle() -> bool:
        return all(queue.idle() for member in pair.members for queue in member.queues)

    for _ in range(5):
        for member in pair.members:
            member.work_on_all()
        await until(all_idle)
