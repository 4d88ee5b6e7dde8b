"""What somebody edits or deletes of ours comes back; what is somebody else's is never touched.

The operator's loops run on a real API server, pass by pass; KubeRay and the kubelet are faked.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    CLAIMS,
    JOBS,
    NETWORKPOLICIES,
    RAYSERVICES,
    SECRETS,
    SMALLMODELS,
    Manifest,
    Resource,
    ref_of,
)
from smallmodel_operator.handlers import writer
from smallmodel_operator.handlers.edits import EDIT_TAKEN_BACK
from smallmodel_operator.plan.pools.objects import FETCH_POLICY
from support.loops_by_hand import PLACEMENTS, LoopsByHand, model_manifest

pytestmark = pytest.mark.api

_HEAD: Final = "/spec/rayClusterConfig/headGroupSpec/template/spec"
_EDITS: Final = 20
"""Of each of two people."""
_WORKERS: Final = "/spec/rayClusterConfig/workerGroupSpecs/0"


@pytest.fixture(autouse=True)
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody watches is looked at in each pass."""
    monkeypatch.setattr(writer, "_CHECK_SECONDS", 0.0)


@pytest.fixture
async def loops(
    control_plane: KubeAccess, api: Api, namespace: str, placements: None
) -> AsyncIterator[LoopsByHand]:
    """The loops, and a namespace in which one model is served."""
    del placements
    async with await Api.connect(control_plane.kubeconfig) as own:
        made = LoopsByHand(own, api, namespace)
        await api.create(model_manifest(namespace))
        await made.settle(made.is_served)
        yield made
        await made.close()


def _edit(path: str, value: Any) -> str:
    return json.dumps([{"op": "replace", "path": path, "value": value}])


EDITS: dict[str, tuple[Resource, str]] = {
    "the models of the RayService": (RAYSERVICES, _edit("/spec/serveConfigV2", "applications: []")),
    "its Serve config, which is none any more": (RAYSERVICES, _edit("/spec/serveConfigV2", "[")),
    "the workers' bound": (RAYSERVICES, _edit(f"{_WORKERS}/maxReplicas", 9)),
    "the head's image": (RAYSERVICES, _edit(f"{_HEAD}/containers/0/image", "another:1")),
    "the head's variables": (RAYSERVICES, _edit(f"{_HEAD}/containers/0/env", [])),
    "the workers, all of them": (
        RAYSERVICES,
        _edit("/spec/rayClusterConfig/workerGroupSpecs", []),
    ),
    "its annotations": (RAYSERVICES, _edit("/metadata/annotations", {})),
    "who may reach the pods": (NETWORKPOLICIES, _edit("/spec/ingress", [{}])),
}


@pytest.mark.parametrize("case", EDITS)
async def test_an_edit_is_taken_back(
    loops: LoopsByHand, control_plane: KubeAccess, case: str
) -> None:
    resource, patch = EDITS[case]
    before = await _everything(loops)
    found = [one for one in await loops.owned() if one["kind"] == resource.kind]
    for one in found:
        control_plane.kubectl(
            "-n", loops.namespace, "patch", resource.full_name, one["metadata"]["name"],
            "--type=json", "-p", patch,
        )  # fmt: skip
    assert await _everything(loops) != before

    await loops.settle(loops.is_served)

    assert await _everything(loops) == before


async def test_an_edit_is_told_with_its_paths_before_it_is_taken_back(
    loops: LoopsByHand, control_plane: KubeAccess
) -> None:
    (pool,) = [one for one in await loops.owned() if one["kind"] == RAYSERVICES.kind]
    patches = (EDITS["the workers' bound"][1], EDITS["the models of the RayService"][1])
    for patch in patches:
        control_plane.kubectl(
            "-n", loops.namespace, "patch", "rayservice", pool["metadata"]["name"],
            "--type=json", "-p", patch, "--field-manager=kubectl-edit",
        )  # fmt: skip

    await loops.settle(loops.is_served)

    words = ("-n", loops.namespace, "events.events.k8s.io")
    (told,) = [
        one for one in control_plane.get(*words)["items"] if one["reason"] == EDIT_TAKEN_BACK
    ]
    assert told["regarding"]["name"] == pool["metadata"]["name"]
    assert "spec.serveConfigV2 (kubectl-edit, 20" in told["note"]
    assert "spec.rayClusterConfig.workerGroupSpecs (kubectl-edit, 20" in told["note"]
    assert told["note"].endswith("change the SmallModel instead")


async def test_a_pool_that_two_people_edit_at_once_ends_as_it_is_planned(
    loops: LoopsByHand, api: Api
) -> None:
    before = await _everything(loops)
    (pool,) = [one for one in await loops.owned() if one["kind"] == RAYSERVICES.kind]

    async def edit(spec_of: Callable[[int], dict[str, Any]]) -> None:
        for number in range(_EDITS):
            await api.merge_patch(ref_of(pool), {"spec": spec_of(number)})

    async with asyncio.TaskGroup() as group:
        people = [
            group.create_task(
                edit(lambda number: {"serveConfigV2": f"applications: [] # {number}"})
            ),
            group.create_task(
                edit(lambda number: {"rayClusterConfig": {"rayVersion": f"9.{number}"}})
            ),
        ]
        while not all(one.done() for one in people):
            # A pass that meets an edit is refused by its resourceVersion, and is done again.
            await loops.one_pass()
    await loops.settle(loops.is_served)

    assert await _everything(loops) == before


@pytest.mark.parametrize(
    "resource",
    [RAYSERVICES, SECRETS, NETWORKPOLICIES, CLAIMS],
    ids=lambda resource: resource.plural,
)
async def test_what_is_deleted_is_made_again(
    loops: LoopsByHand, control_plane: KubeAccess, resource: Resource
) -> None:
    before = await _everything(loops)
    doomed = [one for one in await loops.owned() if one["kind"] == resource.kind]
    assert doomed
    names = [one["metadata"]["name"] for one in doomed]
    control_plane.kubectl("-n", loops.namespace, "delete", resource.full_name, *names)

    await loops.settle(loops.is_served)

    assert await _everything(loops) == before
    again = [one for one in await loops.owned() if one["kind"] == resource.kind]
    assert {_uid(one) for one in again}.isdisjoint({_uid(one) for one in doomed})


async def test_a_secret_cannot_be_edited_and_one_that_is_replaced_is_put_right(
    loops: LoopsByHand, control_plane: KubeAccess
) -> None:
    before = await _everything(loops)
    (secret,) = (one for one in await loops.owned() if one["kind"] == "Secret")
    other = {"auth_token": base64.b64encode(b"another").decode()}
    words = ("patch", "secret", secret["metadata"]["name"], "-p", json.dumps({"data": other}))
    edit = control_plane.try_kubectl("-n", loops.namespace, *words)
    assert "immutable" in edit.stderr

    replaced = json.dumps(secret | {"data": other})
    control_plane.kubectl("replace", "--force", "-f", "-", stdin=replaced)
    await loops.settle(loops.is_served)

    assert await _everything(loops) == before


FOREIGN: dict[str, tuple[Resource, str]] = {
    "the Secret": (SECRETS, ""),
    "the pool's fence": (NETWORKPOLICIES, "cpu-"),
    "the fence of fetches": (NETWORKPOLICIES, FETCH_POLICY),
    "the claim": (CLAIMS, ""),
    "the fetch Job": (JOBS, ""),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_what_is_somebody_elses_is_a_conflict_until_it_makes_room(
    loops: LoopsByHand, case: str
) -> None:
    resource, prefix = FOREIGN[case]
    (ours,) = (
        one
        for one in (_fetch_job(each) for each in await _leave(loops))
        if one["kind"] == resource.kind and one["metadata"]["name"].startswith(prefix)
    )
    name = ours["metadata"]["name"]
    theirs = await loops.admin.create(_somebody_elses(ours))
    await loops.admin.create(model_manifest(loops.namespace))

    async def is_told() -> bool:
        status, reason, message = await _deployed(loops)
        return status == "False" and reason == Reason.NAME_CONFLICT and name in message

    await loops.settle(is_told)
    assert not await loops.is_served()
    await _is_not_touched(loops, theirs)

    await loops.admin.delete(ref_of(theirs), uid=_uid(theirs))
    await loops.settle(loops.is_served)


async def test_a_pool_of_somebody_else_is_passed_over(loops: LoopsByHand) -> None:
    (ours,) = (one for one in await _leave(loops) if one["kind"] == "RayService")
    theirs = await loops.admin.create(_somebody_elses(ours))
    await loops.admin.create(model_manifest(loops.namespace))

    await loops.settle(loops.is_served)

    names = [one["metadata"]["name"] for one in await loops.owned() if one["kind"] == "RayService"]
    assert names == [ours["metadata"]["name"], ours["metadata"]["name"].replace("-1-", "-2-")]
    await _is_not_touched(loops, theirs)


async def test_a_pool_that_was_taken_away_is_not_touched_until_it_is_given_back(
    loops: LoopsByHand, control_plane: KubeAccess
) -> None:
    (pool,) = (one for one in await loops.owned() if one["kind"] == "RayService")
    await _have_it_run(loops, control_plane)
    control_plane.kubectl(
        "-n", loops.namespace, "label", "rayservice", pool["metadata"]["name"], f"{LABEL_HUB}-"
    )
    taken = await loops.admin.get(ref_of(pool))
    await loops.admin.merge_patch(
        SMALLMODELS.ref("chat", loops.namespace), {"spec": {"scaling": {"maxReplicas": 2}}}
    )

    async def is_told() -> bool:
        return (await _deployed(loops))[:2] == ("False", Reason.NAME_CONFLICT)

    await loops.settle(is_told)
    assert await loops.admin.get(ref_of(pool)) == taken

    _, _, message = await _deployed(loops)
    (command,) = re.findall("`kubectl ([^`]+)`", message)
    control_plane.kubectl(*command.split())
    await loops.settle(loops.is_served)
    given = await loops.admin.get(ref_of(pool))
    assert given is not None
    assert '"max_replicas":2' in given["spec"]["serveConfigV2"]
    assert not await is_told()


async def _have_it_run(loops: LoopsByHand, control_plane: KubeAccess) -> None:
    """Say in Serve's place that the model runs."""
    (placement,) = (one for one in await loops.owned() if one["kind"] == "ModelPlacement")
    running = {"servingHash": placement["status"]["servingHash"], "healthy": True}
    deployment = {"deployment": running | {"failed": False, "replicas": 1}}
    control_plane.kubectl(
        "-n", PLACEMENTS, "patch", "modelplacement", placement["metadata"]["name"],
        "--subresource=status", "--type=merge", "-p", json.dumps({"status": deployment}),
    )  # fmt: skip
    await loops.settle(loops.is_served)


async def _leave(loops: LoopsByHand) -> list[Manifest]:
    """Delete the model, and return what there was for it."""
    before = await loops.owned()
    await loops.admin.delete(SMALLMODELS.ref("chat", loops.namespace))

    async def nothing_is_left() -> bool:
        return not await loops.owned()

    await loops.settle(nothing_is_left)
    return before


def _somebody_elses(ours: Manifest) -> Manifest:
    """Return an object of the same kind and name that nobody says is ours."""
    kept = {key: ours[key] for key in ("apiVersion", "kind", "spec") if key in ours}
    name = {key: ours["metadata"][key] for key in ("name", "namespace")}
    data = {"data": {"theirs": "YQ=="}} if ours["kind"] == SECRETS.kind else {}
    return kept | data | {"metadata": name}


def _fetch_job(manifest: Manifest) -> Manifest:
    """Return the Job that fetched the weights of a placement, which is gone; or what was given."""
    if manifest["kind"] != "ModelPlacement":
        return manifest
    container = {"name": "idle", "image": "idle:1"}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": manifest["status"]["fetchJob"],
            "namespace": manifest["spec"]["model"]["namespace"],
        },
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


async def _is_not_touched(loops: LoopsByHand, theirs: Manifest) -> None:
    now = await loops.admin.get(ref_of(theirs))
    assert now is not None
    assert [now.get(part) for part in ("spec", "data")] == [
        theirs.get(part) for part in ("spec", "data")
    ]
    for part in ("uid", "labels", "annotations", "ownerReferences"):
        assert now["metadata"].get(part) == theirs["metadata"].get(part)
    # The same client made it, and says in KubeRay's place that it is ready.
    fields = now["metadata"]["managedFields"]
    assert [
        one for one in fields if one["operation"] == "Apply" and not one.get("subresource")
    ] == []


async def _deployed(loops: LoopsByHand) -> tuple[str, str, str]:
    """Return what the model's `Deployed` says: status, reason, message."""
    model = await loops.admin.get(SMALLMODELS.ref("chat", loops.namespace))
    assert model is not None
    for found in (model.get("status") or {}).get("conditions", ()):
        if found["type"] == ConditionType.DEPLOYED:
            return found["status"], found["reason"], found["message"]
    return "Unknown", "", ""


async def _everything(loops: LoopsByHand) -> list[str]:
    """Return all that the operator says of what is there for the model."""
    return sorted(json.dumps(_said(one), sort_keys=True) for one in await loops.owned())


def _said(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    kept = {key: manifest.get(key) for key in ("kind", "spec", "data")}
    kept |= {key: metadata.get(key) for key in ("name", "labels", "finalizers")}
    if kept["kind"] == CLAIMS.kind:
        # Kubernetes annotates claims.
        return kept
    return kept | {"annotations": metadata.get("annotations")}


def _uid(manifest: Manifest) -> str:
    uid: str = manifest["metadata"]["uid"]
    return uid
