"""Two-step idle: asleep, then parked; what wakes a model, and what does not."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from smallmodel_operator.api.serving import PROBE_HEADER
from smallmodel_operator.status.state import State
from support.live_run import LiveRun

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def run(shared_run: LiveRun) -> Iterator[LiveRun]:
    scaling = {
        "napper": {"idleTimeout": "3s", "parkAfter": "1h"},
        "leaver": {"idleTimeout": "2s", "parkAfter": "6s"},
        "keeper": {"minReplicas": 1, "idleTimeout": "1s"},
    }
    models = {name: {"scaling": given, "contextLength": 512} for name, given in scaling.items()}
    with shared_run.serving(**models) as run:
        yield run


def test_a_model_falls_asleep_and_a_request_wakes_it(run: LiveRun) -> None:
    run.until_state("napper", State.ASLEEP)
    answer = run.ask("napper", max_tokens=2)
    assert answer.status_code == 200
    run.until_state("napper", State.READY)
    run.until_state("napper", State.ASLEEP)


def test_questions_about_state_and_probes_neither_wake_a_model_nor_keep_it_awake(
    run: LiveRun,
) -> None:
    base = run.url.removesuffix("/v1")
    asking = threading.Event()

    def ask_about_state() -> None:
        with httpx.Client(timeout=30) as client:
            while not asking.wait(0.1):
                for path in ("/health", "/metrics", "/v1/models", "/v1/models/napper"):
                    client.get(base + path)

    thread = threading.Thread(target=ask_about_state)
    thread.start()
    try:
        assert run.ask("napper", max_tokens=2).status_code == 200
        run.until(lambda: run.engine("napper") == "Asleep")
        # Asleep for longer than its timeout, under questions: nothing woke it.
        since = time.monotonic()
        run.until(lambda: time.monotonic() - since > 4 or run.engine("napper") != "Asleep")
        assert run.engine("napper") == "Asleep"
    finally:
        asking.set()
        thread.join()


def test_a_probe_is_answered_and_does_not_count_as_use(run: LiveRun) -> None:
    run.until_state("napper", State.ASLEEP)
    unused = _unused_for(run, "napper")
    body = {"model": "napper", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    answer = httpx.post(
        f"{run.url}/chat/completions", json=body, headers={PROBE_HEADER: "1"}, timeout=60
    )
    assert answer.status_code == 200
    # A use would have set it back to nothing; asleep, it was at least the idle timeout before.
    assert _unused_for(run, "napper") > unused >= 3
    run.until(lambda: run.engine("napper") == "Asleep")


def _unused_for(run: LiveRun, name: str) -> float:
    """Seconds since the model's last use, as its replica says; asking is no use either."""
    report = run.report(name)
    assert report is not None
    health = httpx.get(f"{report.engine_url}/health", timeout=60).json()
    return float(health["lastUseAgeSeconds"])


def test_an_asleep_model_parks_and_a_request_starts_it(run: LiveRun) -> None:
    parked = run.until_state("leaver", State.PARKED)
    assert parked.model.status.replicas == 0
    answer = run.ask("leaver", max_tokens=2)
    assert answer.status_code == 200
    run.until(lambda: (run.report("leaver") or parked).model.status.replicas == 1)
    run.until_state("leaver", State.PARKED)


def test_the_metrics_tell_asleep_and_parked_models(run: LiveRun) -> None:
    def page() -> str:
        return httpx.get(run.url.removesuffix("/v1") + "/metrics", timeout=30).text

    def has(name: str, *labels: str) -> bool:
        return any(
            line.startswith(f"ray_smallmodel_{name}{{")
            and line.endswith(" 1.0")
            and all(label in line for label in labels)
            for line in page().splitlines()
        )

    run.until_state("napper", State.ASLEEP)
    run.until(lambda: has("engine_sleep_state", 'model="napper"', 'state="asleep"'))
    run.until_state("leaver", State.PARKED)
    run.until(lambda: has("parked", 'model="leaver"'))
    for name in ("requests_total", "generation_tokens_total", "model_load_seconds_count"):
        assert f"ray_smallmodel_{name}{{" in page(), name


def test_a_model_with_a_least_number_of_replicas_stays_awake(run: LiveRun) -> None:
    run.until_state("napper", State.ASLEEP)
    assert run.state("keeper") is State.READY


def test_no_request_is_lost_over_cycles_of_sleeping_and_parking(run: LiveRun) -> None:
    codes = []
    for cycle in range(3):
        run.until_state("leaver", State.PARKED if cycle % 2 else State.ASLEEP, State.PARKED)
        threads = [
            threading.Thread(
                target=lambda: codes.append(run.ask("leaver", max_tokens=2).status_code)
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [200] * 24
