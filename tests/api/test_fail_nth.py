"""Whichever call of a model's life fails, the same objects are made, and nothing is left of them.

A model is created, served and deleted again and again. Each time another call of the operator
fails, before it is delivered or after, and the operator goes on, or is started anew as after a
crash.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import NAMESPACES, SMALLMODELS
from smallmodel_operator.clusters.requests import Request
from support.fail_nth import FailNth
from support.loops_by_hand import (
    PASSES_MAX,
    PLACEMENTS,
    LoopsByHand,
    comparable,
    model_manifest,
)

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]

NEVER: Final = 0
_AT_ONCE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What came of one model's life.

    Attributes:
        made: everything that there was once nothing more was to be done.
        calls: those of the loops, in order.
        failed: the call that failed.
    """

    made: list[str]
    calls: list[Request]
    failed: str


async def test_any_call_may_fail(control_plane: KubeAccess, crds: None) -> None:
    del crds
    async with await Api.connect(control_plane.kubeconfig) as admin:
        if await admin.get(NAMESPACES.ref(PLACEMENTS)) is None:
            await admin.create(_namespace(PLACEMENTS))
        usual = await live(control_plane, admin, FailNth(NEVER), crash=False)
        assert any('"RayService"' in one for one in usual.made), usual.made
        one_at_a_time = asyncio.Semaphore(_AT_ONCE)

        async def with_fault(nth: int, delivered: bool, crash: bool) -> str | None:
            async with one_at_a_time:
                fault = FailNth(nth, delivered=delivered)
                life = await live(control_plane, admin, fault, crash=crash)
            if life.made == usual.made:
                return None
            after = "after" if delivered else "before"
            return f"{nth} {life.failed} {after} delivery, {crash=}: {life.made}"

        wrong = await asyncio.gather(
            *(
                with_fault(nth, delivered, crash)
                for nth, call in enumerate(usual.calls, start=1)
                # Of a read, it makes no difference whether it was delivered.
                for delivered in ((False,) if call.repeatable else (False, True))
                for crash in (False, True)
            )
        )
    assert [one for one in wrong if one] == []


async def live(control_plane: KubeAccess, admin: Api, fault: FailNth, *, crash: bool) -> Life:
    """Create a model, wait until all is made, delete it, and wait until all is gone."""
    async with (
        _namespace_of_its_own(admin) as namespace,
        await Api.connect(control_plane.kubeconfig, around=fault) as api,
    ):
        loops = LoopsByHand(api, admin, namespace)
        before = await loops.owned()
        await admin.create(model_manifest(namespace))
        await _settle(loops, fault, crash=crash)
        made = comparable(await loops.owned(), namespace)
        await admin.delete(SMALLMODELS.ref("chat", namespace))
        for _ in range(PASSES_MAX):
            await _one_pass(loops, fault, crash=crash)
            if await loops.owned() == before:
                break
        left = await loops.owned()
        assert left == before, (fault.nth, fault.delivered, crash, comparable(left, namespace))
        await loops.close()
        failed = fault.failed.what if fault.failed else "nothing"
        return Life(made=made, calls=fault.seen, failed=failed)


async def _settle(loops: LoopsByHand, fault: FailNth, *, crash: bool) -> None:
    """Work until the model is in its pool and a pass writes nothing."""
    for _ in range(PASSES_MAX):
        writes = await _one_pass(loops, fault, crash=crash)
        if not writes and await loops.is_served():
            return
    raise AssertionError(f"nothing settles: {[one.what for one in fault.seen[-10:]]}")


async def _one_pass(loops: LoopsByHand, fault: FailNth, *, crash: bool) -> int:
    """Do a pass, and return how many writes it tried; a crash forgets what was known."""
    before, had_failed = len(fault.seen), fault.failed
    await loops.one_pass()
    if crash and had_failed is None and fault.failed is not None:
        await loops.crash()
    return sum(not request.repeatable for request in fault.seen[before:])


@asynccontextmanager
async def _namespace_of_its_own(admin: Api) -> AsyncIterator[str]:
    name = f"fault-{uuid4().hex[:8]}"
    await admin.create(_namespace(name))
    try:
        yield name
    finally:
        await admin.delete(NAMESPACES.ref(name))


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
