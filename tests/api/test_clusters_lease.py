"""Leadership on a real API server: never two at once, and never long without one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import pytest

from cluster.access import KubeAccess
from cluster.running import Cluster
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SystemClock
from smallmodel_operator.clusters.lease import Leadership
from smallmodel_operator.clusters.ref import LEASES
from support.waiting import eventually

pytestmark = pytest.mark.api

DURATION = 3.0


class Contest:
    """Candidates in one process, each with a client of its own, and somebody who counts leaders."""

    def __init__(self, candidates: list[Leadership]) -> None:
        self.candidates = candidates
        self.lost: list[str] = []
        self.most = 0
        self.tasks = [asyncio.create_task(self._run(one)) for one in candidates]
        self._watch = asyncio.create_task(self._count())

    async def _run(self, one: Leadership) -> None:
        await one.acquire()
        await one.keep(self.lost.append)

    async def _count(self) -> None:
        while True:
            self.most = max(self.most, len(self.leaders))
            await asyncio.sleep(0.005)

    @property
    def leaders(self) -> list[int]:
        return [number for number, one in enumerate(self.candidates) if one.is_held]

    async def a_leader(self, within: float, but: int = -1) -> tuple[int, float]:
        """Return who leads, once somebody does, and the seconds that it took."""
        begun = time.monotonic()
        await eventually(lambda: bool(set(self.leaders) - {but}), "somebody leads", within)
        return (set(self.leaders) - {but}).pop(), time.monotonic() - begun

    async def end(self) -> None:
        for task in (*self.tasks, self._watch):
            task.cancel()
        await asyncio.gather(*self.tasks, self._watch, return_exceptions=True)


class WrongClock(SystemClock):
    """A clock whose time of day is wrong, and whose seconds are as long as everybody's."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


@asynccontextmanager
async def contest(
    control_plane: KubeAccess, namespace: str, many: int, apart: timedelta = timedelta()
) -> AsyncIterator[Contest]:
    """Start candidates, each of whose clocks is so much before the next one's."""
    async with AsyncExitStack() as stack:
        candidates = []
        for number in range(many):
            api = await stack.enter_async_context(await Api.connect(control_plane.kubeconfig))
            ref = LEASES.ref("operator", namespace)
            clock = WrongClock(apart * (number - many // 2))
            candidates.append(
                Leadership(api, ref, f"operator-{number}", duration=DURATION, clock=clock)
            )
        running = Contest(candidates)
        stack.push_async_callback(running.end)
        yield running
        assert running.most <= 1


async def test_of_several_one_leads_and_the_next_takes_over(
    control_plane: KubeAccess, namespace: str
) -> None:
    async with contest(control_plane, namespace, 4) as running:
        first, _ = await running.a_leader(within=10)
        running.tasks[first].cancel()
        # It ended without a word: its Lease has to run out.
        second, took = await running.a_leader(within=15, but=first)
        assert took > DURATION / 3
        running.tasks[second].cancel()
        await running.candidates[second].release()
        _, took = await running.a_leader(within=10, but=second)
        assert took < DURATION
        assert running.most == 1
        assert running.lost == []


async def test_clocks_that_are_hours_apart_make_no_second_leader_and_no_gap(
    control_plane: KubeAccess, namespace: str
) -> None:
    """The machine's clock stays as it is: each candidate is given one that is wrong."""
    async with contest(control_plane, namespace, 3, apart=timedelta(hours=1)) as running:
        leader, _ = await running.a_leader(within=10)
        for _ in range(2):
            # The time of three renewals, in which nothing is to happen.
            await asyncio.sleep(DURATION)
            assert running.leaders == [leader]
            running.tasks[leader].cancel()
            leader, took = await running.a_leader(within=15, but=leader)
            assert took > DURATION / 3
        assert running.most == 1
        assert running.lost == []


async def test_the_lease_tells_who_leads(control_plane: KubeAccess, namespace: str) -> None:
    async with contest(control_plane, namespace, 1) as running:
        await running.a_leader(within=10)
        lease = control_plane.get("-n", namespace, "lease", "operator")
        renewed = lease["spec"]["renewTime"]

        def was_renewed() -> bool:
            now = control_plane.get("-n", namespace, "lease", "operator")["spec"]["renewTime"]
            return bool(now != renewed)

        assert lease["spec"]["holderIdentity"] == "operator-0"
        assert lease["spec"]["leaseDurationSeconds"] == int(DURATION)
        await eventually(was_renewed, "the Lease is renewed", within=10)


async def test_a_leader_whose_lease_is_taken_stops(
    control_plane: KubeAccess, namespace: str
) -> None:
    async with contest(control_plane, namespace, 1) as running:
        await running.a_leader(within=10)
        taken = '{"spec": {"holderIdentity": "by-hand"}}'
        patch = ("patch", "lease", "operator", "--type=merge", "-p", taken)
        control_plane.kubectl("-n", namespace, *patch)
        await eventually(lambda: bool(running.lost), "the leader stops", within=10)
        assert "by-hand holds it now" in running.lost[0]


async def test_without_an_api_server_nobody_leads(
    control_plane: KubeAccess, namespace: str
) -> None:
    if not isinstance(control_plane, Cluster):
        pytest.skip("stops the API server, which only a cluster of ours allows")
    async with contest(control_plane, namespace, 2) as running:
        first, _ = await running.a_leader(within=10)
        await asyncio.to_thread(control_plane.stop, "kube-apiserver")
        try:
            await eventually(lambda: bool(running.lost), "the leader stops", within=15)
            assert running.leaders == []
        finally:
            await asyncio.to_thread(control_plane.start, "kube-apiserver")
        second, _ = await running.a_leader(within=30)
        assert second != first
