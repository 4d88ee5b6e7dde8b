"""Leadership: one at a time, whatever the clocks say and whichever call fails."""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, Reply, fake_kube_api, hang_up, missing, refuse
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.errors import Unreachable
from smallmodel_operator.clusters.lease import Leadership, hold
from smallmodel_operator.clusters.ref import LEASES
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send
from support.waiting import eventually

REF = LEASES.ref("operator", "system")
DURATION = 15.0


@dataclass
class Candidate:
    """One operator that wants the Lease, with a clock and a wire of its own.

    Attributes:
        lost: What it was told when it lost the Lease.
        fault: "cut": its calls reach nobody. "deaf": they do, and the answers are lost.
            "slow": they take 7 seconds.
    """

    name: str
    clock: FakeClock
    lost: list[str] = field(default_factory=list)
    fault: str = ""
    leadership: Leadership = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    def start(self, api: Api) -> None:
        self.leadership = Leadership(api, REF, self.name, duration=DURATION, clock=self.clock)
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.leadership.acquire()
        await self.leadership.keep(self.lost.append)

    async def around(self, request: Request, send: Send) -> Answer:
        if self.fault == "slow":
            await self.clock.sleep(7)
            return await send(request)
        if self.fault == "deaf":
            await send(request)
        if self.fault:
            raise Unreachable(f"{request.what}: {self.fault} by the test")
        return await send(request)

    @property
    def leads(self) -> bool:
        return self.leadership.is_held

    async def settle(self) -> None:
        """Wait until it has nothing to do before its clock goes on."""
        await eventually(lambda: self.clock.sleeping > 0 or self.task.done(), f"{self.name} rests")


@asynccontextmanager
async def candidates(
    kube: FakeKubeApi, folder: Path, *skews: float
) -> AsyncIterator[list[Candidate]]:
    """Start one candidate after the other, each with its own idea of the time of day."""
    running: list[Candidate] = []
    async with contextlib.AsyncExitStack() as stack:
        kubeconfig = kube.kubeconfig(folder)
        for number, skew in enumerate(skews):
            candidate = Candidate(name=f"operator-{number}", clock=FakeClock(skew=skew))
            api = await Api.connect(kubeconfig, around=candidate.around)
            candidate.start(await stack.enter_async_context(api))
            stack.callback(candidate.task.cancel)
            await candidate.settle()
            running.append(candidate)
        yield running


async def pass_time(seconds: float, *those: Candidate) -> None:
    """Let time pass for all of them, half a second at a time."""
    for _ in range(int(seconds * 2)):
        for one in those:
            one.clock.turn(0.5)
        for one in those:
            await one.settle()
        assert sum(one.leads for one in those) <= 1


def holder(kube: FakeKubeApi) -> str:
    name: str = kube.objects[REF.path]["spec"]["holderIdentity"]
    return name


async def test_the_first_makes_the_lease_and_the_second_waits(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0, 0) as (first, second):
        assert (first.leads, second.leads) == (True, False)
        await pass_time(60, first, second)
        assert (first.leads, second.leads) == (True, False)
        spec = kube.objects[REF.path]["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("operator-0", 15)
        assert spec["leaseTransitions"] == 0


async def test_it_is_renewed_every_third_of_its_duration(kube: FakeKubeApi, tmp_path: Path) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        await pass_time(60, only)
    assert kube.methods["PATCH"] == 12


# Seconds by which the second one's time of day is wrong.
@pytest.mark.parametrize("skew", [0, 3600, -3600, 10 * 365 * 86400])
async def test_a_wrong_time_of_day_neither_hastens_nor_delays_the_second(
    skew: float, kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0, skew) as (first, second):
        await pass_time(30, first, second)
        assert not second.leads
        first.fault = "cut"
        await pass_time(12, first, second)
        assert not second.leads
        await pass_time(10, first, second)
        assert second.leads
        assert holder(kube) == "operator-1"
        assert kube.objects[REF.path]["spec"]["leaseTransitions"] == 1


async def test_who_cannot_renew_stops_before_anybody_can_take_over(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        only.fault = "cut"
        await pass_time(9.5, only)
        assert only.lost == []
        await pass_time(2, only)
        assert len(only.lost) == 1
        assert "was not renewed for 10 s" in only.lost[0]
        assert "cut by the test" in only.lost[0]
        assert not only.leads


async def test_a_short_fault_is_survived(kube: FakeKubeApi, tmp_path: Path) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        await pass_time(5, only)
        only.fault = "cut"
        await pass_time(8, only)
        only.fault = ""
        await pass_time(30, only)
        assert only.lost == []
        assert only.leads


async def test_renewals_that_take_seconds_are_soon_enough(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        only.fault = "slow"
        await pass_time(60, only)
        assert only.lost == []
        assert only.leads
        only.fault = ""
        await pass_time(8, only)


async def test_a_renewal_without_an_answer_is_recognised_as_its_own(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        only.fault = "deaf"
        await pass_time(6, only)
        only.fault = ""
        await pass_time(20, only)
        assert only.lost == []
        assert only.leads


async def test_who_finds_another_name_in_it_stops_at_once(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        lease = kube.objects[REF.path]
        kube.put(REF.path, {**lease, "spec": {**lease["spec"], "holderIdentity": "intruder"}})
        await pass_time(5, only)
        assert len(only.lost) == 1
        assert "intruder holds it now" in only.lost[0]


async def test_a_process_that_was_held_up_knows_that_it_no_longer_leads(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0, 0) as (first, second):
        first.clock.turn(60, wake=False)
        assert not first.leads
        for _ in range(60):
            await pass_time(0.5, second)
        assert second.leads
        await pass_time(0.5, first)
        assert first.lost
        assert holder(kube) == "operator-1"


async def test_a_lease_that_was_deleted_is_made_again(kube: FakeKubeApi, tmp_path: Path) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        del kube.objects[REF.path]
        await pass_time(5, only)
        assert only.leads
        assert only.lost == []
        assert holder(kube) == "operator-0"


async def test_a_lease_that_was_deleted_while_its_version_is_old_is_made_again(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        kube.replies = [refuse(409, "Conflict"), None]
        del kube.objects[REF.path]
        await pass_time(8, only)
        assert only.leads
        assert only.lost == []


async def test_one_name_is_one_candidate(kube: FakeKubeApi, tmp_path: Path) -> None:
    """A pod whose container starts again need not wait for itself."""
    async with candidates(kube, tmp_path, 0) as (first,):
        first.task.cancel()
        async with await Api.connect(kube.kubeconfig(tmp_path)) as api:
            again = Leadership(api, REF, first.name, duration=DURATION, clock=FakeClock())
            await asyncio.wait_for(again.acquire(), 5)
            assert again.is_held


async def test_what_is_given_up_is_taken_at_the_next_look(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0, 0) as (first, second):
        first.task.cancel()
        await first.leadership.release()
        assert not first.leads
        assert holder(kube) == ""
        await pass_time(1, second)
        assert second.leads


async def test_what_is_not_held_is_not_given_up(kube: FakeKubeApi, tmp_path: Path) -> None:
    async with candidates(kube, tmp_path, 0, 0) as (first, second):
        await second.leadership.release()
        assert holder(kube) == "operator-0"
        assert first.leads


async def test_a_release_that_fails_is_logged(
    kube: FakeKubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        only.fault = "cut"
        await only.leadership.release()
    assert "could not be given up, and runs out by itself" in caplog.text


async def test_waiting_is_said_once(
    kube: FakeKubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with candidates(kube, tmp_path, 0, 0) as (first, second):
        await pass_time(30, first, second)
    assert caplog.text.count("is held by operator-0; waiting for it") == 1


async def test_an_api_server_that_refuses_is_asked_again(
    kube: FakeKubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kube.replies = [refuse(403, "Forbidden", "cannot get leases")]
    async with candidates(kube, tmp_path, 0) as (only,):
        assert not only.leads
        await pass_time(1, only)
        assert only.leads
    assert "cannot be taken: read Lease system/operator" in caplog.text


async def test_two_that_reach_for_it_at_once_get_it_once(kube: FakeKubeApi, tmp_path: Path) -> None:
    kube.put(REF.path, {"metadata": {"name": "operator", "namespace": "system"}, "spec": {}})
    async with candidates(kube, tmp_path, 0) as (first,):
        assert first.leads
        # The second one read it before the first one wrote.
        before = kube.objects[REF.path] | {"spec": {}}
        kube.replies = [says(before | {"metadata": {"resourceVersion": "1"}})]
        async with candidates(kube, tmp_path, 0) as (second,):
            assert not second.leads


def says(body: object) -> Reply:
    """Answer with this in place of what is stored."""
    return lambda _request: web.json_response(body)


async def test_two_that_make_it_at_once_make_one(kube: FakeKubeApi, tmp_path: Path) -> None:
    async with candidates(kube, tmp_path, 0) as (first,):
        kube.replies = [lambda request: missing(request.path)]
        async with candidates(kube, tmp_path, 0) as (second,):
            assert (first.leads, second.leads) == (True, False)


async def test_a_lease_that_is_made_anew_by_another_is_lost(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        kube.replies = [lambda request: missing(request.path)]
        await pass_time(5, only)
        assert "another made it anew" in only.lost[0]


async def test_an_api_server_that_does_not_answer_ends_it_in_time(
    kube: FakeKubeApi, tmp_path: Path
) -> None:
    """Here with the machine's clock: a call that hangs may not outlast the Lease."""
    lost: list[str] = []
    async with await Api.connect(kube.kubeconfig(tmp_path)) as api:
        leadership = Leadership(api, REF, "only", duration=1)
        await leadership.acquire()

        async def hang(_request: object) -> None:
            await asyncio.Event().wait()

        kube.dispatch = hang  # type: ignore[assignment, method-assign]  # it answers nobody
        async with asyncio.timeout(5):
            await leadership.keep(lost.append)
    assert "did not answer in time" in lost[0]


async def test_an_unforeseen_fault_ends_it(
    kube: FakeKubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with candidates(kube, tmp_path, 0) as (only,):
        kube.replies = [says(["no object"])]
        await pass_time(5, only)
        assert "renewing failed" in only.lost[0]
    assert "Traceback" in caplog.text


async def test_the_block_holds_and_gives_up(kube: FakeKubeApi, tmp_path: Path) -> None:
    lost: list[str] = []
    async with await Api.connect(kube.kubeconfig(tmp_path)) as api:
        async with hold(api, "system", "operator", "only", lost.append, duration=3) as leadership:
            assert leadership.is_held
            assert holder(kube) == "only"
        assert holder(kube) == ""
        assert not leadership.is_held
    assert lost == []


async def test_the_block_calls_lost(kube: FakeKubeApi, tmp_path: Path) -> None:
    lost = asyncio.Event()
    async with (
        await Api.connect(kube.kubeconfig(tmp_path)) as api,
        hold(api, "system", "operator", "only", lambda _reason: lost.set(), duration=1),
    ):
        kube.replies = [hang_up] * 1000
        await asyncio.wait_for(lost.wait(), 5)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pass",
                "hold up first",
                *(
                    f"{what} {who}"
                    for what in ("cut", "deaf", "mend")
                    for who in ("first", "second")
                ),
            ]
        ),
        st.sampled_from([1.0, 4.0, 9.0, 16.0]),
    ),
    max_size=8,
)


@settings(max_examples=15)
@given(STEPS, st.sampled_from([0.0, 5000.0, -5000.0]))
def test_whatever_happens_two_never_lead(steps: list[tuple[str, float]], skew: float) -> None:
    asyncio.run(_live_through(steps, skew))


async def _live_through(steps: list[tuple[str, float]], skew: float) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kube = await stack.enter_async_context(fake_kube_api())
        first, second = await stack.enter_async_context(candidates(kube, folder, 0.0, skew))
        for what, seconds in steps:
            named = first if what.endswith("first") else second
            if what.startswith(("cut", "deaf", "mend")):
                named.fault = what.split()[0].replace("mend", "")
            awake = [second] if what == "hold up first" else [first, second]
            for _ in range(int(seconds)):
                first.clock.turn(1.0, wake=first in awake)
                second.clock.turn(1.0)
                for one in awake:
                    await one.settle()
                assert not (first.leads and second.leads)
