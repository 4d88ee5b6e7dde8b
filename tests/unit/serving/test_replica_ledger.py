"""The node's ledger in real files: several replicas in one process, and one that is killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from builders.fake_engine import FakeEngine, fake_upstream
from builders.replicas import RunningReplica, model_args, running_replica, wait_until
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime import ledger as ledger_module
from smallmodel_serving.runtime.engine import EngineError
from smallmodel_serving.runtime.ledger import NodeLedger

CHAT = "/v1/chat/completions"
GIB = 2**30


def ledger(folder: Path, model: str, size: int = 4 * GIB, capacity: int = 10 * GIB) -> NodeLedger:
    return NodeLedger(folder=folder, capacity=capacity, model=model, memory_bytes=size)


def _append(asked: list[str], name: str, _until: float) -> None:
    asked.append(name)


def _same(engine: FakeEngine) -> FakeEngine:
    return engine


async def test_two_that_fit_are_admitted_and_know_of_each_other(tmp_path: Path) -> None:
    a, b = ledger(tmp_path, "a"), ledger(tmp_path, "b")
    assert await a.acquire() == 0
    assert await b.acquire() == 1
    await a.close()
    await b.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


async def test_the_longest_idle_is_asked_and_its_release_wakes_the_one_that_waits(
    tmp_path: Path,
) -> None:
    a, b, c = (ledger(tmp_path, name) for name in "abc")
    asked: list[str] = []
    for name, one in (("a", a), ("b", b)):
        one.listen(partial(_append, asked, name))
        await one.acquire()
    a.note_use(in_flight=0, last_use=2.0)
    b.note_use(in_flight=0, last_use=1.0)
    waiting = asyncio.create_task(c.acquire())
    await wait_until(lambda: "b" in asked)
    assert "a" not in asked
    await b.release()
    assert await waiting == 1
    for one in (a, b, c):
        await one.close()


async def test_a_replica_that_was_killed_leaves_nothing_that_blocks(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from smallmodel_serving.runtime.ledger import NodeLedger\n"
        "async def main():\n"
        "    one = NodeLedger(folder=Path(sys.argv[1]), capacity=10,\n"
        "                     model='gone', memory_bytes=9)\n"
        "    await one.acquire()\n"
        "    print('holds', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"holds\n"
        other = ledger(tmp_path, "other", size=8, capacity=10)
        waiting = asyncio.create_task(other.acquire())
        await wait_until(lambda: (tmp_path / f"{os.getpid()}-other.entry").exists())
        assert not waiting.done()
        child.send_signal(signal.SIGKILL)
        # It is a zombie until it is waited for, which counts as dead.
        assert await waiting == 0
    assert not list(tmp_path.glob("*gone*"))
    await other.close()


async def test_what_gets_no_room_in_time_fails_with_need_have_and_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallmodel_serving.runtime.memory.MAX_WAIT_SECONDS", 0.3)
    monkeypatch.setattr(ledger_module, "MAX_WAIT_SECONDS", 0.3)
    a, b = ledger(tmp_path, "holder", size=8 * GIB), ledger(tmp_path, "late")
    await a.acquire()
    with pytest.raises(EngineError) as caught:
        await b.acquire()
    assert caught.value.reason is Reason.MEMORY_FIT
    assert "late needs 4.0 GiB" in caught.value.message
    assert "holder 8.0 GiB" in caught.value.message
    await a.close()
    await b.close()


async def test_a_file_that_is_no_entry_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "1-x.entry").write_text("{torn")
    one = ledger(tmp_path, "one")
    assert await one.acquire() == 0
    await one.close()


@contextlib.asynccontextmanager
async def node_of(
    tmp_path: Path, names: str, *, fits: int
) -> AsyncIterator[dict[str, RunningReplica]]:
    """Run replicas that share a node on which `fits` of them fit."""
    async with contextlib.AsyncExitStack() as stack:
        _, address = await stack.enter_async_context(fake_upstream())
        replicas = {}
        for name in names:
            engine = FakeEngine(address)
            memory = ledger(tmp_path, name, size=10, capacity=10 * fits)
            replicas[name] = await stack.enter_async_context(
                running_replica(model_args(name=name), partial(_same, engine), memory=memory)
            )
        yield replicas


async def test_of_five_models_where_two_fit_no_request_is_lost(tmp_path: Path) -> None:
    async def ask(replica: RunningReplica) -> int:
        async with replica.http.post(CHAT, data=b"{}") as response:
            return response.status

    async with node_of(tmp_path, "abcde", fits=2) as replicas:
        one_by_one = [await ask(replicas["abcde"[i % 5]]) for i in range(25)]
        at_once = await asyncio.gather(*(ask(replicas["abcde"[i % 5]]) for i in range(25)))
    assert one_by_one + at_once == [200] * 50


async def test_a_busy_model_gives_way_within_the_bound(tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def keep_busy(replica: RunningReplica) -> list[int]:
        statuses = []
        while not stop.is_set():
            async with replica.http.post(CHAT, data=b"{}") as response:
                statuses.append(response.status)
        return statuses

    async with node_of(tmp_path, "ab", fits=1) as replicas:
        busy = [asyncio.create_task(keep_busy(replicas["a"])) for _ in range(4)]
        await wait_until(lambda: replicas["a"].lifecycle.served > 20)
        async with asyncio.timeout(10), replicas["b"].http.post(CHAT, data=b"{}") as response:
            assert response.status == 200
        served = replicas["a"].lifecycle.served
        await wait_until(lambda: replicas["a"].lifecycle.served > served + 5)
        stop.set()
        assert {status for statuses in await asyncio.gather(*busy) for status in statuses} == {200}
