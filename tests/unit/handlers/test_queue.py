"""The keyed work queue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from smallmodel_operator.handlers.queue import WorkQueue


@contextlib.asynccontextmanager
async def running(
    work: Callable[[str], Awaitable[float | None]], workers: int = 2, rest: float = 0.0
) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue[str]("test", work, workers=workers, rest=rest)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.wait([task])


class Recorder:
    """Work that waits until it is let go on."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.together = 0
        self.most_together = 0
        self.go_on = asyncio.Event()
        self.changed = asyncio.Condition()

    async def __call__(self, key: str) -> None:
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        async with self.changed:
            self.seen.append(key)
            self.changed.notify_all()
        await self.go_on.wait()
        self.together -= 1

    async def until(self, count: int) -> None:
        async with self.changed, asyncio.timeout(20):
            await self.changed.wait_for(lambda: len(self.seen) >= count)


async def test_keys_added_while_they_wait_are_one() -> None:
    work = Recorder()
    async with running(work, workers=1) as queue:
        queue.add("busy")
        await work.until(1)
        for _ in range(5):
            queue.add("again")
        work.go_on.set()
        await work.until(2)
    assert work.seen == ["busy", "again"]


async def test_a_key_is_never_worked_on_twice_at_a_time_and_runs_once_more() -> None:
    work = Recorder()
    async with running(work, workers=3) as queue:
        queue.add("a")
        await work.until(1)
        queue.add("a")
        queue.add("a")
        assert work.most_together == 1
        work.go_on.set()
        await work.until(2)
        assert queue.depth == 0
    assert work.seen == ["a", "a"]
    assert work.most_together == 1


async def test_other_keys_do_not_wait_for_a_slow_one() -> None:
    work = Recorder()
    async with running(work) as queue:
        queue.add("slow")
        queue.add("other")
        await work.until(2)
    assert work.seen == ["slow", "other"]


async def test_a_failed_key_comes_back_and_a_wanted_pause_is_kept() -> None:
    tries: list[float] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def work(_: str) -> float | None:
        tries.append(loop.time())
        if len(tries) < 3:
            raise RuntimeError("not yet")
        if len(tries) == 3:
            return 0.1
        done.set()
        return None

    async with running(work) as queue, asyncio.timeout(20):
        queue.add("a")
        await done.wait()
        assert queue.idle() or queue.depth == 0
    assert len(tries) == 4
    assert tries[3] - tries[2] >= 0.1
    assert tries[1] - tries[0] >= 0.15


async def test_adding_now_overtakes_a_timer() -> None:
    ran = asyncio.Event()

    async def work(_: str) -> None:
        ran.set()

    async with running(work) as queue, asyncio.timeout(20):
        queue.add_after("a", 60)
        queue.add("a")
        await ran.wait()


async def test_the_earlier_of_two_timers_counts() -> None:
    ran = asyncio.Event()

    async def work(_: str) -> None:
        ran.set()

    async with running(work) as queue, asyncio.timeout(20):
        queue.add_after("a", 60)
        queue.add_after("a", 0.01)
        queue.add_after("a", 60)
        await ran.wait()


async def test_failures_are_told() -> None:
    told: list[tuple[str, str]] = []
    heard = asyncio.Event()

    async def work(_: str) -> None:
        raise ValueError("no")

    def failed(key: str, error: Exception) -> None:
        told.append((key, str(error)))
        heard.set()

    queue = WorkQueue[str]("test", work, workers=1, failed=failed)
    task = asyncio.create_task(queue.run())
    queue.add("a")
    async with asyncio.timeout(20):
        await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    assert told == [("a", "no")]


@pytest.mark.parametrize("count", [50])
async def test_many_keys_are_all_worked_on(count: int) -> None:
    seen: set[str] = set()
    done = asyncio.Event()

    async def work(key: str) -> None:
        seen.add(key)
        if len(seen) == count:
            done.set()

    async with running(work, workers=4) as queue, asyncio.timeout(20):
        for number in range(count):
            queue.add(str(number))
        await done.wait()


async def test_what_is_added_while_a_key_rests_is_one_and_comes_after_the_rest() -> None:
    rest, work = 0.05, Recorder()
    work.go_on.set()
    async with running(work, rest=rest) as queue:
        loop = asyncio.get_running_loop()
        began = loop.time()
        queue.add("key")
        await work.until(1)
        for _ in range(3):
            queue.add("key")
        assert queue.depth == 1
        await work.until(2)
        assert loop.time() - began >= rest
        assert not queue.depth
    assert work.seen == ["key", "key"]


async def test_a_key_that_rests_keeps_no_other_waiting() -> None:
    work = Recorder()
    work.go_on.set()
    async with running(work, workers=1, rest=60.0) as queue:
        queue.add("one")
        queue.add("other")
        await work.until(2)
        queue.add("one")
        assert queue.depth == 1
        assert not queue.idle()


async def test_what_is_for_later_gives_way_and_comes_at_last() -> None:
    work = Recorder()
    async with running(work, workers=1) as queue:
        queue.add("busy")
        await work.until(1)
        queue.add("said", later=True)
        for number in range(30):
            queue.add(f"serve {number}")
        assert queue.depth == 31
        work.go_on.set()
        await work.until(32)
    assert work.seen.index("said") == 21, "not before others, and not for ever after them"


async def test_what_is_for_later_is_hurried_by_whoever_wants_it_now() -> None:
    work = Recorder()
    async with running(work, workers=1) as queue:
        queue.add("busy")
        await work.until(1)
        queue.add("said", later=True)
        queue.add("other", later=True)
        queue.add("serve")
        queue.add("other")
        queue.add("serve", later=True)
        work.go_on.set()
        await work.until(4)
        assert not queue.depth
    assert work.seen == ["busy", "serve", "other", "said"]


async def test_a_busy_key_that_is_wanted_later_gives_way_too() -> None:
    work = Recorder()
    async with running(work, workers=1) as queue:
        queue.add("key")
        await work.until(1)
        queue.add("key", later=True)
        assert queue.is_wanted("key")
        queue.add("other")
        work.go_on.set()
        await work.until(3)
        assert not queue.is_wanted("key")
    assert work.seen == ["key", "other", "key"]
