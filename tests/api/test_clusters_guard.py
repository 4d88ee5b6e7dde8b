"""Applying what the planner builds: once it is there, nothing more is written."""

from typing import Any

import pytest

from builders.pool_values import cluster_pool, fetch_job_of, key_of, placement_of, pool_settings
from cluster.access import KubeAccess
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.guard import apply_owned, delete_owned, owner_of
from smallmodel_operator.clusters.ref import ref_of
from smallmodel_operator.plan.pools.objects import (
    build_namespace_objects,
    build_pool_objects,
    token_secret,
)
from support.fail_nth import FailNth

pytestmark = pytest.mark.api


def planned(namespace: str) -> list[dict[str, Any]]:
    """Everything of a pool and its namespace but the RayService, whose kind KubeRay brings."""
    settings = pool_settings()
    pool = cluster_pool(key=key_of(namespace=namespace))
    job = fetch_job_of(placement_of("tiny"), settings)
    job["metadata"]["namespace"] = namespace
    return [
        *build_namespace_objects(namespace, settings),
        *build_pool_objects(pool, settings),
        token_secret(pool, settings, "a-token"),
        job,
    ]


def hub() -> str:
    return pool_settings().hub_id


async def test_what_the_planner_builds_is_written_once(api: Api, namespace: str) -> None:
    kinds = set()
    for manifest in planned(namespace):
        first = await apply_owned(api, manifest, hub())
        second = await apply_owned(api, manifest, hub())
        assert (first.written, second.written) == (True, False), manifest["kind"]
        kinds.add(manifest["kind"])
    assert kinds == {"PersistentVolumeClaim", "NetworkPolicy", "Secret", "Job"}


async def test_what_somebody_edited_is_repaired(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    policy = next(one for one in planned(namespace) if one["kind"] == "NetworkPolicy")
    await apply_owned(api, policy, hub())
    name = policy["metadata"]["name"]
    opened = '{"spec": {"ingress": [{}]}}'
    patch = ("patch", "networkpolicy", name, "--type=merge", "-p", opened)
    control_plane.kubectl("-n", namespace, *patch)
    assert (await apply_owned(api, policy, hub())).written
    assert not (await apply_owned(api, policy, hub())).written


async def test_what_somebody_deleted_is_made_again(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    secret = next(one for one in planned(namespace) if one["kind"] == "Secret")
    await apply_owned(api, secret, hub())
    control_plane.kubectl("-n", namespace, "delete", "secret", secret["metadata"]["name"])
    assert (await apply_owned(api, secret, hub())).written


async def test_a_foreign_object_is_neither_written_nor_deleted(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    secret = next(one for one in planned(namespace) if one["kind"] == "Secret")
    name = secret["metadata"]["name"]
    control_plane.kubectl(
        "-n", namespace, "create", "secret", "generic", name, "--from-literal=a=b"
    )
    before = await api.get(ref_of(secret))
    with pytest.raises(errors.NameConflict):
        await apply_owned(api, secret, hub())
    with pytest.raises(errors.NameConflict):
        await delete_owned(api, ref_of(secret), hub())
    assert await api.get(ref_of(secret)) == before


async def test_what_comes_in_between_is_not_taken_over(
    control_plane: KubeAccess, namespace: str
) -> None:
    """Somebody makes an object of the same name after it was seen to be missing."""
    policy = next(one for one in planned(namespace) if one["kind"] == "NetworkPolicy")
    theirs = {**policy, "metadata": {**policy["metadata"], "labels": {"app": "theirs"}}}
    theirs["spec"] = {"podSelector": {"matchLabels": {"app": "theirs"}}, "policyTypes": ["Egress"]}

    async def meddle(request: Any, send: Any) -> Any:
        if request.method == "PATCH" and request.query["force"] == "false":
            async with await Api.connect(control_plane.kubeconfig) as other:
                await other.create(theirs)
        return await send(request)

    async with await Api.connect(control_plane.kubeconfig, around=meddle) as api:
        with pytest.raises(errors.Conflict):
            await apply_owned(api, policy, hub())
        live = await api.get(ref_of(policy))
        assert owner_of(live or {}) is None


@pytest.mark.parametrize("delivered", [False, True])
async def test_after_any_fault_the_next_try_ends_the_same(
    delivered: bool, control_plane: KubeAccess, namespace: str
) -> None:
    # What is protected from deletion while it is in use takes its time to go.
    manifests = [one for one in planned(namespace) if one["kind"] != "PersistentVolumeClaim"]

    async def all_of(api: Api) -> list[bool]:
        return [(await apply_owned(api, one, hub())).written for one in manifests]

    for nth in range(1, 2 * len(manifests) + 1):
        fault = FailNth(nth, delivered=delivered)
        async with await Api.connect(control_plane.kubeconfig, around=fault) as api:
            with pytest.raises(errors.Unreachable, match=rf"the {nth}\. call"):
                await all_of(api)
            await all_of(api)
            assert await all_of(api) == [False] * len(manifests)
            for manifest in manifests:
                await delete_owned(api, ref_of(manifest), hub())
                assert await api.get(ref_of(manifest)) is None
