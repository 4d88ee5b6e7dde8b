"""More models than memory, more requests than slots, and clients that go away."""

import itertools
import json
import threading
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


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "not streaming"])
def test_a_client_that_leaves_frees_its_slot_within_a_second(
    narrow: LiveRun, streaming: bool
) -> None:
    """Every slot is taken by a client that would wait for minutes; then all of them leave."""
    body = {
        "model": "narrow",
        "messages": [{"role": "user", "content": "Count"}],
        "max_tokens": 1900,
        "ignore_eos": True,
        "stream": streaming,
    }
    leavers = [httpx.Client(timeout=120) for _ in range(2)]
    sent = threading.Barrier(len(leavers) + 1)

    def occupy(client: httpx.Client) -> None:
        try:
            with client.stream("POST", f"{narrow.url}/chat/completions", json=body) as answer:
                if streaming:
                    next(answer.iter_lines())
                sent.wait()
                for _ in answer.iter_lines():
                    pass
        except httpx.HTTPError:
            return

    if streaming:
        threads = [threading.Thread(target=occupy, args=(client,)) for client in leavers]
        for thread in threads:
            thread.start()
        sent.wait()
    else:
        threads = [_post_and_leave(narrow, body) for _ in leavers]
    for client in leavers:
        client.close()
    for thread in threads:
        thread.join(timeout=10)
    began = time.monotonic()
    assert narrow.ask("narrow", max_tokens=1).status_code == 200
    # Both slots would be busy for ten seconds and more, had nobody noticed.
    assert time.monotonic() - began < 5


def _post_and_leave(run: LiveRun, body: dict[str, object]) -> threading.Thread:
    """Send a plain request whose client gives up after two seconds."""

    def work() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{run.url}/chat/completions", content=json.dumps(body), timeout=2)

    thread = threading.Thread(target=work)
    thread.start()
    return thread
