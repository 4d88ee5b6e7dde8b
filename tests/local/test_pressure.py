"""More models than memory, more requests than slots, and clients that go away."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from smallmodel_operator.status.state import State
from support.live_run import LiveRun, live_run, tokens

pytestmark = pytest.mark.local

FIVE = [f"m{number}" for number in range(5)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, bundled_gguf: Path) -> Iterator[LiveRun]:
    """Five models where two fit."""
    assert bundled_gguf.exists()
    # One replica of these needs some 400 MiB by `slm plan`.
    with live_run(tmp_path_factory.mktemp("crowded"), "--memory", "950Mi") as run:
        for name in FIVE:
            run.apply(name, contextLength=2048, engineArgs={"parallel": "1"})
        for name in FIVE:
            run.until_state(name)
        yield run


def test_two_of_the_five_fit_at_once(crowded: LiveRun) -> None:
    status = crowded.status()
    sizes = [report.size.total for report in status.models if report.size]
    assert len(sizes) == 5
    assert 2 * max(sizes) <= status.memory_bytes < 3 * min(sizes)


def test_fifty_interleaved_requests_are_all_answered(crowded: LiveRun) -> None:
    order = list(itertools.islice(itertools.cycle(FIVE), 50))
    with ThreadPoolExecutor(max_workers=3) as pool:
        answers = list(pool.map(lambda name: crowded.ask(name, max_tokens=2), order))
    assert Counter(answer.status_code for answer in answers) == {200: 50}, next(
        answer.text for answer in answers if answer.status_code != 200
    )


def test_the_longest_idle_model_gives_way(crowded: LiveRun) -> None:
    for name in ("m0", "m1"):
        assert crowded.ask(name, max_tokens=2).status_code == 200
    crowded.until(lambda: _awake(crowded) == {"m0", "m1"})
    assert crowded.ask("m2", max_tokens=2).status_code == 200
    crowded.until(lambda: _awake(crowded) == {"m1", "m2"})


def test_when_none_is_idle_the_refusal_says_need_have_and_who_holds_it(
    crowded: LiveRun,
) -> None:
    with (
        crowded.stream("m3", max_tokens=1900, ignore_eos=True) as one,
        crowded.stream("m4", max_tokens=1900, ignore_eos=True) as other,
    ):
        busy = [tokens(one), tokens(other)]
        assert all(next(stream) for stream in busy)
        refused = crowded.ask("m0", max_tokens=2)
    assert refused.status_code == 503
    error = refused.json()["error"]
    assert error["code"] == "MemoryFit"
    assert "MiB" in error["message"]
    assert "m3" in error["message"]
    assert "m4" in error["message"]
    assert "retry-after" in refused.headers


def _awake(run: LiveRun) -> set[str]:
    return {r.model.metadata.name for r in run.status().models if r.state is State.READY}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, bundled_gguf: Path) -> Iterator[LiveRun]:
    """One model with few slots and a short queue."""
    assert bundled_gguf.exists()
    with live_run(tmp_path_factory.mktemp("narrow")) as run:
        run.apply(
            "narrow",
            contextLength=2048,
            engineArgs={"parallel": "2"},
            scaling={"maxQueuedRequests": 8, "requestTimeout": "4m"},
        )
        run.until_state("narrow", State.READY)
        yield run


def test_a_full_queue_answers_429_with_retry_after_and_loses_nothing_else(
    narrow: LiveRun,
) -> None:
    with ThreadPoolExecutor(max_workers=40) as pool:
        answers = list(
            pool.map(lambda _: narrow.ask("narrow", max_tokens=24, ignore_eos=True), range(40))
        )
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) == {200, 429}
    assert codes[200] >= 8
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["message"]


def test_streams_whose_clients_leave_free_their_slots(narrow: LiveRun) -> None:
    """Both slots are taken by streams that would run for half a minute; then both clients leave."""
    with (
        narrow.stream("narrow", max_tokens=1900, ignore_eos=True) as one,
        narrow.stream("narrow", max_tokens=1900, ignore_eos=True) as other,
    ):
        assert all(next(tokens(stream)) for stream in (one, other))
    _assert_a_slot_is_free(narrow)


def test_plain_requests_whose_clients_leave_free_their_slots(
    narrow: LiveRun,
) -> None:
    def leave(_: int) -> None:
        body = {"messages": [{"role": "user", "content": "Count"}], "ignore_eos": True}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{narrow.url}/chat/completions",
                json=body | {"model": "narrow", "max_tokens": 1900},
                timeout=2,
            )

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(leave, range(2)))
    _assert_a_slot_is_free(narrow)


def _assert_a_slot_is_free(run: LiveRun) -> None:
    """Ask; both slots would be taken for half a minute, had nobody noticed that the clients left.

    That a slot is free within one second is asserted on the replica itself, where no other
    process has a part in it (`test_plain_answers`, `test_replica_llamacpp`).
    """
    began = time.monotonic()
    assert run.ask("narrow", max_tokens=1).status_code == 200
    assert time.monotonic() - began < 8
