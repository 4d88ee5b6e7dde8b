"""Two operators that both believe to lead make one of everything, and take back nothing.

The Lease keeps that from being so for more than a moment; what holds in that moment is tested here,
with the loops of two operators on a real API server.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, RAYSERVICES, SMALLMODELS, Resource
from support.loops_by_hand import PASSES_MAX, LoopsByHand, comparable, model_manifest

pytestmark = pytest.mark.api

_QUIET_PASSES: Final = 5


@pytest.fixture
async def two(
    control_plane: KubeAccess, api: Api, namespace: str, placements: None
) -> AsyncIterator[tuple[LoopsByHand, LoopsByHand]]:
    """Two operators, and a namespace that nobody works on yet."""
    del placements
    async with (
        await Api.connect(control_plane.kubeconfig) as first,
        await Api.connect(control_plane.kubeconfig) as second,
    ):
        made = LoopsByHand(first, api, namespace), LoopsByHand(second, api, namespace)
        yield made
        for loops in made:
            await loops.close()


async def test_two_that_act_at_once_make_what_one_makes_and_then_write_nothing(
    two: tuple[LoopsByHand, LoopsByHand],
) -> None:
    first, second = two
    await first.admin.create(model_manifest(first.namespace))
    await _both_settle(first, second)
    by_two = comparable(await first.owned(), first.namespace)

    versions = await _versions(first)
    for _ in range(_QUIET_PASSES):
        await asyncio.gather(first.one_pass(), second.one_pass())
    assert await _versions(first) == versions

    await first.admin.delete(SMALLMODELS.ref("chat", first.namespace))
    await _until_nothing_is_left(first, second)
    await first.admin.create(model_manifest(first.namespace))
    await first.settle(first.is_served)
    assert comparable(await first.owned(), first.namespace) == by_two


BEHIND: dict[str, tuple[Resource, ...]] = {
    "it has not seen the pool's change": (RAYSERVICES,),
    "it has not seen the decision either": (RAYSERVICES, MODELPLACEMENTS),
    "it has seen nothing of it": (RAYSERVICES, MODELPLACEMENTS, SMALLMODELS),
}


@pytest.mark.parametrize("case", BEHIND)
async def test_one_that_is_behind_takes_nothing_back(
    two: tuple[LoopsByHand, LoopsByHand], case: str
) -> None:
    first, late = two
    await first.admin.create(model_manifest(first.namespace))
    await first.admin.create(model_manifest(first.namespace, "more"))
    await first.settle(lambda: _serves(first, '"name":"more"'))
    await _both_settle(first, late)
    chat = SMALLMODELS.ref("chat", first.namespace)
    await first.admin.merge_patch(chat, {"spec": {"scaling": {"maxReplicas": 2}}})
    if SMALLMODELS not in BEHIND[case]:
        # It has the same to do as the first one, and does it later.
        await late.watch()
    await first.settle(lambda: _serves(first, '"max_replicas":2'))
    pool = await _pool(first)
    specs = comparable(await first.owned(), first.namespace)

    await late.watch(unseen=BEHIND[case])
    await late.work()

    assert await _pool(first) == pool
    assert comparable(await first.owned(), first.namespace) == specs
    await _both_settle(first, late)
    assert await _pool(first) == pool
    assert comparable(await first.owned(), first.namespace) == specs


async def _both_settle(first: LoopsByHand, second: LoopsByHand) -> None:
    for _ in range(PASSES_MAX):
        before = first.writes() + second.writes()
        await asyncio.gather(first.one_pass(), second.one_pass())
        if first.writes() + second.writes() == before and await first.is_served():
            return
    raise AssertionError("the two never come to rest")


async def _until_nothing_is_left(first: LoopsByHand, second: LoopsByHand) -> None:
    for _ in range(PASSES_MAX):
        await asyncio.gather(first.one_pass(), second.one_pass())
        if not await first.owned():
            return
    raise AssertionError(f"left: {comparable(await first.owned(), first.namespace)}")


async def _versions(loops: LoopsByHand) -> dict[str, str]:
    """Return the version of everything, which any write changes."""
    return {
        f"{one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for one in await loops.owned()
    }


async def _pool(loops: LoopsByHand) -> tuple[str, int, str]:
    """Return what tells one RayService from another, and each of its changes."""
    (pool,) = (one for one in await loops.owned() if one["kind"] == "RayService")
    metadata = pool["metadata"]
    return metadata["uid"], metadata["generation"], pool["spec"]["serveConfigV2"]


async def _serves(loops: LoopsByHand, text: str) -> bool:
    return text in (await _pool(loops))[2]
